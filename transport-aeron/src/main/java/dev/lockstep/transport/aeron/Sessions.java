package dev.lockstep.transport.aeron;

import io.aeron.Aeron;
import io.aeron.ChannelUriStringBuilder;
import io.aeron.ExclusivePublication;
import org.jspecify.annotations.Nullable;

/// The logs of a link's sending end, one after another: a log ends after 2^31 terms, which are days
/// at a gigabyte a second. A link has two sessions, in turn, so that Aeron still delivers what is
/// in a log that has ended while the next one is filled.
final class Sessions {
  /// Terms of a log.
  static final long TERMS = 1L << 31;

  private static final long NONE = Aeron.NULL_VALUE;

  private final Aeron client;
  private final ChannelUriStringBuilder channel;
  private final int stream;
  private final int first;
  private int next;
  private long opening = NONE;

  /// Makes the sessions of a link; none is open.
  ///
  /// @param channel where to, without session
  /// @param first session that the receiver has drawn
  Sessions(Aeron client, ChannelUriStringBuilder channel, int stream, int first) {
    this.client = client;
    this.channel = channel;
    this.stream = stream;
    this.first = first;
  }

  /// Returns the number of one of a link's logs.
  ///
  /// @param first session of its first one
  /// @param log which one, from 0
  static int number(int first, int log) {
    return first ^ (log & 1);
  }

  /// Returns where a log's last term begins. The first frame beyond ends the log, and what comes in
  /// another one follows it. Not the term's end: Aeron has no number for the position there, so
  /// that a receiver over UDP would not hear that the log has ended.
  static long lastTerm(int termBytes) {
    return (TERMS - 1) * termBytes;
  }

  /// Asks for the next log.
  ///
  /// @param position where it begins
  void open(long position) {
    channel.sessionId(number(first, next++));
    if (position > 0) {
      channel.initialPosition(position, 0, channel.termLength());
    }
    opening = client.asyncAddExclusivePublication(channel.build(), stream);
    channel.initialTermId((Integer) null).termId((Integer) null).termOffset((Integer) null);
  }

  /// Returns the log that was asked for, null until it is there.
  @Nullable ExclusivePublication publication() {
    ExclusivePublication publication = client.getExclusivePublication(opening);
    if (publication != null) {
      opening = NONE;
    }
    return publication;
  }

  /// Gives up what was asked for and is not there.
  void abandon() {
    if (opening != NONE) {
      client.asyncRemovePublication(opening);
      opening = NONE;
    }
  }
}
