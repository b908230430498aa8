package dev.lockstep.train;

import dev.lockstep.device.Device;
import dev.lockstep.device.DeviceCollective;
import dev.lockstep.device.DeviceCollectives;
import dev.lockstep.device.DeviceGroup;
import dev.lockstep.device.Stream;
import dev.lockstep.device.Support;
import dev.lockstep.failure.CollectiveAbortedException;
import dev.lockstep.failure.CollectiveMismatchException;
import dev.lockstep.failure.LockstepException;
import dev.lockstep.failure.Particulars;
import dev.lockstep.failure.RankLostException;
import dev.lockstep.graph.LaneSplit;
import dev.lockstep.graph.Primitive;
import dev.lockstep.graph.ReduceOp;
import dev.lockstep.job.FailureRecord;
import dev.lockstep.job.Job;
import dev.lockstep.job.JobFailedException;
import dev.lockstep.memory.Scope;
import dev.lockstep.tensor.Tensor;
import dev.lockstep.train.parallel.Exchange;
import java.time.Duration;
import java.util.Collections;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/// Runs collectives on the devices themselves along each axis all of whose ranks have devices that
/// can (NCCL), each its own; another exchange runs the rest: what such devices do not support, what
/// goes to rank 0 of the job alone, and messages between stages. Confined to the stream's thread.
final class DeviceExchange implements Exchange {
  private static final Logger LOG = LoggerFactory.getLogger(DeviceExchange.class);

  private final JobExchange ranks;
  private final Exchange host;
  private final DeviceCollectives collectives;
  private final Stream stream;
  private final Map<String, DeviceGroup> groups;
  private final Map<String, Integer> prepared = new HashMap<>();

  private DeviceExchange(
      JobExchange ranks,
      Exchange host,
      DeviceCollectives collectives,
      Stream stream,
      Map<String, DeviceGroup> groups) {
    this.ranks = ranks;
    this.host = host;
    this.collectives = collectives;
    this.stream = stream;
    this.groups = groups;
  }

  /// Joins the groups of all axes that have one; every rank of the job calls this, whatever its
  /// device.
  ///
  /// @param scope owns the groups
  /// @param among how ranks reach each other; where it is not the job's own, the host runs all
  /// @param host runs the rest
  /// @param timeout deadline of each collective
  /// @return `host` itself where no axis of this rank has a group
  static Exchange open(
      Scope scope,
      Device device,
      Stream stream,
      Exchange among,
      Exchange host,
      Job job,
      Duration timeout) {
    if (job.worldSize() == 1) {
      return host;
    }
    DeviceCollectives own = device.collectives().orElse(null);
    List<Able> all =
        among.words(own == null ? "" : Able.words(own, job)).stream().map(Able::parse).toList();
    if (all.stream().allMatch(able -> able.kind.isEmpty())
        || !(among instanceof JobExchange ranks)) {
      return host;
    }
    Map<String, DeviceGroup> groups = new HashMap<>();
    for (String axis : ranks.axisNames()) {
      List<Integer> members = ranks.members(axis);
      boolean canJoin = members.size() > 1 && canJoin(axis, members, all, job);
      boolean leads = canJoin && members.getFirst() == job.rank();
      List<String> ids = ranks.words(own != null && leads ? own.newGroup() : "");
      if (own != null && canJoin) {
        DeviceCollectives.Membership membership =
            new DeviceCollectives.Membership(
                ids.get(members.getFirst()),
                members.indexOf(job.rank()),
                members.size(),
                ranks.sameBits(),
                timeout,
                (op, _, sequence) -> why(job, op, sequence));
        groups.put(axis, scope.own(own.join(membership), DeviceGroup::close));
      }
    }
    return own == null || groups.isEmpty()
        ? host
        : new DeviceExchange(ranks, host, own, stream, groups);
  }

  /// What a rank says of its device's collectives.
  ///
  /// @param kind library and version; empty for none
  /// @param place which chip of which host; ranks of one place cannot meet
  private record Able(String kind, String place) {
    static String words(DeviceCollectives collectives, Job job) {
      String place =
          collectives.place().isEmpty() ? "rank " + job.rank() : "GPU " + collectives.place();
      return collectives.kind() + "\n" + job.host() + " " + place;
    }

    static Able parse(String words) {
      int end = words.indexOf('\n');
      return end < 0
          ? new Able("", "")
          : new Able(words.substring(0, end), words.substring(end + 1));
    }
  }

  /// Whether the ranks of an axis can run collectives on their devices; the same on all of them.
  private static boolean canJoin(String axis, List<Integer> members, List<Able> all, Job job) {
    String reason = "";
    Set<String> places = new HashSet<>();
    String kind = all.get(members.getFirst()).kind;
    for (int rank : members) {
      Able able = all.get(rank);
      if (able.kind.isEmpty()) {
        reason = "rank %d's device has no collectives of its own".formatted(rank);
      } else if (!able.kind.equals(kind)) {
        reason = "rank %d has %s, rank %d %s".formatted(members.getFirst(), kind, rank, able.kind);
      } else if (!places.add(able.place)) {
        reason = "two ranks share one chip: " + able.place;
      }
    }
    if (members.getFirst() == job.rank()) {
      if (reason.isEmpty()) {
        LOG.debug("collectives run on the devices: axis={}, ranks={}, by={}", axis, members, kind);
      } else {
        LOG.warn(
            "collectives pass through host memory: axis={}, ranks={}, reason={}",
            axis,
            members,
            reason);
      }
    }
    return reason.isEmpty();
  }

