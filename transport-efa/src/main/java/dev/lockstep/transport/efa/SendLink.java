package dev.lockstep.transport.efa;

import dev.lockstep.memory.Registration;
import dev.lockstep.transport.Envelope;
import dev.lockstep.transport.Transfer;
import dev.lockstep.transport.efa.ffi.Fi;
import java.lang.foreign.MemorySegment;
import org.jspecify.annotations.Nullable;

/// Sending end. Short messages are copied into frames, as many as the receiver's window has room
/// for. Long ones wait for grants and go in segments straight from their memory.
final class SendLink extends FabricLink {
  /// Segments of a link that may be on their way: enough to keep the wire busy while one is worked
  /// on, and few enough for other links to have their turn.
  private static final int MOST_WRITES = 8;

  /// How often to look for a grant before the receiver is told what waits for one: in a collective
  /// both post at once, and grants are on their way.
  private static final int TURNS_UNTIL_ANNOUNCED = 64;

  private final LinkAddress receiver;
  private final int number;
  private final Grants grants;
  private final Envelope theirs = new Envelope();
  private final long[] writtenBytes = new long[QUEUE];
  private @Nullable Staging staging;

  /// Number of the message whose bytes go out next.
  private long next;

  private boolean started;
  private boolean announced;

  /// How often a message has waited to be asked for.
  private int turns;

  private long sentFrames;
  private long consumedFrames;
  private long grantedBytes;
  private int writing;

  /// Segments that were written, for the receiver to know when all of them are there.
  private long writtenSegments;

  private final SenderWords words;
  private boolean peerLeft;

  SendLink(Engine engine, int peer, int communicator, LinkAddress receiver) {
    super(engine, peer, communicator);
    this.receiver = receiver;
    this.grants = new Grants(engine.rails().size());
    boolean copies = engine.registersLocal() && engine.cache().isLimited();
    this.staging = copies ? new Staging(engine) : null;
    try {
      this.number = engine.add(this);
    } catch (RuntimeException | Error failure) {
      if (staging != null) {
        staging.close();
      }
      throw failure;
    }
    byte[] greeting = LinkAddress.greeting(engine.rank(), number, engine.names());
    this.words = new SenderWords(this, receiver.link(), greeting);
  }

  /// Returns by what number the receiver calls it.
  int number() {
    return number;
  }

  /// Returns whether it has leave to write, for tests.
  boolean holdsGrant() {
    return grants.hasNext();
  }

  @Override
  boolean sends() {
    return true;
  }

  @Override
  boolean mayWriteWith(Transfer transfer) {
    return head < tail || transfer.bytes() > receiver.eagerBytes();
  }

  @Override
  int advance() {
    int work = completeAll();
    if (mute && failure == null) {
      failure = broken("peer has closed its transport");
    }
    // A message that the receiver has whole is sent, also where the last write is told only after
    // its farewell.
    if (peerLeft && writing == 0 && failure == null) {
      failure = broken("link was closed by its receiver");
    }
    try {
      while (failure == null && !peerLeft && next < tail) {
        Transfer transfer = transfer(next);
        boolean all =
            transfer.bytes() <= receiver.eagerBytes() ? sendFrames(transfer) : write(transfer);
        if (!all) {
          break;
        }
        next++;
        started = false;
        announced = false;
        turns = 0;
        work++;
      }
    } catch (RuntimeException memoryIsClosed) {
      breakHere(memoryIsClosed);
    }
    work += completeAll();
    failPosted();
    return work;
  }

  private int completeAll() {
    int completed = 0;
    while (failure == null && head < next) {
      Transfer transfer = transfer(head);
      boolean large = transfer.bytes() > receiver.eagerBytes();
      if (large && writtenBytes[(int) head & MASK] < transfer.bytes()) {
        break;
      }
      writtenBytes[(int) head & MASK] = 0;
      engine.traffic().sent(transfer.bytes());
      complete(transfer);
      completed++;
    }
    return completed;
  }

  /// Returns whether the whole message has gone.
  private boolean sendFrames(Transfer transfer) {
    OutgoingFrames outgoing = engine.outgoing();
    MemorySegment frames = outgoing.segment();
    Registration source = transfer.source();
    MemorySegment memory = source.region().segment();
    boolean bare = outgoing.isBare(transfer.bytes());
    while (!started || transfer.progress < transfer.bytes()) {
      int frame = claimFrame();
      if (frame < 0) {
        return false;
      }
      int envelope = started ? 0 : Envelope.BYTES;
      long body = bare ? outgoing.bareBody(frame, envelope) : outgoing.body(frame);
      if (!started) {
        transfer.envelope().write(frames, body);
      }
      int payload =
          (int)
              Math.min(
                  transfer.bytes() - transfer.progress, engine.frames().payload(!started, bare));
      MemorySegment.copy(
          memory, source.offset() + transfer.progress, frames, body + envelope, payload);
      int kind = started ? Wire.NEXT : Wire.FIRST;
      boolean taken =
          bare
              ? streamBare(frame, kind, envelope, payload, transfer.envelope())
              : stream(frame, kind, envelope + payload);
      if (!taken) {
        return false;
      }
      started = true;
      transfer.progress += payload;
    }
    return true;
  }

