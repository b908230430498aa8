package dev.lockstep.transport.efa;

import dev.lockstep.failure.TransportException;
import dev.lockstep.memory.MemoryPool;
import dev.lockstep.transport.efa.ffi.Fi;
import dev.lockstep.transport.efa.ffi.Libfabric;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.zip.CRC32C;
import org.jspecify.annotations.Nullable;

/// The endpoint of one rank: rails, frames, and the links that use them. All but [#hold] and
/// [#tryHold] is called with the lock held (Note [who touches what]).
final class Engine implements RailEvents {
  private static final VarHandle HELD;

  static {
    try {
      HELD = MethodHandles.lookup().findVarHandle(Engine.class, "held", boolean.class);
    } catch (ReflectiveOperationException impossible) {
      throw new ExceptionInInitializerError(impossible);
    }
  }

  /// Receives beside those of the links: greetings, grants, credits.
  private static final int SPARE_RECEIVES = FrameSlab.FRAMES;

  /// How long a closing rank keeps the wire going for what is on its way out.
  static final long FAREWELL_NANOS = 200_000_000;

  private final Failures failures;
  private final String transport;
  private final long job;
  private final int rank;
  private final MemoryPool pool;
  private final FabricOptions options;
  private final List<Rail> rails = new ArrayList<>();
  private final Rail first;
  private final RegionCache cache;
  private final CRC32C crc = new CRC32C();

  private final FrameSlab outgoing;
  private final @Nullable FabricLink[] frameOwners = new FabricLink[Rail.FRAMES];
  private final int[] freeFrames = new int[Rail.FRAMES];
  private int freeFrameCount;

  private final List<FrameSlab> incoming = new ArrayList<>();
  private int[] unposted = new int[0];
  private int unpostedCount;
  private int wantedReceives = SPARE_RECEIVES;

  private final SegmentWrites[] writes;
  private final Map<String, long[]> inserted = new HashMap<>();
  private final Peer[] peers;
  private SendLink[] senders = {};
  private ReceiveLink[] receivers = {};
  private FabricLink[] dirty = new FabricLink[16];
  private int dirtyCount;
  private @Nullable TransportException failure;
  private volatile @Nullable Runnable wantedTurn;
  private boolean answers;
  private boolean closing;

  long messagesSent;
  long bytesSent;
  long messagesReceived;
  long bytesReceived;

  @SuppressWarnings("unused") // by HELD
  private boolean held;

  /// Opens the endpoint.
  ///
  /// @param found borrowed until the engine is closed
  /// @throws TransportException if libfabric refuses
  Engine(
      Discovery found,
      Libfabric library,
      long job,
      int rank,
      int ranks,
      MemoryPool pool,
      FabricOptions options) {
    this.transport = found.kind().name();
    this.job = job;
    this.rank = rank;
    this.pool = pool;
    this.options = options;
    this.failures =
        new Failures(library, found.kind().name(), found.domains().getFirst().provider());
    this.peers = new Peer[ranks];
    Arrays.setAll(peers, Peer::new);
    try {
      openRails(found, library);
      this.first = rails.getFirst();
      FabricInfo info = first.info();
      if (info.maxMessageBytes() < Wire.FRAME_BYTES) {
        throw new TransportException(
            info.provider(),
            "provider's messages are too short: provider=%s, mostBytes=%d, neededBytes=%d"
                .formatted(info.provider(), info.maxMessageBytes(), Wire.FRAME_BYTES),
            null);
      }
      long allowed = info.pins() ? LockedMemory.read().budget() : Long.MAX_VALUE;
      this.cache =
          new RegionCache(
              rails, failures, options.budgetBytes() < 0 ? allowed : options.budgetBytes());
      this.outgoing = new FrameSlab(pool, first, failures, cache.newKey());
      this.writes = new SegmentWrites[rails.size()];
      Arrays.setAll(writes, _ -> new SegmentWrites());
      for (int i = 0; i < Rail.FRAMES; i++) {
        freeFrames[freeFrameCount++] = i;
      }
      growReceives();
    } catch (RuntimeException | Error cause) {
      rails.forEach(Rail::close);
      throw cause;
    }
  }

