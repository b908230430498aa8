package dev.lockstep.collective;

import dev.lockstep.collective.agreement.Agreement;
import dev.lockstep.collective.execute.Driving;
import dev.lockstep.collective.execute.Endpoint;
import dev.lockstep.collective.execute.Members;
import dev.lockstep.collective.execute.Progress;
import dev.lockstep.collective.plan.LinkTable;
import dev.lockstep.collective.plan.Planner;
import dev.lockstep.collective.request.Topology;
import dev.lockstep.collective.transport.TransportChoice;
import dev.lockstep.failure.ConfigurationException;
import dev.lockstep.failure.LockstepException;
import dev.lockstep.job.Job;
import dev.lockstep.job.JobFailedException;
import dev.lockstep.job.LateClosings;
import dev.lockstep.memory.Buffer;
import dev.lockstep.memory.HostMemory;
import dev.lockstep.memory.Scope;
import dev.lockstep.transport.PeerAccess;
import dev.lockstep.transport.Transport;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.TreeMap;

/// What the views of one communicator share: its members, its end of the transport, and what was
/// prepared. Made and closed by all members together.
final class Core implements AutoCloseable {
  /// Numbers of communicators that were split off start here; those of whole jobs are below.
  private static final int SPLITS_FROM = 1 << 16;

  /// Numbers of communicators that only measure: from here on, by the number of whom they serve.
  private static final int PROBES_FROM = 1 << 15;

  private static final byte[] NOTHING = {};

  /// How long a rank that closes waits for the others. Ranks in step come within milliseconds.
  private static final Duration PATIENCE = Duration.ofMillis(500);

  /// How long it waits for what is under way where others were late before: what all ranks have
  /// come to ends within it, and a mesh of axes is closed soon after all.
  private static final Duration LITTLE_PATIENCE = Duration.ofMillis(50);

  private final Job job;
  private final CommunicatorOptions options;
  private final Topology topology;
  private final Driving driving;
  private final Endpoint endpoint;
  private final Progress progress;
  private final Agreement agreement;
  private final LinkTable links;
  private final Preparation preparation;
  private final OneShots oneShots;
  private final List<Prepared> prepared = new ArrayList<>();
  private int splits;
  private boolean closed;

  private Core(
      Job job,
      CommunicatorOptions options,
      Topology topology,
      Driving driving,
      Endpoint endpoint,
      Agreement agreement,
      LinkTable links) {
    this.job = job;
    this.options = options;
    this.topology = topology;
    this.driving = driving;
    this.endpoint = endpoint;
    this.agreement = agreement;
    this.links = links;
    Planner planner =
        new Planner(links.fabric(topology, endpoint.members().isOneHost(job.hosts())));
    this.progress = new Progress(job, endpoint, driving); // from here on nothing may fail
    this.preparation = new Preparation(job, endpoint, progress, agreement, planner);
    this.oneShots =
        new OneShots(
            job,
            endpoint.rank(),
            progress,
            preparation,
            topology.peerMemory() && topology.ranks() > 1);
  }

  /// Makes the communicator of all ranks, and a transport for it.
  static Core world(Job job, CommunicatorOptions options) {
    int id = Math.toIntExact(job.store().add("collective/communicators/" + job.rank(), 1));
    Members members = Members.all(job);
    Agreement agreement = new Agreement(job, members, id);
    agreeOnMode(job, agreement, options);
    Transport transport =
        new TransportChoice(job, agreement, options.transport(), options.timeout()).open();
    Driving driving =
        new Driving(transport, job.rank(), job.mayHaveProcessor(job.localWorldSize()));
    try {
      LinkChoice choice = new LinkChoice(job, agreement, options, transport);
      Optional<LinkTable> known = choice.known();
      if (known.isPresent()) {
        return of(job, options, driving, members, id, agreement, known.get());
      }
      Agreement apart = new Agreement(job, members, PROBES_FROM + id);
      try (Core probe =
          of(job, options, driving, members, PROBES_FROM + id, apart, choice.typical())) {
        LinkTable fitted = choice.fit(probe);
        // Before the probe is closed: the transport goes with its last communicator.
        return of(job, options, driving, members, id, agreement, fitted);
      }
    } catch (RuntimeException | Error failure) {
      Scope.afterFailure(failure, driving::closeIfUnused);
      throw failure;
    }
  }

  private static Core of(
      Job job,
      CommunicatorOptions options,
      Driving driving,
      Members members,
      int id,
      Agreement agreement,
      LinkTable links) {
    Optional<Endpoint.SharedMemory> shared =
        sharedMemory(job, agreement, members, driving.transport(), id, options.timeout());
    List<String> hosts = members.jobRanks().stream().map(job.hosts()::get).toList();
    Endpoint endpoint = new Endpoint(job.id(), id, members, driving, shared, job.memory());
    try {
      Topology topology = Topology.of(hosts, shared.isPresent());
      return new Core(job, options, topology, driving, endpoint, agreement, links);
    } catch (RuntimeException | Error failure) {
      Scope.afterFailure(failure, endpoint::close);
      throw failure;
    }
  }

