package dev.lockstep.transport.efa;

import dev.lockstep.failure.TransportException;
import dev.lockstep.memory.LockedMemory;
import dev.lockstep.memory.MemoryPool;
import dev.lockstep.memory.Scope;
import dev.lockstep.transport.TransportContext;
import dev.lockstep.transport.efa.ffi.Fi;
import dev.lockstep.transport.efa.ffi.Libfabric;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.zip.CRC32C;
import org.jspecify.annotations.Nullable;

/// The endpoint of one rank: rails, frames, and the links that use them. All but [#hold],
/// [#tryHold], [#want] and what never changes is called with the lock held (Note [who touches
/// what]).
final class Engine implements RailEvents {
  /// How long a closing rank keeps the wire going for what is on its way out, and for peers that
  /// may still touch its endpoint: long enough for a peer that a loaded machine keeps from its
  /// turn.
  static final long FAREWELL_NANOS = 1_000_000_000;

  /// Where order is kept: two ways to and fro behind a word, the provider's own conversations about
  /// what was sent before it are over too.
  private static final int ANSWERS_IN_ORDER = 3;

  private final EndpointLock lock;
  private final Failures failures;
  private final String transport;
  private final FrameShape frames;
  private final int mostShortfalls;
  private final long job;
  private final int rank;
  private final MemoryPool pool;
  private final FabricOptions options;
  private final List<Rail> rails;
  private final Rail first;
  private final RegionCache cache;
  private final CRC32C crc = new CRC32C();
  private final Scope opened = new Scope();

  private final OutgoingFrames outgoing;
  private final IncomingFrames incoming;
  private final SegmentWrites[] writes;
  private final SegmentRoom room;
  private final Map<String, long[]> inserted = new HashMap<>();
  private final Unsaid unsaid = new Unsaid();
  private final Traffic traffic = new Traffic();
  private final Links links;
  private final Peers peers;
  private final Arrivals arrivals;
  private @Nullable TransportException failure;
  private volatile @Nullable Runnable wantedTurn;
  private boolean quiet;
  private boolean closed;

  /// Opens the endpoint.
  ///
  /// @param found borrowed until the engine is closed
  /// @throws TransportException if libfabric refuses
  Engine(Discovery found, Libfabric library, TransportContext context, FabricOptions options) {
    this.lock = new EndpointLock(found.kind().name(), context.liveness().multipliedBy(2));
    this.transport = found.kind().name();
    this.frames = found.kind().frames();
    int silences = Keeper.mostSilences(context.liveness().toNanos());
    this.mostShortfalls = found.kind().keepsOrder() ? ANSWERS_IN_ORDER : silences;
    this.job = context.jobId();
    this.rank = context.rank();
    this.pool = context.memory();
    this.options = options;
    this.failures =
        new Failures(library, found.kind().name(), found.domains().getFirst().provider());
    this.links = new Links(transport);
    this.peers =
        new Peers(transport, found.kind().unheard(), context.worldSize(), links, this::say);
    this.rails = Rails.open(found, library, failures, options, Rails.place(context.hosts(), rank));
    rails.forEach(rail -> opened.own(rail, Rail::close));
    try {
      this.first = rails.getFirst();
      FabricInfo info = first.info();
      if (first.maxFrameBytes() < frames.bytes()) {
        throw new TransportException(
            info.provider(),
            "provider's messages are too short: provider=%s, mostBytes=%d, neededBytes=%d"
                .formatted(info.provider(), first.maxFrameBytes(), frames.bytes()),
            null);
      }
      long allowed = info.pins() ? LockedMemory.read().budget() : Long.MAX_VALUE;
      this.cache =
          new RegionCache(
              rails, failures, options.budgetBytes() < 0 ? allowed : options.budgetBytes());
      this.outgoing =
          opened.own(
              new OutgoingFrames(pool, first, cache, frames, job, crc), OutgoingFrames::close);
      this.incoming =
          opened.own(new IncomingFrames(pool, first, cache, frames), IncomingFrames::close);
      this.writes = new SegmentWrites[rails.size()];
      Arrays.setAll(writes, _ -> new SegmentWrites());
      this.room = SegmentRoom.of(rails);
      this.arrivals = new Arrivals(this, links, peers, incoming, job);
      incoming.grow(0);
      postReceives();
    } catch (RuntimeException | Error cause) {
      Scope.afterFailure(cause, () -> closeAll(opened, rails));
      throw cause;
    }
  }

  /// Waits for the lock, as [EndpointLock#hold].
  void hold() {
    lock.hold();
  }

  /// Takes the lock if it is free.
  boolean tryHold() {
    return lock.tryHold();
  }

  void letGo() {
    lock.letGo();
  }

  String transport() {
    return transport;
  }

  int rank() {
    return rank;
  }