  private void openRails(Discovery found, Libfabric library) {
    List<FabricInfo> domains = found.domains();
    int count = options.copies() ? options.rails() : Math.min(options.rails(), domains.size());
    for (int i = 0; i < count; i++) {
      // Ranks of a host start at different cards.
      FabricInfo info = domains.get((rank * count + i) % domains.size());
      rails.add(new Rail(library, failures, info, i, found.kind().isEfa()));
    }
  }

  /// Waits for the lock.
  void hold() {
    while (!tryHold()) {
      Thread.onSpinWait();
    }
  }

  /// Takes the lock if it is free.
  boolean tryHold() {
    return HELD.compareAndSet(this, false, true);
  }

  void letGo() {
    HELD.setRelease(this, false);
  }

  String transport() {
    return transport;
  }

  int rank() {
    return rank;
  }

  MemoryPool pool() {
    return pool;
  }

  FabricOptions options() {
    return options;
  }

  /// Returns whether memory that is sent from has to be registered.
  boolean registersLocal() {
    return options.registersLocal() || first.info().registersLocal();
  }

  Failures failures() {
    return failures;
  }

  RegionCache cache() {
    return cache;
  }

  CRC32C crc() {
    return crc;
  }

  List<Rail> rails() {
    return rails;
  }

  Peer peer(int rank) {
    return peers[rank];
  }

  @Nullable TransportException failure() {
    return failure;
  }

  /// Returns the names of this endpoint, one for each rail.
  List<byte[]> names() {
    return rails.stream().map(Rail::name).toList();
  }

  /// Makes a peer known by its names, one for each of its rails.
  ///
  /// @return its address on each rail here
  long[] insert(int peer, List<byte[]> names) {
    long[] addresses = new long[rails.size()];
    for (int i = 0; i < addresses.length; i++) {
      byte[] name = names.get(Math.min(i, names.size() - 1));
      String key = i + "/" + new String(name, StandardCharsets.ISO_8859_1);
      Rail rail = rails.get(i);
      addresses[i] = inserted.computeIfAbsent(key, _ -> new long[] {rail.insert(name)})[0];
    }
    peers[peer].addresses(addresses);
    return addresses;
  }

  // ---- links

  /// Gives a sending end its number.
  int add(SendLink link) {
    senders = Arrays.copyOf(senders, senders.length + 1);
    senders[senders.length - 1] = link;
    return senders.length - 1;
  }

  /// Gives a receiving end its number and room for its frames.
  int add(ReceiveLink link, int frames) {
    if (receivers.length == Wire.MOST_LINKS) {
      throw new TransportException(
          transport,
          "too many links: transport=%s, most=%d".formatted(transport, Wire.MOST_LINKS),
          null);
    }
    wantedReceives = Math.min(wantedReceives + frames, Rail.MOST_RECEIVES);
    growReceives();
    receivers = Arrays.copyOf(receivers, receivers.length + 1);
    receivers[receivers.length - 1] = link;
    return receivers.length - 1;
  }

  /// Puts a link on the list of those that have something to say.
  void markDirty(FabricLink link) {
    if (link.listed) {
      return;
    }
    link.listed = true;
    if (dirtyCount == dirty.length) {
      dirty = Arrays.copyOf(dirty, 2 * dirtyCount);
    }
    dirty[dirtyCount++] = link;
  }

  /// Lets links say what they have to, as far as there is room.
  void flush() {
    for (int i = dirtyCount - 1; i >= 0; i--) {
      FabricLink link = dirty[i];
      if (link.saysAll()) {
        link.listed = false;
        dirty[i] = dirty[--dirtyCount];
      }
    }
  }

  /// Returns whether anything is on its way out or waits to be.
  boolean isBusy() {
    return dirtyCount > 0 || freeFrameCount < Rail.FRAMES || isWriting();
  }

  private boolean isWriting() {
    for (SegmentWrites writing : writes) {
      if (writing.isBusy()) {
        return true;
      }
    }
    return false;
  }

