package dev.lockstep.transport.efa;

import dev.lockstep.failure.TransportException;
import dev.lockstep.transport.Envelope;
import dev.lockstep.transport.Transfer;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import org.jspecify.annotations.Nullable;

/// Receiving end. Frames wait in a window until their turn comes and are applied straight from the
/// memory they arrived in. Long messages are asked for as soon as they are expected: into their
/// target if they are stored, into staging memory if they are reduced.
final class ReceiveLink extends FabricLink {
  /// Frames that the endpoint has room for beside those of other links.
  private static final int FRAMES = WINDOW + 2;

  private final int number;
  private final long eagerBytes;
  private final Envelope arrived = new Envelope();
  private final Window window;
  private final IssuedGrants grants;
  private final ReceiverWords words;
  private long nextFrame;
  private boolean started;

  /// Segments that came, and how many its sender has said to have written in all: -1 while it may
  /// write. Rails are looked at one after another, so that it may say so before the last ones.
  private long segments;

  private long writtenSegments = -1;

  /// Whether the frame whose turn it is came bare and is not what is expected: what its sender
  /// meant decides whether it is another message or was damaged.
  private boolean doubts;

  private boolean forgotten;

  /// Why nothing more comes; what has come is taken all the same.
  private @Nullable RuntimeException loss;

  ReceiveLink(Engine engine, int peer, int communicator) {
    super(engine, peer, communicator);
    this.eagerBytes = engine.options().eagerBytes(engine.frames());
    this.grants = new IssuedGrants(engine);
    this.window = new Window(engine.incoming());
    this.words = new ReceiverWords(this, grants);
    try {
      this.number = engine.add(this, FRAMES);
    } catch (RuntimeException | Error failure) {
      grants.free();
      throw failure;
    }
  }

  /// Returns what the sender has to know.
  LinkAddress address() {
    return new LinkAddress(number, eagerBytes, engine.fabric(), engine.names());
  }

  @Override
  boolean sends() {
    return false;
  }

  @Override
  boolean mayWriteWith(Transfer transfer) {
    return false;
  }

  @Override
  int advance() {
    int work = 0;
    if (mute && loss == null && failure == null && (doubts || !isGreeted())) {
      loss = broken(doubts ? neverSaid() : "peer has closed its transport");
    }
    try {
      while (failure == null) {
        int moved = applySegments() + takeFrame();
        if (moved == 0) {
          break;
        }
        work += moved;
      }
      if (failure == null && loss != null && head < tail) {
        failure = loss; // what is waited for has not come
        grants.dropUnsaid();
      }
      if (failure == null && loss == null && grants.issue(this, eagerBytes)) {
        engine.markDirty(this);
      }
    } catch (RuntimeException memoryIsClosed) {
      breakHere(memoryIsClosed);
    }
    words.reportTaken();
    failPosted();
    return work;
  }

  /// Applies what has arrived of the first message, if it is a long one.
  private int applySegments() {
    if (head == tail || transfer(head).bytes() <= eagerBytes) {
      return 0;
    }
    Transfer transfer = transfer(head);
    int work = 0;
    while (grants.isFirstComplete()) {
      int slot = grants.firstSlot();
      if (grants.isStaged(slot)) {
        Placing.put(transfer, grants.memory(slot), grants.offset(slot), grants.bytes(slot));
      } else {
        Placing.isThere(transfer, grants.bytes(slot));
      }
      grants.finishFirst();
      work++;
      if (transfer.progress == transfer.bytes()) {
        received(transfer);
        break;
      }
    }
    return work;
  }

  private void received(Transfer transfer) {
    engine.traffic().received(transfer.bytes());
    started = false;
    complete(transfer);
  }

  /// Takes the frame whose turn it is, if it has come and its message is expected.
  private int takeFrame() {
    int receive = window.receive(nextFrame);
    if (receive < 0) {
      return 0;
    }
    int bare = window.payload(nextFrame);
    if (bare > 0 && (doubts || !isExpected(receive, bare))) {
      return 0;
    }
    MemorySegment frame = engine.incoming().segment(receive);
    long from = bare > 0 ? bareFrame(receive) : engine.incoming().offset(receive);
    long message = Wire.message(frame, from);
    boolean expected = message == head && head < tail;
    switch (Wire.kind(frame, from)) {
      case Wire.ANNOUNCE -> {
        if (message >= head && !expected) {
          return 0;
        }
        if (expected) {
          accept(frame, from + Wire.HEADER_BYTES);
        }
      }
      case Wire.CLOSE -> {
        if (message > head) {
          return 0; // segments of earlier messages are on their way
        }
        failure = broken("link was closed by its sender");
        grants.dropUnsaid();
        words.leave();
      }
      default -> {
        if (!expected) {
          return 0;
        }
        takePayload(frame, from, bare > 0);
      }
    }
    window.drop(nextFrame);
    nextFrame++;
    return 1;
  }

