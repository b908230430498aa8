package dev.lockstep.collective.execute;

import dev.lockstep.collective.schedule.Schedule;
import dev.lockstep.memory.Buffer;
import dev.lockstep.memory.HostMemory;
import dev.lockstep.memory.MemoryPool;
import dev.lockstep.memory.Registration;
import dev.lockstep.memory.Scope;
import dev.lockstep.transport.Link;
import dev.lockstep.transport.PeerAccess;
import dev.lockstep.transport.Transport;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/// One rank's end of a communicator on a transport: its links, signals and mailboxes. Ranks are the
/// communicator's, unless a name says job rank.
public final class Endpoint implements AutoCloseable {
  private static final Logger LOG = LoggerFactory.getLogger(Endpoint.class);

  /// The slot of [#revoke].
  private static final int REVOKED_SLOT = Schedule.SIGNAL_SLOTS;

  /// The slot by which a receiver says how many short messages it has taken, see [Mailboxes].
  static final int TAKEN_SLOT = Schedule.SIGNAL_SLOTS + 1;

  /// The slot of [#acknowledge].
  private static final int LEFT_SLOT = Schedule.SIGNAL_SLOTS + 2;

  /// The slot by which a rank says on which core it runs, see [Cores].
  static final int CORE_SLOT = Schedule.SIGNAL_SLOTS + 3;

  /// What ranks that share memory have told each other.
  ///
  /// @param access peers' memory, with the communicator's signals open
  /// @param outgoing this rank's mailboxes, [#mailBytes] zeroed bytes that peers can read
  /// @param descriptors by which to open each rank's mailboxes
  public record SharedMemory(PeerAccess access, Buffer outgoing, List<byte[]> descriptors) {
    /// Copies the list.
    public SharedMemory {
      descriptors = List.copyOf(descriptors);
    }

    private Mailboxes mailboxes(int communicator, Members members, Idle idle) {
      return new Mailboxes(
          access, communicator, members, outgoing, descriptors.toArray(byte[][]::new), idle);
    }
  }

  private final long job;
  private final int communicator;
  private final Members members;
  private final int rank;
  private final int ranks;
  private final Driving driving;
  private final Transport transport;
  private final @Nullable PeerAccess access;
  private final @Nullable Signals signals;
  private final @Nullable Mailboxes mail;
  private final @Nullable Cores cores;
  private final MemoryPool pool;
  private final Buffer nothing;

  /// Links are opened by whoever prepares, and abandoned by whoever moves.
  private final Map<Integer, Link> sending = new ConcurrentHashMap<>();

  private final Map<Integer, Link> receiving = new ConcurrentHashMap<>();
  private boolean closed;

  /// Makes the end of one rank.
  ///
  /// @param members who belongs to it
  /// @param driving what moves it, with other communicators; whose end is the last to be closed
  ///   closes it and its transport
  /// @param shared peers' memory, if all ranks have it; owned from here on
  public Endpoint(
      long job,
      int communicator,
      Members members,
      Driving driving,
      Optional<SharedMemory> shared,
      MemoryPool pool) {
    this.job = job;
    this.communicator = communicator;
    this.members = members;
    this.rank = members.rank();
    this.ranks = members.size();
    this.driving = driving;
    this.transport = driving.transport();
    this.access = shared.map(SharedMemory::access).orElse(null);
    this.signals =
        shared.map(memory -> new Signals(memory.access(), communicator, members)).orElse(null);
    this.mail =
        shared.map(memory -> memory.mailboxes(communicator, members, driving.idle)).orElse(null);
    this.cores =
        shared.map(memory -> new Cores(memory.access(), communicator, members)).orElse(null);
    this.pool = pool;
    try {
      findPeers();
      this.nothing = HostMemory.allocate(pool, "messages of no bytes", Long.BYTES);
    } catch (RuntimeException | Error failure) {
      shared.ifPresent(memory -> Scope.afterFailure(failure, memory.outgoing()::close));
      throw failure;
    }
  }

  /// Finds where each peer is signalled: once the job has failed, nobody says it any more, and then
  /// a peer may wait to hear that this rank has left its memory.
  private void findPeers() {
    for (int peer = 0; access != null && peer < ranks; peer++) {
      if (peer != rank) {
        access.signal(members.jobRank(peer), communicator, LEFT_SLOT, 0);
      }
    }
  }

  /// Returns the bytes of one rank's mailboxes.
  public static long mailBytes(int ranks) {
    return Mailboxes.bytes(ranks);
  }

  /// Returns the job's number.
  public long job() {
    return job;
  }

  /// Returns the communicator's number.
  public int communicator() {
    return communicator;
  }