  /// Moves the wire: reads what has completed and says what waits to be said. Touches no transfer.
  ///
  /// @return number of completions
  int progress() {
    int found = 0;
    for (int i = 0; i < rails.size(); i++) {
      found += rails.get(i).poll(this);
    }
    if (unpostedCount > 0) {
      postReceives();
    }
    if (dirtyCount > 0) {
      flush();
    }
    if (answers) {
      answerPeers();
    }
    Runnable turn = wantedTurn;
    if (turn != null) {
      wantedTurn = null;
      turn.run();
    }
    return found;
  }

  /// Has whoever holds the lock do something at the end of its next [#progress]: a thread that
  /// waits in a loop leaves the lock to nobody. May be called without the lock.
  void want(Runnable turn) {
    wantedTurn = turn;
  }

  // ---- frames out

  /// Claims the memory of a frame, -1 if all are on their way.
  int claimFrame() {
    return freeFrameCount == 0 ? -1 : freeFrames[--freeFrameCount];
  }

  /// Gives a frame back that was not sent.
  void releaseFrame(int frame) {
    freeFrames[freeFrameCount++] = frame;
  }

  MemorySegment frames() {
    return outgoing.segment();
  }

  /// Sends a frame whose body is written; on refusal its memory is given back.
  ///
  /// @param owner whom a failure breaks
  /// @param to link number as the receiver of the frame knows it
  /// @return whether it was taken
  boolean send(
      int frame,
      @Nullable FabricLink owner,
      int peer,
      int kind,
      int to,
      int bodyBytes,
      long number,
      long message) {
    long at = FrameSlab.offset(frame);
    long[] addresses = peers[peer].addresses();
    if (addresses == null) {
      releaseFrame(frame);
      return false;
    }
    Wire.header(outgoing.segment(), at, kind, job, to, bodyBytes, number, message);
    Wire.seal(outgoing.segment(), at, crc, outgoing.bytes());
    long bytes = Wire.HEADER_BYTES + (long) bodyBytes;
    boolean injects = bytes <= first.info().injectBytes();
    long status =
        injects
            ? first.inject(outgoing.address(frame), bytes, addresses[0])
            : first.send(
                frame, outgoing.address(frame), bytes, outgoing.descriptor(), addresses[0]);
    if (status == 0 && !injects) {
      frameOwners[frame] = owner;
      return true;
    }
    releaseFrame(frame);
    if (status < 0 && status != -Fi.EAGAIN) {
      lost(peer, failures.ofCall(injects ? "fi_inject" : "fi_send", "rank " + peer, status));
    }
    return status == 0;
  }

  @Override
  public void frameSent(int frame) {
    frameOwners[frame] = null;
    releaseFrame(frame);
  }

  @Override
  public void frameFailed(int frame, int error, String words) {
    FabricLink owner = frameOwners[frame];
    frameSent(frame);
    if (owner != null) {
      String endpoint = "rank " + owner.peer();
      lost(owner.peer(), failures.ofCompletion("fi_send", endpoint, error, words));
    }
  }

  // ---- segments out

  /// Returns the writes of a rail.
  SegmentWrites writes(int rail) {
    return writes[rail];
  }

  @Override
  public void segmentWritten(Rail rail, int write) {
    writes[rail.number()].written(write);
  }

  @Override
  public void writeFailed(Rail rail, int write, int error, String words) {
    int peer = writes[rail.number()].failed(write);
    lost(peer, failures.ofCompletion("fi_writedata", "rank " + peer, error, words));
  }

  // ---- frames in

  private void growReceives() {
    while (incoming.size() * FrameSlab.FRAMES < wantedReceives) {
      int from = incoming.size() * FrameSlab.FRAMES;
      incoming.add(new FrameSlab(pool, first, failures, cache.newKey()));
      unposted = Arrays.copyOf(unposted, from + FrameSlab.FRAMES);
      for (int i = 0; i < FrameSlab.FRAMES; i++) {
        unposted[unpostedCount++] = from + i;
      }
    }
    postReceives();
  }

