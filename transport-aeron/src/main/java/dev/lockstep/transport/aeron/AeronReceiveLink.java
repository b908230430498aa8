package dev.lockstep.transport.aeron;

import dev.lockstep.memory.Registration;
import dev.lockstep.transport.Envelope;
import dev.lockstep.transport.MismatchedEnvelopeException;
import dev.lockstep.transport.Reducer;
import dev.lockstep.transport.Sink;
import dev.lockstep.transport.Transfer;
import io.aeron.Image;
import io.aeron.Subscription;
import io.aeron.logbuffer.ControlledFragmentHandler;
import io.aeron.logbuffer.Header;
import java.lang.foreign.MemorySegment;
import java.util.List;
import org.agrona.DirectBuffer;
import org.agrona.concurrent.UnsafeBuffer;
import org.jspecify.annotations.Nullable;

/// Receiving end: checks each frame and applies it to the sink straight from the image's log.
final class AeronReceiveLink extends AeronLink implements ControlledFragmentHandler {
  private static final int FRAMES_PER_POLL = 64;

  private final List<Subscription> subscriptions;
  private final int session;
  private int log;
  private @Nullable Image image;
  private final Envelope arrived = new Envelope();
  private boolean envelopeSeen;

  /// Makes the end.
  ///
  /// @param subscriptions those of the link's two sessions
  /// @param session the first one
  AeronReceiveLink(int peer, int communicator, List<Subscription> subscriptions, int session) {
    super(peer, communicator);
    this.subscriptions = subscriptions;
    this.session = session;
  }

  @Override
  boolean sends() {
    return false;
  }

  @Override
  public int poll() {
    if (queue.isEmpty()) {
      return 0;
    }
    Image sender = image;
    if (sender == null) {
      sender = subscriptions.get(log & 1).imageBySessionId(Sessions.number(session, log));
      if (sender == null) {
        return 0;
      }
      image = sender;
      setMtu(sender.mtuLength());
    }
    int frames = sender.controlledPoll(this, FRAMES_PER_POLL);
    if (frames == 0) {
      if (sender.position() > Sessions.lastTerm(sender.termBufferLength())) {
        image = null; // that was its last frame
        log++;
      } else if (sender.isClosed() || sender.isEndOfStream()) {
        breakLink(lost("peer has left the link"));
      }
    }
    return frames;
  }

  @Override
  public Action onFragment(DirectBuffer buffer, int offset, int length, Header header) {
    Transfer transfer = queue.peekFirst();
    if (transfer == null || isBroken()) {
      return Action.ABORT;
    }
    TermView term = viewOf(buffer);
    MemorySegment log = term.segment();
    long at = offsetInLog((UnsafeBuffer) buffer, offset);
    if (checksum(term, at, length) != header.reservedValue()) {
      breakLink(lost("frame arrived damaged: frameBytes=" + length));
      return Action.ABORT;
    }
    int skip = 0;
    if (!envelopeSeen) {
      if (!accepts(transfer, log, at, length)) {
        return Action.ABORT;
      }
      envelopeSeen = true;
      skip = Envelope.BYTES;
    }
    int payload = length - skip;
    if (payload != payloadOf(transfer.bytes() - transfer.progress)) {
      breakLink(lost("frame has an impossible length: frameBytes=" + length));
      return Action.ABORT;
    }
    try {
      apply(transfer, log, at + skip, payload);
      return Action.CONTINUE;
    } catch (IllegalStateException memoryIsClosed) {
      breakLink(memoryIsClosed);
      return Action.ABORT;
    }
  }

  private boolean accepts(Transfer transfer, MemorySegment log, long at, int length) {
    if (length < Envelope.BYTES || !arrived.read(log, at)) {
      breakLink(lost("frame is no message of this protocol version: frameBytes=" + length));
      return false;
    }
    if (!transfer.envelope().matches(arrived)) {
      Envelope expected = new Envelope();
      expected.set(transfer.envelope());
      Envelope found = new Envelope();
      found.set(arrived);
      breakLink(
          new MismatchedEnvelopeException(
              peer(),
              expected,
              found,
              "message is not the expected one: peer=%d, expectedSequence=%d, arrivedSequence=%d, expectedBytes=%d, arrivedBytes=%d"
                  .formatted(
                      peer(), expected.sequence, found.sequence, expected.length, found.length)));
      return false;
    }
    return true;
  }

  private void apply(Transfer transfer, MemorySegment log, long at, int payload) {
    Registration target = transfer.sink().target();
    MemorySegment memory = target.region().segment();
    long to = target.offset() + transfer.progress;
    switch (transfer.sink()) {
      case Sink.Copy _ -> MemorySegment.copy(log, at, memory, to, payload);
      case Sink.Reduce reduce ->
          Reducer.reduce(
              reduce.op(), reduce.dtype(), memory, to, log, at, payload / reduce.dtype().bytes());
    }
    transfer.progress += payload;
    if (transfer.progress == transfer.bytes()) {
      envelopeSeen = false;
      completeHead();
    }
  }

  @Override
  void free() {
    subscriptions.forEach(Subscription::close);
  }
}