  /// Returns why a collective on the device cannot complete, once the job has failed.
  private static @Nullable LockstepException why(Job job, String op, long sequence) {
    FailureRecord failed = job.failure().orElse(null);
    if (failed == null) {
      return null;
    }
    JobFailedException cause = new JobFailedException(op, failed);
    return failed.rank() < 0 || failed.rank() == job.rank()
        ? new CollectiveAbortedException(
            op,
            job.rank(),
            sequence,
            "collective on the devices was ended: op=%s#%d, rank=%d, reason=%s"
                .formatted(op, sequence, job.rank(), cause.getMessage()),
            cause)
        : new RankLostException(
            op,
            job.rank(),
            sequence,
            failed.rank(),
            "rank was lost: lostRank=%d, op=%s#%d on the devices, rank=%d, how=%s, %s"
                .formatted(
                    failed.rank(), op, sequence, job.rank(), failed.kind(), failed.message()),
            cause);
  }

  /// Prepares a collective on the devices; null if the host runs it.
  private @Nullable Prepared onDevices(
      String axis, DeviceCollective collective, List<Tensor> inputs, Tensor output) {
    DeviceGroup group = groups.get(axis);
    if (group == null || collectives.supports(collective) instanceof Support.No) {
      return null;
    }
    agree(axis, collective);
    return new OnDevices(group.prepare(collective, stream, inputs, output));
  }

  /// Compares what the ranks of an axis prepare: NCCL itself does not, and would hang.
  private void agree(String axis, DeviceCollective collective) {
    int number = prepared.merge(axis, 1, Integer::sum);
    String mine = "#%s %s".formatted(number, collective);
    List<Integer> members = ranks.members(axis);
    List<String> all = ranks.words(axis, mine);
    for (int i = 0; i < all.size(); i++) {
      String theirs = all.get(i);
      if (!mine.equals(theirs)) {
        throw new CollectiveMismatchException(
            collective.label(),
            ranks.place().rank(),
            number,
            new Particulars.Mismatch(
                -1,
                new Particulars.Call(ranks.place().rank(), number, 0, mine),
                new Particulars.Call(members.get(i), number, 0, theirs)),
            "ranks prepare different collectives on their devices: axis=%s, rank %d %s, rank %d %s (prepare the same ones in the same order on every rank)"
                .formatted(axis, ranks.place().rank(), mine, members.get(i), theirs),
            null);
      }
    }
  }

  /// What runs on the devices does so.
  @Override
  public boolean followsStream() {
    return host.followsStream();
  }

  @Override
  public Prepared prepare(Primitive op, List<Tensor> inputs, Tensor output) {
    Prepared made =
        switch (op) {
          case Primitive.AllReduce reduce ->
              onDevices(
                  reduce.axis(),
                  new DeviceCollective.AllReduce(
                      output.dtype(), reduce.reduceOp(), reduce.lanes(), output.shape().elements()),
                  inputs,
                  output);
          case Primitive.ReduceScatter scatter ->
              onDevices(
                  scatter.axis(),
                  new DeviceCollective.ReduceScatter(
                      output.dtype(),
                      scatter.reduceOp(),
                      scatter.lanes(),
                      each(scatter.axis(), output)),
                  inputs,
                  output);
          case Primitive.AllGather gather ->
              onDevices(
                  gather.axis(),
                  new DeviceCollective.AllGather(
                      output.dtype(), each(gather.axis(), inputs.getFirst())),
                  inputs,
                  output);
          case Primitive _ -> null;
        };
    return made == null ? host.prepare(op, inputs, output) : made;
  }

  /// Parts as long as this one, for each rank of an axis.
  private List<Long> each(String axis, Tensor part) {
    return Collections.nCopies(ranks.members(axis).size(), part.shape().elements());
  }

  @Override
  public Prepared reduceScatter(
      String axis, LaneSplit lanes, List<Long> counts, List<Tensor> inputs, Tensor output) {
    DeviceCollective collective =
        new DeviceCollective.ReduceScatter(output.dtype(), new ReduceOp.Sum(), lanes, counts);
    Prepared made = onDevices(axis, collective, inputs, output);
    return made == null ? host.reduceScatter(axis, lanes, counts, inputs, output) : made;
  }

  @Override
  public Prepared allGather(String axis, List<Long> counts, Tensor part, Tensor whole) {
    DeviceCollective collective = new DeviceCollective.AllGather(whole.dtype(), counts);
    Prepared made = onDevices(axis, collective, List.of(part), whole);
    return made == null ? host.allGather(axis, counts, part, whole) : made;
  }

  @Override
  public Prepared gather(List<Long> counts, Tensor part, @Nullable Tensor whole) {
    return host.gather(counts, part, whole);
  }

  @Override
  public List<String> words(String mine) {
    return host.words(mine);
  }

  @Override
  public Message message(String axis, boolean forth, int from, Tensor memory) {
    return host.message(axis, forth, from, memory);
  }

  /// A collective that is queued between the device's programs.
  private record OnDevices(DeviceGroup.Prepared collective) implements Prepared {
    /// On return it is queued: what follows on the stream waits for it.
    @Override
    public void run() {
      collective.start();
      collective.await();
    }

    @Override
    public void start() {
      collective.start();
    }

    @Override
    public void await() {
      collective.await();
    }

    @Override
    public void close() {
      collective.close();
    }
  }
}