  private void postReceives() {
    while (unpostedCount > 0) {
      int receive = unposted[unpostedCount - 1];
      FrameSlab slab = slab(receive);
      long status =
          first.receive(receive, slab.address(receive % FrameSlab.FRAMES), slab.descriptor());
      if (status < 0) {
        if (status != -Fi.EAGAIN) {
          endpointFailed(failures.ofCall("fi_recv", "local", status));
        }
        return;
      }
      unpostedCount--;
    }
  }

  private FrameSlab slab(int receive) {
    return incoming.get(receive / FrameSlab.FRAMES);
  }

  /// Returns the memory that holds a frame that arrived; it starts at [#offset].
  MemorySegment frame(int receive) {
    return slab(receive).segment();
  }

  static long offset(int receive) {
    return FrameSlab.offset(receive % FrameSlab.FRAMES);
  }

  /// Gives a frame that arrived back to be filled again.
  void recycle(int receive) {
    unposted[unpostedCount++] = receive;
  }

  @Override
  public void frameArrived(int receive, long bytes) {
    FrameSlab slab = slab(receive);
    MemorySegment frame = slab.segment();
    long at = offset(receive);
    // What is damaged or of another job names no link that could be believed: it is as if it had
    // never come, and whoever waits for it says so.
    if (Wire.isSound(frame, at, bytes, job, crc, slab.bytes()) && deliver(receive, frame, at)) {
      return;
    }
    recycle(receive);
  }

  /// Returns whether the frame is kept until its turn comes.
  private boolean deliver(int receive, MemorySegment frame, long at) {
    int link = Wire.link(frame, at);
    int kind = Wire.kind(frame, at);
    switch (kind) {
      case Wire.FIRST, Wire.NEXT, Wire.ANNOUNCE, Wire.CLOSE -> {
        hear(link);
        return isReceiver(link) && receivers[link].arrived(receive, Wire.number(frame, at));
      }
      case Wire.HELLO, Wire.DISPUTE, Wire.GONE_SEEN -> {
        if (isReceiver(link)) {
          receivers[link].told(kind, frame, at);
        }
      }
      case Wire.GRANT, Wire.CREDIT, Wire.GONE, Wire.REFUSE -> {
        if (link >= 0 && link < senders.length) {
          peers[senders[link].peer()].heard = true;
          senders[link].told(kind, frame, at);
        }
      }
      case Wire.PING, Wire.PONG -> {
        if (isPeer(link)) {
          peers[link].heard = true;
          peers[link].pongWanted |= kind == Wire.PING;
          answers |= peers[link].pongWanted;
        }
      }
      case Wire.BYE, Wire.BYE_SEEN -> {
        if (isPeer(link)) {
          leave(peers[link], kind == Wire.BYE);
        }
      }
      default -> {}
    }
    return false;
  }

  private boolean isPeer(int rank) {
    return rank >= 0 && rank < peers.length;
  }

  private boolean isReceiver(int link) {
    return link >= 0 && link < receivers.length;
  }

  @Override
  public void segmentArrived(long immediate) {
    int link = Wire.linkOf(immediate);
    if (isReceiver(link)) {
      hear(link);
      receivers[link].segmentArrived(immediate);
    }
  }

  /// Notes that the sender of a link is alive.
  private void hear(int link) {
    if (isReceiver(link)) {
      peers[receivers[link].peer()].heard = true;
    }
  }

  // ---- failures

  /// Breaks all links with a peer.
  void lost(int peer, RuntimeException cause) {
    peers[peer].left = true;
    peers[peer].silent = true;
    for (SendLink link : senders) {
      if (link.peer() == peer) {
        link.lost(cause);
      }
    }
    for (ReceiveLink link : receivers) {
      if (link.peer() == peer) {
        link.lost(cause);
      }
    }
  }

  @Override
  public void endpointFailed(TransportException cause) {
    if (failure == null) {
      failure = cause;
      for (int peer = 0; peer < peers.length; peer++) {
        lost(peer, cause);
      }
    }
  }

  // ---- liveness