  /// Claims a frame for the stream, -1 if there is none or the receiver has no room.
  private int claimFrame() {
    return words.greets() || sentFrames - consumedFrames >= WINDOW ? -1 : engine.outgoing().claim();
  }

  private boolean stream(int frame, int kind, int bytes) {
    if (!engine.send(frame, peer(), kind, receiver.link(), bytes, sentFrames, next)) {
      return false;
    }
    sentFrames++;
    return true;
  }

  private boolean streamBare(int frame, int kind, int unsent, int payload, Envelope envelope) {
    if (!engine.sendBare(frame, peer(), kind, receiver.link(), unsent, payload, sentFrames, next)) {
      return false;
    }
    words.noteMeant(sentFrames, envelope);
    sentFrames++;
    return true;
  }

  /// Returns whether the whole message has gone.
  private boolean write(Transfer transfer) {
    while (transfer.progress < transfer.bytes()) {
      if (!grants.hasNext()) {
        announce(transfer);
        return false;
      }
      int slot = grants.slot();
      if (grants.message(slot) < next) {
        grants.finish(); // of a message that went in frames: its receiver sees that itself
        continue;
      }
      if (grants.message(slot) > next) {
        announce(transfer);
        return false;
      }
      if (grantedBytes == 0 && !transfer.envelope().matches(grants.envelope(slot))) {
        failure = mismatched(transfer.envelope(), grants.envelope(slot));
        words.dispute();
        return false;
      }
      if (grantedBytes == 0 && grants.bytes(slot) > transfer.bytes() - transfer.progress) {
        breakHere(
            broken(
                "grant is impossible: grantedBytes=%d, remainingBytes=%d"
                    .formatted(grants.bytes(slot), transfer.bytes() - transfer.progress)));
        return false;
      }
      if (!writeGrant(transfer, slot)) {
        return false;
      }
      grantedBytes = 0;
      grants.finish();
    }
    return true;
  }

  /// Tells a receiver that has not asked for the message yet what it is.
  private void announce(Transfer transfer) {
    turns = Math.min(turns + 1, TURNS_UNTIL_ANNOUNCED);
    if (announced || turns < TURNS_UNTIL_ANNOUNCED) {
      return;
    }
    int frame = claimFrame();
    if (frame >= 0) {
      transfer.envelope().write(engine.outgoing().segment(), engine.outgoing().body(frame));
      announced = stream(frame, Wire.ANNOUNCE, Envelope.BYTES);
    }
  }

  private boolean writeGrant(Transfer transfer, int slot) {
    CachedRegion region = engine.cache().of(transfer.source().region());
    boolean inPlace = !engine.registersLocal() || engine.cache().register(region);
    while (grantedBytes < grants.bytes(slot)) {
      if (writing == MOST_WRITES
          || !writeSegment(transfer, slot, inPlace ? region : staging().region(), inPlace)) {
        return false;
      }
    }
    return true;
  }

  private Staging staging() {
    if (staging == null) {
      staging = new Staging(engine);
    }
    return staging;
  }

  private boolean writeSegment(Transfer transfer, int slot, CachedRegion region, boolean inPlace) {
    int segmentBytes = grants.segmentBytes(slot);
    int segment = (int) (grantedBytes / segmentBytes);
    int length = (int) Math.min(segmentBytes, grants.bytes(slot) - grantedBytes);
    int striped = Math.min(engine.rails().size(), grants.rails(slot));
    int at = (int) ((grants.number() + segment) % striped);
    SegmentWrites writes = engine.writes(at);
    int write = writes.claim();
    if (write < 0) {
      return false;
    }
    Registration source = transfer.source();
    long from = source.offset() + transfer.progress;
    int stagingSlot = -1;
    if (!inPlace) {
      stagingSlot = staging().claim();
      if (stagingSlot < 0) {
        writes.release(write);
        return false;
      }
      long to = staging().offset(stagingSlot);
      MemorySegment.copy(source.region().segment(), from, region.segment(), to, length);
      from = to;
    }
    Rail rail = engine.rails().get(at);
    int checksum = rail.info().carriesChecksums() ? region.checksum(engine.crc(), from, length) : 0;
    long status =
        rail.write(
            write,
            region.address() + from,
            length,
            region.descriptor(at),
            Wire.immediate(receiver.link(), slot, segment, checksum),
            address(at),
            grants.address(slot, at) + grantedBytes,
            grants.key(slot, at));
    if (status < 0) {
      writes.release(write);
      if (stagingSlot >= 0) {
        staging().release(stagingSlot);
      }
      if (status != -Fi.EAGAIN) {
        engine
            .peers()
            .lost(peer(), engine.failures().ofCall("fi_writedata", "rank " + peer(), status));
      }
      return false;
    }
    writes.posted(write, this, next, length, stagingSlot, region);
    writing++;
    grantedBytes += length;
    transfer.progress += length;
    return true;
  }