  /// Returns this rank.
  public int rank() {
    return rank;
  }

  /// Returns who belongs to the communicator.
  public Members members() {
    return members;
  }

  /// Returns this rank's number in the job.
  public int jobRank() {
    return members.jobRank();
  }

  /// Returns the number of ranks.
  public int ranks() {
    return ranks;
  }

  /// Returns the transport.
  public Transport transport() {
    return transport;
  }

  /// Returns the access to peers' memory, if there is.
  public Optional<PeerAccess> access() {
    return Optional.ofNullable(access);
  }

  /// Returns what small memory is charged to.
  public MemoryPool pool() {
    return pool;
  }

  Signals signals() {
    if (signals == null) {
      throw new IllegalArgumentException(
          "schedule needs memory that all ranks share: transport=" + transport.name());
    }
    return signals;
  }

  /// Returns where short messages go, if ranks share memory.
  @Nullable Mailboxes mail() {
    return mail;
  }

  /// Returns on which cores the ranks are, if they share memory.
  @Nullable Cores cores() {
    return cores;
  }

  /// Returns a range of no bytes.
  Registration empty() {
    return nothing.registration().slice(0, 0);
  }

  /// Returns the receiving end of the link from a peer; opened once, does not wait for the peer.
  Link receiving(int peer, Duration timeout) {
    return receiving.computeIfAbsent(
        peer, from -> transport.openReceive(members.jobRank(from), communicator, timeout));
  }

  /// Returns the sending end of the link to a peer; waits until the peer has opened its own.
  Link sending(int peer, Duration timeout) {
    return sending.computeIfAbsent(
        peer, to -> transport.openSend(members.jobRank(to), communicator, timeout));
  }

  /// Gives all links up: what is on its way is not written into this rank's memory any more. All
  /// begin before any waits, so that silent peers take the time of one. Only whoever moves the
  /// communicator may.
  void abandonLinks() {
    giveUp(sending, Link::beginAbandon);
    giveUp(receiving, Link::beginAbandon);
    giveUp(sending, Link::abandon);
    giveUp(receiving, Link::abandon);
  }

  private static void giveUp(Map<Integer, Link> links, Consumer<Link> how) {
    links.values().forEach(link -> giveUp(link, how));
  }

  private static void giveUp(Link link, Consumer<Link> how) {
    try {
      how.accept(link);
    } catch (RuntimeException stuck) {
      LOG.warn("link cannot be given up: peer={}", link.peer(), stuck);
    }
  }

  /// Tells the peers that they may not write this rank's memory any more. Any thread may.
  void revoke() {
    tell(REVOKED_SLOT);
  }

  /// Returns whether a peer has said that its memory may not be written any more.
  boolean hasRevoked(int peer) {
    return access != null
        && access.signalled(members.jobRank(peer), communicator, REVOKED_SLOT) > 0;
  }

  /// Tells the peers that this rank will not touch their memory any more.
  void acknowledge() {
    tell(LEFT_SLOT);
  }

  private void tell(int slot) {
    for (int peer = 0; access != null && peer < ranks; peer++) {
      if (peer != rank) {
        try {
          access.signal(members.jobRank(peer), communicator, slot, 1);
        } catch (RuntimeException _) {
          // The peer is gone: nobody waits for this.
        }
      }
    }
  }

  /// Returns whether a peer has said that it will not touch this rank's memory any more.
  boolean hasAcknowledged(int peer) {
    return access == null || access.signalled(members.jobRank(peer), communicator, LEFT_SLOT) > 0;
  }

  /// Frees the signals, when every rank has left and none has anything to tell any more. Where that
  /// is not known they stay as long as the transport: a late peer may still write them.
  public void closeSignals() {
    if (access != null) {
      driving.whileNobodyMoves(() -> access.closeSignals(communicator));
    }
  }

  /// Closes links and mailboxes, and the transport if this was the last to use it; idempotent.
  @Override
  public void close() {
    if (closed) {
      return;
    }
    closed = true;
    try (Scope parts = new Scope()) { // closed from the last
      var _ = parts.own(nothing, Buffer::close);
      var _ = parts.own(driving, Driving::closeIfUnused);
      if (mail != null) {
        var _ = parts.own(mail, Mailboxes::close);
      }
      var _ = parts.own(driving, moving -> moving.whileNobodyMoves(this::closeLinks));
    }
  }

  private void closeLinks() {
    try (Scope links = new Scope()) {
      receiving.values().forEach(link -> links.own(link, Link::close));
      sending.values().forEach(link -> links.own(link, Link::close));
    }
  }
}