  /// Asks the peers that links wait for whether they are there, and answers those that asked.
  ///
  /// @param most how often in a row a peer may fail to answer
  void askPeers(int most) {
    for (Peer peer : peers) {
      if (peer.addresses() == null || peer.left) {
        continue;
      }
      if (!isAwaited(peer.rank())) {
        peer.heard = true;
      } else if (peer.heard) {
        peer.silences = 0;
        peer.heard = false;
        peer.pingWanted = true;
        answers = true;
      } else if (++peer.silences > most) {
        lost(
            peer.rank(),
            new TransportException(
                "rank " + peer.rank(),
                "peer does not answer: transport=%s, peer=%d, unansweredQuestions=%d"
                    .formatted(transport, peer.rank(), peer.silences),
                null));
      } else {
        peer.pingWanted = true;
        answers = true;
      }
    }
  }

  /// Says to peers what [#askPeers], [#sayBye] and their questions ask for.
  private void answerPeers() {
    boolean all = true;
    for (Peer peer : peers) {
      if (!peer.left) {
        peer.pongWanted = peer.pongWanted && !say(peer, Wire.PONG);
        peer.pingWanted = peer.pingWanted && !say(peer, Wire.PING);
        peer.byeWanted = peer.byeWanted && !say(peer, Wire.BYE);
        all &= !peer.pongWanted && !peer.pingWanted && !peer.byeWanted;
      }
      peer.byeSeenWanted = peer.byeSeenWanted && !say(peer, Wire.BYE_SEEN);
      all &= !peer.byeSeenWanted;
    }
    answers = !all;
  }

  /// Tells every peer that this rank will say nothing more, which a peer in the same process must
  /// know before the endpoint goes: `shm` of 1.17 touches the memory of a closed one.
  void sayBye() {
    closing = true;
    for (Peer peer : peers) {
      peer.byeWanted = peer.addresses() != null && !peer.left;
      peer.silent |= !peer.byeWanted;
    }
    answers = true;
  }

  /// Returns whether every peer has left or knows that this rank does.
  boolean isForgotten() {
    for (Peer peer : peers) {
      if (!peer.silent) {
        return false;
      }
    }
    return true;
  }

  /// Notes that a peer leaves, or that it has seen this rank leave.
  private void leave(Peer peer, boolean bye) {
    // Two that leave at once need no answer from each other.
    peer.byeSeenWanted = bye && !closing;
    peer.silent = true;
    peer.left = true;
    answers |= peer.byeSeenWanted;
    for (SendLink link : senders) {
      link.mute |= link.peer() == peer.rank();
    }
    for (ReceiveLink link : receivers) {
      link.mute |= link.peer() == peer.rank();
    }
  }

  private boolean say(Peer peer, int kind) {
    if (peer.addresses() == null) {
      return false;
    }
    int frame = claimFrame();
    return frame >= 0 && send(frame, anyLink(peer.rank()), peer.rank(), kind, rank, 0, 0, 0);
  }

  private @Nullable FabricLink anyLink(int peer) {
    for (SendLink link : senders) {
      if (link.peer() == peer) {
        return link;
      }
    }
    for (ReceiveLink link : receivers) {
      if (link.peer() == peer) {
        return link;
      }
    }
    return null;
  }

  private boolean isAwaited(int peer) {
    for (SendLink link : senders) {
      if (link.peer() == peer && link.isWaiting()) {
        return true;
      }
    }
    for (ReceiveLink link : receivers) {
      if (link.peer() == peer && link.isWaiting()) {
        return true;
      }
    }
    return false;
  }

  // ---- the end

  /// Closes everything in the order that the wire needs: endpoints, registrations, memory.
  void close() {
    rails.forEach(Rail::closeEndpoint);
    for (ReceiveLink link : receivers) {
      link.free();
    }
    for (SendLink link : senders) {
      link.free();
    }
    for (SegmentWrites writing : writes) {
      writing.clear();
    }
    cache.close();
    incoming.forEach(FrameSlab::close);
    outgoing.close();
    rails.forEach(Rail::close);
  }
}