  private long address(int rail) {
    long[] addresses = engine.peers().peer(peer()).addresses();
    if (addresses == null) {
      throw new AssertionError("peer of a sending end is not known: peer=" + peer());
    }
    return addresses[rail];
  }

  /// Takes the completion of a segment.
  void written(long message, long bytes, int stagingSlot) {
    writtenBytes[(int) message & MASK] += bytes;
    writing--;
    writtenSegments++;
    if (stagingSlot >= 0) {
      staging().release(stagingSlot);
    }
    if (writing == 0) {
      words.nothingIsWritten(peerLeft);
    }
    giveBack();
  }

  /// Greets again, which is answered by where the receiver stands. It may not have read the first
  /// greeting: one that arrived damaged has broken its end, and it cannot tell anybody so. Nor can
  /// it ask for what was sent behind a greeting that was lost, for which nobody here may wait.
  @Override
  void ask() {
    if (mute) {
      return;
    }
    boolean waits = isWaiting() && writing == 0 && words.standsStill(position());
    boolean mayBeUnheard = sentFrames > 0 || failure != null;
    words.greetAgain(waits, mayBeUnheard);
  }

  /// Grows by whatever is done and comes.
  private long position() {
    return sentFrames + writtenSegments + consumedFrames + grants.number();
  }

  private void taken(long frames, long saidGrants, long answered) {
    consumedFrames = Math.max(consumedFrames, frames);
    boolean lacks = saidGrants > grants.number() && !grants.hasNext();
    boolean isShort = lacks && isWaiting();
    if (words.isLost(answered, position(), isShort)) {
      breakHere(
          broken(
              "grants of a peer are lost: saidGrants=%d, takenGrants=%d (a connection of the two ranks has ended)"
                  .formatted(saidGrants, grants.number())));
    }
  }

  /// Takes what the receiver says.
  void told(int kind, MemorySegment frame, long at) {
    long body = at + Wire.HEADER_BYTES;
    words.noteAnswer();
    switch (kind) {
      case Wire.CREDIT -> consumedFrames = Math.max(consumedFrames, Wire.number(frame, at));
      case Wire.GRANT -> {
        int bytes = Wire.bytes(frame, at);
        if (!grants.take(Wire.number(frame, at), Wire.message(frame, at), frame, body, bytes)) {
          breakHere(broken("grant is impossible: number=" + Wire.number(frame, at)));
        }
      }
      case Wire.REFUSE -> {
        Envelope mine = new Envelope();
        if (failure == null
            && theirs.read(frame, body)
            && mine.read(frame, body + Envelope.BYTES)) {
          failure = mismatched(mine, theirs);
        }
        peerLeft(Wire.number(frame, at));
      }
      case Wire.GONE -> peerLeft(Wire.number(frame, at));
      case Wire.ASK -> words.answer(Wire.number(frame, at), peerLeft);
      case Wire.DOUBT -> words.sayMeant(Wire.number(frame, at), sentFrames);
      case Wire.TAKEN ->
          taken(Wire.number(frame, at), Wire.message(frame, at), frame.get(Wire.LONG, body));
      default -> {}
    }
  }

  @Override
  void lost(RuntimeException cause) {
    mute = true;
    if (failure == null) {
      failure = cause;
    }
    giveBack();
  }

  private void peerLeft(long number) {
    peerLeft = true;
    words.noteFarewell(number);
    if (writing == 0) {
      words.confirm();
    }
  }

  @Override
  boolean saysAll() {
    return words.sayAll();
  }

  /// Returns how many frames were sent.
  long sentFrames() {
    return sentFrames;
  }

  /// Returns the number of the message whose bytes go out next.
  long nextMessage() {
    return next;
  }

  /// Returns how many segments were written.
  long writtenSegments() {
    return writtenSegments;
  }

  @Override
  void leave() {
    breakHere(broken("link is closed"));
  }

  @Override
  void breakHere(RuntimeException cause) {
    if (failure == null) {
      failure = cause;
      words.leave();
    }
  }

  @Override
  boolean touchesMemory() {
    return writing > 0;
  }

  /// What is on its way out only reads.
  @Override
  void revoke() {}

  @Override
  void giveBack() {
    if (closed && writing == 0) {
      free();
      if (mute || words.isConfirmed()) {
        engine.forget(this);
      }
    }
  }

  @Override
  void free() {
    if (staging != null) {
      staging.close();
      staging = null;
    }
  }
}