  /// Returns where a bare frame begins, of the message that is expected.
  private long bareFrame(int receive) {
    int envelope = started ? 0 : Envelope.BYTES;
    return engine.incoming().offset(receive) - envelope - Wire.HEADER_BYTES;
  }

  /// Returns whether a bare frame is of the message that is expected, and writes before it what its
  /// sender has written there.
  private boolean isExpected(int receive, int payload) {
    long immediate = window.immediate(nextFrame);
    if (head == tail || !Wire.isOfMessage(immediate, head)) {
      return false;
    }
    MemorySegment memory = engine.incoming().segment(receive);
    long from = bareFrame(receive);
    int body = (int) (engine.incoming().offset(receive) - from) - Wire.HEADER_BYTES + payload;
    int kind = started ? Wire.NEXT : Wire.FIRST;
    Wire.header(memory, from, kind, engine.job(), number, body, nextFrame, head);
    memory.set(Wire.INT, from, Wire.checksumOf(immediate));
    if (!started) {
      transfer(head).envelope().write(memory, from + Wire.HEADER_BYTES);
    }
    doubts = !engine.incoming().isWhole(receive, from, Wire.HEADER_BYTES + body, engine.crc());
    if (doubts) {
      words.askWhatWasMeant();
    }
    return !doubts;
  }

  /// Takes what the sender of the bare frame in doubt says that it is.
  private void meant(MemorySegment frame, long at) {
    boolean isAnswer = doubts && failure == null && Wire.number(frame, at) == nextFrame;
    if (isAnswer && accept(frame, at + Wire.HEADER_BYTES)) {
      breakHere(broken("frame arrived damaged"));
    }
  }

  /// Returns why a bare frame in doubt is not taken whose sender cannot be asked any more.
  private String neverSaid() {
    Envelope expected = transfer(head).envelope();
    return "message is not the expected one or has arrived damaged, and its sender, who could say which, has closed its transport: expectedSequence=%d, expectedBytes=%d (call the same collectives in the same order on every rank)"
        .formatted(expected.sequence, expected.length);
  }

  private void takePayload(MemorySegment frame, long from, boolean bare) {
    Transfer transfer = transfer(head);
    long at = from + Wire.HEADER_BYTES;
    int payload = Wire.bytes(frame, from);
    boolean first = Wire.kind(frame, from) == Wire.FIRST;
    if (first) {
      if (!accept(frame, at)) {
        return;
      }
      at += Envelope.BYTES;
      payload -= Envelope.BYTES;
    }
    int most = engine.frames().payload(first, bare);
    if (first == started || payload != Math.min(transfer.bytes() - transfer.progress, most)) {
      breakHere(broken("frame has an impossible length: frameBytes=" + payload));
      return;
    }
    started = true;
    Placing.put(transfer, frame, at, payload);
    if (transfer.progress == transfer.bytes()) {
      received(transfer);
    }
  }

  /// Compares the envelope of what came with the one that is expected.
  private boolean accept(MemorySegment frame, long at) {
    Envelope expected = transfer(head).envelope();
    if (!arrived.read(frame, at)) {
      breakHere(broken("message is none of this protocol version"));
      return false;
    }
    if (!expected.matches(arrived)) {
      breakHere(mismatched(expected, arrived));
      words.refuse();
      return false;
    }
    return true;
  }

  @Override
  void breakHere(RuntimeException cause) {
    if (failure == null) {
      failure = cause;
      grants.dropUnsaid();
      words.leave();
    }
  }

  @Override
  void lost(RuntimeException cause) {
    mute = true;
    if (loss == null) {
      loss = cause;
    }
    giveBack();
  }

  /// Takes a frame of the stream into the window.
  ///
  /// @return whether it is kept
  boolean arrived(int receive, long frame) {
    return !closed && window.put(receive, frame, 0, 0, nextFrame);
  }

  /// Takes a bare frame of the stream into the window.
  ///
  /// @return whether it is kept
  boolean bareArrived(int receive, int payload, long immediate) {
    long frame = Wire.numberOf(immediate, nextFrame);
    return !closed && payload > 0 && window.put(receive, frame, payload, immediate, nextFrame);
  }

  /// Counts a segment that was written here.
  void segmentArrived(long immediate) {
    if (!grants.arrived(immediate)) {
      breakHere(broken("segment arrived damaged"));
    }
    segments++;
    settle();
  }

  /// Asks how much was sent, or whether it is known that this end is gone: a word that was lost, or
  /// whose answer was, would leave this rank's memory lent for good.
  @Override
  void ask() {
    if (failure != null && !mute && isGreeted() && !isOver()) {
      words.leaveAgain();
    }
    if (doubts && failure == null) {
      words.askWhatWasMeant();
    }
    if (isWaiting() && loss == null && isGreeted()) {
      words.askIfStill(nextFrame + segments);
      if (mute && words.isLeftAlone(nextFrame + segments)) {
        loss =
            broken(
                "peer has closed its transport, and what is waited for has not come: takenFrames=%d, arrivedSegments=%d"
                    .formatted(nextFrame, segments));
      }
    }
  }

