package dev.lockstep.transport;

import dev.lockstep.memory.Registration;
import org.jspecify.annotations.Nullable;

/// A reusable request to send or receive one message on a [Link]. Its owner makes it once, fills in
/// the envelope, posts it, polls the link until it is done, and may then post it again. Confined to
/// the thread that drives the link.
public final class Transfer {
  /// Where a transfer stands.
  public enum State {
    /// Not posted.
    IDLE,
    /// Posted, not complete.
    POSTED,
    /// Complete; the memory is free (send) or filled (receive).
    DONE,
    /// Failed; see [Transfer#failure].
    FAILED
  }

  private final Envelope envelope = new Envelope();
  private final @Nullable Registration source;
  private final @Nullable Sink sink;
  private final long bytes;
  private State state = State.IDLE;
  private @Nullable RuntimeException failure;

  /// Bytes that have moved; for the transport's own use.
  public long progress;

  private Transfer(@Nullable Registration source, @Nullable Sink sink, long bytes) {
    this.source = source;
    this.sink = sink;
    this.bytes = bytes;
  }

  /// Returns a transfer that sends a range.
  public static Transfer send(Registration source) {
    return new Transfer(source, null, source.bytes());
  }

  /// Returns a transfer that receives a message of exactly the sink's length.
  public static Transfer receive(Sink sink) {
    return new Transfer(null, sink, sink.target().bytes());
  }

  /// Returns the header: of the message to send, or that a received message must match (a
  /// difference fails the transfer).
  public Envelope envelope() {
    return envelope;
  }

  /// Returns the range to send.
  ///
  /// @throws IllegalStateException if this transfer receives
  public Registration source() {
    if (source == null) {
      throw new IllegalStateException("transfer receives, it has no source");
    }
    return source;
  }

  /// Returns what is done with arriving bytes.
  ///
  /// @throws IllegalStateException if this transfer sends
  public Sink sink() {
    if (sink == null) {
      throw new IllegalStateException("transfer sends, it has no sink");
    }
    return sink;
  }

  /// Returns whether this transfer sends.
  public boolean isSend() {
    return source != null;
  }

  /// Returns the payload's length in bytes.
  public long bytes() {
    return bytes;
  }

  /// Returns where the transfer stands.
  public State state() {
    return state;
  }

  /// Returns whether the transfer is complete.
  public boolean isDone() {
    return state == State.DONE;
  }

  /// Returns why the transfer failed, or null.
  public @Nullable RuntimeException failure() {
    return failure;
  }

  /// Marks the transfer as posted; for transports.
  public void posted() {
    progress = 0;
    failure = null;
    state = State.POSTED;
  }

  /// Marks the transfer as complete; for transports.
  public void done() {
    state = State.DONE;
  }

  /// Marks the transfer as failed; for transports.
  public void failed(RuntimeException cause) {
    failure = cause;
    state = State.FAILED;
  }
}