  long job() {
    return job;
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

  Peers peers() {
    return peers;
  }

  /// Returns the links, for tests.
  Links links() {
    return links;
  }

  /// Returns how often in a row the other end of a link may say that it has sent more than is here,
  /// with nothing coming meanwhile.
  int mostShortfalls() {
    return mostShortfalls;
  }

  FrameShape frames() {
    return frames;
  }

  Traffic traffic() {
    return traffic;
  }

  /// Returns the room for segments that peers have leave to write.
  SegmentRoom room() {
    return room;
  }

  OutgoingFrames outgoing() {
    return outgoing;
  }

  IncomingFrames incoming() {
    return incoming;
  }

  /// Returns what the endpoint has failed with, null while it has not.
  @Nullable TransportException failure() {
    return failure;
  }

  /// Returns the names of this endpoint, one for each rail.
  List<byte[]> names() {
    return rails.stream().map(Rail::name).toList();
  }

  /// Returns what speaks here, as [LinkAddress#fabric].
  String fabric() {
    return first.info().speaks();
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
    peers.met(peer, addresses);
    return addresses;
  }

  /// Gives a sending end its number.
  int add(SendLink link) {
    return links.senders().add(link);
  }

  /// Gives a receiving end its number and room for its frames.
  int add(ReceiveLink link, int frames) {
    links.receivers().requireRoom();
    incoming.grow(frames);
    postReceives();
    peers.peer(link.peer()).mayGreet = true;
    room.linkOpened();
    return links.receivers().add(link);
  }

  /// Takes back what [#add(SendLink)] gave.
  void forget(SendLink link) {
    links.senders().remove(link.number());
  }

  /// Takes back what [#add(ReceiveLink,int)] gave.
  void forget(ReceiveLink link, int frames) {
    links.receivers().remove(link.number());
    incoming.shrink(frames);
    room.linkClosed();
  }

  /// Puts a link on the list of those that have something to say.
  void markDirty(FabricLink link) {
    unsaid.add(link);
  }

  /// Lets links say what they have to, as far as there is room.
  void flush() {
    unsaid.flush();
  }

  /// Returns whether anything is on its way out or waits to be.
  boolean isBusy() {
    return !unsaid.isEmpty() || outgoing.isBusy() || isWriting();
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
    peers.listen();
    for (int i = 0; i < rails.size(); i++) {
      found += rails.get(i).poll(this);
    }
    quiet = found == 0;
    postReceives();
    unsaid.flush();
    peers.answer();
    Runnable turn = wantedTurn;
    if (turn != null) {
      wantedTurn = null;
      turn.run();
    }
    return found;
  }

  /// Returns whether nothing had completed at the last look: what may wait is said then, not before
  /// the answer to what has just arrived.
  boolean isQuiet() {
    return quiet;
  }

  /// Has whoever holds the lock do something at the end of its next [#progress]: a thread that
  /// waits in a loop leaves the lock to nobody. May be called without the lock.
  void want(Runnable turn) {
    wantedTurn = turn;
  }

  /// Sends a frame whose body is written; unless it is taken its memory is given back.
  ///
  /// @param to link number as the receiver of the frame knows it
  /// @return whether it was taken
  boolean send(int frame, int peer, int kind, int to, int bodyBytes, long number, long message) {
    long[] addresses = peers.peer(peer).addresses();
    if (addresses == null) {
      outgoing.release(frame);
      return false;
    }
    long status = outgoing.send(frame, peer, addresses[0], kind, to, bodyBytes, number, message);
    if (status < 0 && status != -Fi.EAGAIN) {
      String function = outgoing.function(bodyBytes);
      peers.lost(peer, failures.ofCall(function, "rank " + peer, status));
    }
    return status == 0;
  }

  /// Sends a bare frame whose body is written; its memory is given back.
  ///
  /// @param unsent bytes of the body that are not payload
  /// @return whether it was taken
  boolean sendBare(
      int frame, int peer, int kind, int to, int unsent, int payload, long number, long message) {
    long[] addresses = peers.peer(peer).addresses();
    if (addresses == null) {
      outgoing.release(frame);
      return false;
    }
    long status =
        outgoing.sendBare(frame, addresses[0], kind, to, unsent, payload, number, message);
    if (status < 0 && status != -Fi.EAGAIN) {
      peers.lost(peer, failures.ofCall("fi_injectdata", "rank " + peer, status));
    }
    return status == 0;
  }

  private boolean say(int peer, int kind) {
    int frame = outgoing.claim();
    return frame >= 0 && send(frame, peer, kind, rank, 0, 0, 0);
  }

  @Override
  public void frameSent(int frame) {
    var _ = outgoing.done(frame);
  }

  @Override
  public void frameFailed(int frame, int error, String words) {
    int peer = outgoing.done(frame);
    peers.lost(peer, failures.ofCompletion("fi_send", "rank " + peer, error, words));
  }

  private void postReceives() {
    long status = incoming.post();
    if (status < 0) {
      endpointFailed(failures.ofCall("fi_recv", "local", status));
    }
  }

  @Override
  public void frameArrived(int receive, long bytes) {
    arrivals.frame(receive, bytes);
  }

  @Override
  public void bareFrameArrived(int receive, long bytes, long immediate) {
    arrivals.bareFrame(receive, bytes, immediate);
  }

  @Override
  public void receiveLost(int receive) {
    incoming.recycle(receive);
  }

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
    peers.lost(peer, failures.ofCompletion("fi_writedata", "rank " + peer, error, words));
  }

  @Override
  public void segmentArrived(long immediate) {
    arrivals.segment(immediate);
  }

  @Override
  public void segmentLost(int error, String words, long bytes, long immediate) {
    arrivals.segmentLost(error, words, bytes, immediate);
  }

  @Override
  public void endpointFailed(TransportException cause) {
    if (failure == null) {
      failure = cause;
      peers.allLost(cause);
    }
  }

  /// Returns whether libfabric may be called.
  boolean isOpen() {
    return !closed;
  }

  /// Closes everything in the order that the wire needs: endpoints, registrations, memory.
  void close() {
    closed = true;
    opened.own(cache, RegionCache::close);
    Arrays.asList(writes).forEach(writing -> opened.own(writing, SegmentWrites::clear));
    opened.own(links, Links::free);
    closeAll(opened, rails);
  }

  /// Closes endpoints, then what was opened, last first: all of it, also where some fails.
  private static void closeAll(Scope opened, List<Rail> rails) {
    rails.forEach(rail -> opened.own(rail, Rail::closeEndpoint));
    opened.close();
  }
}