  /// Compares what the sender says to have sent with what is here.
  private void compare(long frames, long written, long answered) {
    boolean lacksFrame = frames > nextFrame && !window.has(nextFrame);
    boolean isShort = isWaiting() && loss == null && (lacksFrame || written > segments);
    if (words.isLost(answered, nextFrame + segments, isShort)) {
      breakHere(
          broken(
              "what a peer has sent is lost: sentFrames=%d, takenFrames=%d, writtenSegments=%d, arrivedSegments=%d (a connection of the two ranks has ended)"
                  .formatted(frames, nextFrame, written, segments)));
    }
  }

  /// Takes what the sender says beside its stream.
  void told(int kind, MemorySegment frame, long at) {
    long body = at + Wire.HEADER_BYTES;
    switch (kind) {
      case Wire.HELLO -> {
        words.noteQuestion(Wire.number(frame, at));
        greeted(frame, body, Wire.bytes(frame, at));
      }
      case Wire.DISPUTE -> {
        Envelope theirs = new Envelope();
        if (theirs.read(frame, body) && arrived.read(frame, body + Envelope.BYTES)) {
          disputed(theirs);
        }
      }
      case Wire.SENT -> {
        engine.peers().hear(peer());
        compare(Wire.number(frame, at), Wire.message(frame, at), frame.get(Wire.LONG, body));
      }
      case Wire.MEANT -> {
        engine.peers().hear(peer());
        meant(frame, at);
      }
      case Wire.GONE_SEEN -> {
        engine.peers().peer(peer()).hasAnswered();
        writesNoMore(Wire.number(frame, at), Wire.message(frame, at));
      }
      default -> {}
    }
  }

  /// Notes what the sender has written in all; what is lost of it is not waited for.
  private void writesNoMore(long written, long answered) {
    boolean isLost = words.isUnwritten(answered, segments, written > segments);
    writtenSegments = isLost ? segments : written;
    settle();
  }

  /// Takes back what the sender may not write to any more, once all that it wrote is here.
  private void settle() {
    if (writtenSegments >= 0 && segments >= writtenSegments) {
      grants.drop();
    }
    giveBack();
  }

  private void disputed(Envelope theirs) {
    if (failure == null) {
      failure = mismatched(arrived, theirs);
    }
    grants.drop(); // who disputes does not write
    words.leave();
    giveBack();
  }

  private void greeted(MemorySegment frame, long body, int bytes) {
    if (isGreeted()) {
      words.answer();
      return;
    }
    try {
      LinkAddress.Greeting greeting =
          LinkAddress.Greeting.decode(frame.asSlice(body, bytes).toArray(ValueLayout.JAVA_BYTE));
      if (greeting.rank() != peer()) {
        return;
      }
      engine.insert(peer(), greeting.names());
      words.sayTo(greeting.link());
    } catch (TransportException strange) {
      breakHere(strange);
    }
  }

  @Override
  boolean saysAll() {
    return words.sayAll();
  }

  /// Says the first grant that has not been said.
  boolean sayGrant(int sender) {
    int frame = engine.outgoing().claim();
    if (frame < 0) {
      return false;
    }
    long grant = grants.firstUnsaid();
    long message = grants.message(grant);
    long body = engine.outgoing().body(frame);
    grants.write(grant, engine.outgoing().segment(), body, transfer(message).envelope());
    int bytes = Grants.bodyBytes(engine.rails().size());
    if (!engine.send(frame, peer(), Wire.GRANT, sender, bytes, grant, message)) {
      return false;
    }
    grants.said();
    return true;
  }

  @Override
  void leave() {
    breakHere(broken("link is closed"));
    window.clear();
  }

  @Override
  boolean touchesMemory() {
    return grants.hasSaid() && !grants.isRevoked();
  }

  @Override
  void revoke() {
    grants.revoke();
  }

  @Override
  void giveBack() {
    if (!closed || grants.hasSaid()) {
      return;
    }
    grants.free();
    if (isOver() && !forgotten) {
      forgotten = true;
      engine.forget(this, FRAMES);
    }
  }

  /// Returns whether nothing comes for a closed link any more: its number may be another's.
  private boolean isOver() {
    boolean confirmed = writtenSegments >= 0;
    return (confirmed || mute || !isGreeted())
        && segments >= (confirmed ? writtenSegments : grants.saidSegments());
  }

  @Override
  void free() {
    grants.drop();
    grants.free();
  }

  /// Returns whether its sender has said who it is.
  boolean isGreeted() {
    return words.isGreeted();
  }

  /// Returns how many frames were taken.
  long takenFrames() {
    return nextFrame;
  }

  /// Returns whether its sender has leave to write into memory here.
  boolean holdsMemory() {
    return touchesMemory();
  }

  /// Returns by what number the sender calls it.
  int number() {
    return number;
  }

  /// Returns how many frames wait for their turn, for tests.
  int unreadFrames() {
    return window.size();
  }
}