  private static void agreeOnMode(Job job, Agreement agreement, CommunicatorOptions options) {
    List<String> modes = agreement.exchange("mode", options.mode().name(), options.timeout());
    for (int rank = 0; rank < modes.size(); rank++) {
      if (!modes.get(rank).equals(options.mode().name())) {
        agreement.letOthersSee("mode");
        throw new ConfigurationException(
            "mode",
            options.mode().name(),
            "ranks ask for different modes: rank %d mode=%s, rank %d mode=%s"
                .formatted(job.rank(), options.mode(), rank, modes.get(rank)));
      }
    }
  }

  /// As [Communicator#requireAlike].
  void requireAlike(String option, String mine, Duration timeout) {
    List<String> all = agreement.exchange(option, mine, timeout);
    for (int rank = 1; rank < all.size(); rank++) {
      if (!all.get(rank).equals(all.getFirst())) {
        agreement.letOthersSee(option);
        throw new ConfigurationException(
            option,
            mine,
            "ranks were given unlike options: rank=%d %s %s, rank=%d %s %s (give every rank the same)"
                .formatted(
                    endpoint.members().jobRanks().getFirst(),
                    option,
                    all.getFirst(),
                    endpoint.members().jobRanks().get(rank),
                    option,
                    all.get(rank)));
      }
    }
  }

  /// Opens peers' memory, its signals and mailboxes, if every rank can.
  private static Optional<Endpoint.SharedMemory> sharedMemory(
      Job job,
      Agreement agreement,
      Members members,
      Transport transport,
      int communicator,
      Duration timeout) {
    Optional<PeerAccess> access = transport.peerAccess(members.jobRanks());
    if (access.isEmpty()) {
      agreement.exchange("peer-memory", NOTHING, timeout);
      return Optional.empty();
    }
    access.get().openSignals(communicator);
    Buffer mail =
        HostMemory.allocateShared(
            job.memory(), "mailboxes", Endpoint.mailBytes(members.size()), job.directory());
    try {
      List<byte[]> descriptors =
          agreement.exchange("peer-memory", access.get().describe(mail.registration()), timeout);
      if (descriptors.stream().allMatch(descriptor -> descriptor.length > 0)) {
        return Optional.of(new Endpoint.SharedMemory(access.get(), mail, descriptors));
      }
    } catch (RuntimeException | Error failure) {
      Scope.afterFailure(failure, mail::close);
      throw failure;
    }
    mail.close();
    return Optional.empty();
  }

  /// What a member says when it splits a communicator.
  ///
  /// @param color which part it goes to
  /// @param key its place there
  /// @param base where the numbers of the parts start; only the first member's counts
  private record Ticket(int color, int key, long base) {
    byte[] encode() {
      return (color + " " + key + " " + base).getBytes(StandardCharsets.US_ASCII);
    }

    static Ticket decode(byte[] encoded) {
      String[] parts = new String(encoded, StandardCharsets.US_ASCII).split(" ", -1);
      return new Ticket(
          Integer.parseInt(parts[0]), Integer.parseInt(parts[1]), Long.parseLong(parts[2]));
    }
  }

  /// As [Communicator#split]. The others were told that this rank comes along: when it cannot, it
  /// has failed for all.
  ///
  /// @param timeout by when all ranks must have come, and of the part's collectives
  Optional<Core> split(int color, int key, Duration timeout) {
    progress.checkUsable("split");
    try {
      return splitTogether(color, key, timeout);
    } catch (RuntimeException | Error failure) {
      if (failure instanceof JobFailedException) {
        progress.checkUsable("split"); // the job's failure may be this rank's own abort meanwhile
      }
      if (endpoint.ranks() > 1) {
        progress.abort(failure, "splitting a communicator");
      }
      throw failure;
    }
  }

  private Optional<Core> splitTogether(int color, int key, Duration timeout) {
    Members members = endpoint.members();
    // As many numbers as there are members, which are the last that the store has counted.
    long base =
        members.rank() == 0
            ? job.store().add("collective/splits", members.size()) - members.size()
            : 0;
    progress.standing().announcePast();
    List<Ticket> tickets =
        agreement
            .exchange("split/" + splits++, new Ticket(color, key, base).encode(), timeout)
            .stream()
            .map(Ticket::decode)
            .toList();
    if (color == Communicator.NO_COLOR) {
      return Optional.empty();
    }
    TreeMap<Integer, List<Integer>> parts = new TreeMap<>();
    for (int member = 0; member < tickets.size(); member++) {
      if (tickets.get(member).color() != Communicator.NO_COLOR) {
        parts.computeIfAbsent(tickets.get(member).color(), _ -> new ArrayList<>()).add(member);
      }
    }
    List<Integer> mine = new ArrayList<>(parts.getOrDefault(color, List.of()));
    mine.sort((a, b) -> Integer.compare(tickets.get(a).key(), tickets.get(b).key()));
    int number = Math.toIntExact(tickets.getFirst().base() + parts.headMap(color).size());
    Members chosen =
        new Members(
            mine.indexOf(members.rank()), mine.stream().map(members.jobRanks()::get).toList());
    int id = SPLITS_FROM + number;
    CommunicatorOptions theirs = options.withTimeout(timeout);
    return Optional.of(of(job, theirs, driving, chosen, id, new Agreement(job, chosen, id), links));
  }

  Job job() {
    return job;
  }

  CommunicatorOptions options() {
    return options;
  }

  Topology topology() {
    return topology;
  }

  Endpoint endpoint() {
    return endpoint;
  }

  Progress progress() {
    return progress;
  }

  Agreement agreement() {
    return agreement;
  }

  LinkTable links() {
    return links;
  }

  Preparation preparation() {
    return preparation;
  }

  OneShots oneShots() {
    return oneShots;
  }

  /// Keeps what was prepared, to be closed with the communicator.
  void keep(Prepared made) {
    prepared.removeIf(Prepared::isClosed);
    prepared.add(made);
  }

  /// Leaves the communicator; idempotent. Together with the other ranks, if they come within a
  /// moment: where they do not, this rank may be about to leave the job because its work threw, of
  /// which they have yet to hear. Its end stays open then, and is closed when they have come or
  /// this rank leaves the job.
  @Override
  public void close() {
    if (closed) {
      return;
    }
    closed = true;
    long start = System.nanoTime();
    Duration patience = job.lateClosings().settle() ? PATIENCE : Duration.ZERO;
    progress.stop();
    if (!progress.drain(patience.isZero() ? LITTLE_PATIENCE : patience)) {
      closeUnderWay();
    } else if (!closeTogether(patience.minusNanos(System.nanoTime() - start))) {
      job.lateClosings().add(new LateClosing());
    }
  }

  /// Ends what the others did not come to. They are told of it as late, so that what this rank's
  /// work threw comes first.
  private void closeUnderWay() {
    IllegalStateException reason =
        new IllegalStateException("communicator was closed with collectives under way");
    try (Scope ending = new Scope()) {
      var _ = ending.own(job.lateClosings(), late -> late.add(new UntoldClosing(reason)));
      progress.abandon(reason);
      close(false);
    }
  }

  /// Leaves and frees everything, if all ranks leave; also where that need not be asked any more.
  ///
  /// @param patience how long the others are waited for: what they have not yet fetched from this
  ///   rank goes with its end of the transport
  private boolean closeTogether(Duration patience) {
    boolean together = endpoint.ranks() == 1 || farewell(patience);
    boolean over = together || job.failure().isPresent() || progress.hasFailed();
    if (over) {
      close(together);
    }
    return over;
  }

  private boolean farewell(Duration patience) {
    if (job.failure().isPresent() || progress.hasFailed()) {
      return false;
    }
    try {
      progress.standing().announceClosing();
      return agreement.leave(patience);
    } catch (LockstepException _) {
      return false; // the job has failed, or its store is gone
    }
  }

  /// Frees everything, also where freeing one thing fails.
  ///
  /// @param together whether nobody uses this rank's end any more
  private void close(boolean together) {
    try (Scope parts = new Scope()) { // closed from the last
      var _ = parts.own(endpoint, Endpoint::close);
      if (together) {
        var _ = parts.own(endpoint, Endpoint::closeSignals);
      }
      var _ = parts.own(oneShots, OneShots::close);
      prepared.reversed().forEach(one -> parts.own(one, Prepared::close));
      var _ = parts.own(progress, moving -> moving.close(together));
    }
  }

  /// This rank's end while others may still use it.
  private final class LateClosing implements LateClosings.Part {
    @Override
    public boolean closeTogether(Duration patience) {
      return Core.this.closeTogether(patience);
    }

    /// Ranks that have not come by now will see this end closed.
    @Override
    public void closeAlone() {
      close(false);
    }
  }

  /// That this rank closed with collectives under way, unless it fails for another reason.
  private final class UntoldClosing implements LateClosings.Part {
    private final RuntimeException reason;

    UntoldClosing(RuntimeException reason) {
      this.reason = reason;
    }

    @Override
    public boolean closeTogether(Duration patience) {
      return job.failure().isPresent();
    }

    @Override
    public void closeAlone() {
      job.fail(reason, "closing a communicator");
    }
  }
}
