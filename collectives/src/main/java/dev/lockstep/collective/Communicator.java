package dev.lockstep.collective;

import dev.lockstep.collective.algorithm.Algorithm;
import dev.lockstep.collective.execute.Deadlines;
import dev.lockstep.collective.execute.Progress;
import dev.lockstep.collective.plan.LinkTable;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.request.Mode;
import dev.lockstep.collective.request.Partners;
import dev.lockstep.collective.request.Topology;
import dev.lockstep.failure.ConfigurationException;
import dev.lockstep.failure.LockstepException;
import dev.lockstep.graph.ReduceOp;
import dev.lockstep.job.Job;
import dev.lockstep.tensor.Tensor;
import dev.lockstep.transport.TransportCounters;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/// Ranks that run collectives together.
///
/// Every rank makes the same calls in the same order. A communicator's collectives run one after
/// another in the order of their starts, several may be started before the first is complete;
/// collectives of communicators that were [#split] from one another run at the same time, whoever
/// waits for one moves them all. Each has a deadline, from when its turn has come: the one of the
/// options, or that of a view [#withTimeout]. When a collective fails on a rank it fails on all,
/// the job is told, and the communicator cannot be used again.
///
/// Methods named like a collective run it and wait; those that end in `Async` start it and return a
/// [Work]. Both copy what the rank brings and gets through memory of the communicator, and the
/// first call of a kind, size and element type waits until all ranks have made it, no longer than
/// its deadline: collectives on the same tensors again and again are cheaper [#prepare]d. Tensors
/// are borrowed until the collective is complete. An output may be the input, or hold it at the
/// rank's own place where it is larger, as MPI's "in place" has it; any other overlap is an error,
/// and so is a wrong size or element type: an [IllegalArgumentException] on this rank alone, that
/// names rank, collective and sequence, before anything was sent.
///
/// Reductions join pair by pair and round each join to the element type, `BF16`, `F16` and the
/// 8-bit floats by way of `float`: the same bits on every algorithm and transport, see [ReduceOp].
///
/// Calls that start a collective come from one thread at a time; [#abort] and everything on [Work]
/// from any. An interrupt ends no wait of a rank, neither for a collective nor in [#close]: the
/// thread is still interrupted afterwards. What ends a wait is [#abort].
public final class Communicator implements AutoCloseable {
  /// The color of a rank that goes to no part of a [#split].
  public static final int NO_COLOR = -1;

  private final Core core;
  private final Calls calls;
  private final Duration timeout;

  private Communicator(Core core, Duration timeout) {
    this.core = core;
    this.calls = new Calls(core);
    this.timeout = timeout;
  }

  /// Makes a communicator of all ranks of a job; every rank calls this, and it returns when all
  /// have.
  ///
  /// Deadlines are each rank's own; whence costs of links are known, the first rank's options say.
  ///
  /// @throws ConfigurationException if the transport cannot be used, or ranks ask for unlike
  ///   transports or modes
  /// @throws LockstepException if ranks are missing by the timeout, or the job fails meanwhile
  public static Communicator world(Job job, CommunicatorOptions options) {
    return new Communicator(Core.world(job, options), options.timeout());
  }

  /// Checks that all ranks were given the same; every rank calls this, and it returns when all
  /// have.
  ///
  /// @throws ConfigurationException on every rank, if they were not
  void requireAlike(String option, String mine) {
    core.requireAlike(option, mine, timeout);
  }

  /// Splits this communicator: ranks of one color form a new one, ordered by key, then by rank.
  /// Every rank calls this, and it returns when all have. The new communicator shares the transport
  /// and is closed by its owner, before or after this one.
  ///
  /// @param color number of the part, from 0, or [#NO_COLOR] to go to none
  /// @param key place in the part
  /// @return the part's communicator; empty for [#NO_COLOR]
  public Optional<Communicator> split(int color, int key) {
    if (color < NO_COLOR) {
      throw new IllegalArgumentException(
          "color is negative: color=%d, rank=%d (NO_COLOR is %d)"
              .formatted(color, rank(), NO_COLOR));
    }
    return core.split(color, key, timeout).map(part -> new Communicator(part, timeout));
  }

  /// Returns this communicator with another deadline for what is called, prepared or split through
  /// the result. Closing either closes both.
  ///
  /// @throws IllegalArgumentException if it is not positive
  public Communicator withTimeout(Duration other) {
    if (!other.isPositive()) {
      throw new IllegalArgumentException(Deadlines.notPositive("rank=" + rank(), other));
    }
    return new Communicator(core, Deadlines.countable(other));
  }

  /// Returns this rank's number in this communicator.
  public int rank() {
    return core.endpoint().rank();
  }

  /// Returns the number of ranks.
  public int size() {
    return core.endpoint().ranks();
  }

  /// Returns each member's rank in the job, by its number here.
  public List<Integer> jobRanks() {
    return core.endpoint().members().jobRanks();
  }

  /// Returns the name of the transport.
  public String transport() {
    return core.endpoint().transport().name();
  }

  /// Returns where the ranks are; requests are made with it.
  public Topology topology() {
    return core.topology();
  }

  /// Returns what collectives promise about their bits.
  public Mode mode() {
    return core.options().mode();
  }

  /// Returns the constants of the links, by which algorithms are chosen; the same on every rank.
  public LinkTable links() {
    return core.links();
  }

  /// Returns what went over the transport so far; communicators that were split share it.
  public TransportCounters counters() {
    return core.endpoint().transport().counters();
  }

  /// Prepares a collective over fixed tensors. Every rank prepares the same ones in the same order;
  /// returns when all have. When that fails once the others have been told, it has failed on all,
  /// as a collective does.
  ///
  /// Where ranks share memory ([Topology#peerMemory]) they read and write each other's tensors in
  /// place if these lie in memory that peers can map, as `HostMemory.allocateShared(job.memory(),
  /// name, bytes, job.directory())` makes it; other tensors are copied in every run.
  ///
  /// @param request made with this communicator's [#topology]
  /// @param inputs this rank's contributions: one for each subtree that it brings to a sum, one or
  ///   none for other kinds; borrowed until the prepared collective is closed
  /// @param output what this rank gets, null if nothing; borrowed likewise
  /// @throws IllegalArgumentException if the tensors do not fit the request, on this rank alone
  /// @throws dev.lockstep.failure.CollectiveMismatchException if ranks prepare different ones
  /// @throws dev.lockstep.failure.CollectiveTimeoutException if ranks are missing at the deadline
  public PreparedCollective prepare(
      CollectiveRequest request, List<Tensor> inputs, @Nullable Tensor output) {
    checkMadeForUs(request);
    Prepared made = core.preparation().prepare(request, inputs, output, timeout);
    core.keep(made);
    return made;
  }

  /// Prepares a collective as [#prepare(CollectiveRequest, List, Tensor)] does, by an algorithm
  /// that is not chosen but named; the same one on every rank. One that is not of
  /// [dev.lockstep.collective.algorithm.Algorithms] is verified first, on every rank: in proportion
  /// to the steps of all ranks times the number of ranks.
  ///
  /// @throws IllegalArgumentException if the algorithm cannot do it, or the tensors do not fit, or
  ///   the algorithm's schedule is refused: it may not end, races, leaves a wrong result, or in
  ///   same-bits mode adds by another tree than the lanes'
  public PreparedCollective prepare(
      CollectiveRequest request,
      Algorithm algorithm,
      List<Tensor> inputs,
      @Nullable Tensor output) {
    checkMadeForUs(request);
    Prepared made = core.preparation().prepare(request, algorithm, inputs, output, timeout);
    core.keep(made);
    return made;
  }

  private void checkMadeForUs(CollectiveRequest request) {
    core.progress().checkUsable(request.kind().label());
    if (!request.topology().equals(topology())) {
      throw new IllegalArgumentException(
          "request is made for other ranks: op=%s, rank=%d, sequence=%d, topology=%s, expected=%s"
              .formatted(
                  request.kind().label(),
                  rank(),
                  core.progress().nextSequence(),
                  request.topology(),
                  topology()));
    }
  }

  /// Starts prepared collectives of this communicator together: all of them, or on a failure none.
  /// They run in the order given, each with the deadline that it was prepared with.
  ///
  /// @return the work of all of them
  /// @throws IllegalStateException if one is under way, closed or given twice, or a tensor is
  ///   closed
  /// @throws IllegalArgumentException if one belongs to another communicator
  public Work startTogether(List<PreparedCollective> group) {
    List<Progress.Start> starts = new ArrayList<>();
    List<Work> works = new ArrayList<>();
    for (PreparedCollective member : group) {
      if (!(member instanceof Prepared made) || !made.belongsTo(core.progress())) {
        throw new IllegalArgumentException(
            "prepared collective belongs to another communicator: op=%s, rank=%d, sequence=%d"
                .formatted(
                    member.schedule().request().kind().label(),
                    rank(),
                    core.progress().nextSequence()));
      }
      starts.add(made.toStart());
      works.add(made);
    }
    core.progress().startTogether(starts);
    return Work.all(works);
  }

  /// Reduces tensors over all ranks.
  ///
  /// @param in this rank's contribution
  /// @param out the result; `in` itself, or apart from it
  /// @param op how elements are joined
  public void allReduce(Tensor in, Tensor out, ReduceOp op) {
    calls.run(calls.allReduce(in, out, op), timeout);
  }

  /// Starts what [#allReduce(Tensor, Tensor, ReduceOp)] does.
  public Work allReduceAsync(Tensor in, Tensor out, ReduceOp op) {
    return calls.start(calls.allReduce(in, out, op), timeout);
  }

  /// As [#allReduce(Tensor, Tensor, ReduceOp)], with a deadline of its own.
  public void allReduce(Tensor in, Tensor out, ReduceOp op, Duration timeout) {
    calls.run(calls.allReduce(in, out, op), timeout);
  }

  /// As [#allReduceAsync(Tensor, Tensor, ReduceOp)], with a deadline of its own.
  public Work allReduceAsync(Tensor in, Tensor out, ReduceOp op, Duration timeout) {
    return calls.start(calls.allReduce(in, out, op), timeout);
  }

  /// Reduces tensors over all ranks and gives each rank an equal part of the result.
  ///
  /// @param in this rank's contribution, as many times `out` as there are ranks
  /// @param out this rank's part
  /// @param op how elements are joined
  public void reduceScatter(Tensor in, Tensor out, ReduceOp op) {
    calls.run(calls.reduceScatter(in, out, op, null), timeout);
  }

  /// Starts what [#reduceScatter(Tensor, Tensor, ReduceOp)] does.
  public Work reduceScatterAsync(Tensor in, Tensor out, ReduceOp op) {
    return calls.start(calls.reduceScatter(in, out, op, null), timeout);
  }

  /// As [#reduceScatter], with parts of different lengths.
  ///
  /// @param in this rank's contribution
  /// @param out this rank's part
  /// @param op how elements are joined
  /// @param counts the elements of each rank's part; may be 0
  public void reduceScatterV(Tensor in, Tensor out, ReduceOp op, List<Long> counts) {
    calls.run(calls.reduceScatter(in, out, op, counts), timeout);
  }

  /// Starts what [#reduceScatterV(Tensor, Tensor, ReduceOp, List)] does.
  public Work reduceScatterVAsync(Tensor in, Tensor out, ReduceOp op, List<Long> counts) {
    return calls.start(calls.reduceScatter(in, out, op, counts), timeout);
  }

  /// Gives every rank the tensors of all ranks, one after another.
  ///
  /// @param in this rank's part; as long on every rank
  /// @param out the parts of all
  public void allGather(Tensor in, Tensor out) {
    calls.run(calls.allGather(in, out, null), timeout);
  }

  /// Starts what [#allGather(Tensor, Tensor)] does.
  public Work allGatherAsync(Tensor in, Tensor out) {
    return calls.start(calls.allGather(in, out, null), timeout);
  }

  /// As [#allGather], with parts of different lengths.
  ///
  /// @param in this rank's part
  /// @param out the parts of all
  /// @param counts the elements of each rank's part; may be 0
  public void allGatherV(Tensor in, Tensor out, List<Long> counts) {
    calls.run(calls.allGather(in, out, counts), timeout);
  }

  /// Starts what [#allGatherV(Tensor, Tensor, List)] does.
  public Work allGatherVAsync(Tensor in, Tensor out, List<Long> counts) {
    return calls.start(calls.allGather(in, out, counts), timeout);
  }

  /// Gives every rank the root's elements.
  ///
  /// @param buffer what the root gives and the others get
  /// @param root the rank that gives
  public void broadcast(Tensor buffer, int root) {
    calls.run(calls.broadcast(buffer, root), timeout);
  }

  /// Starts what [#broadcast(Tensor, int)] does.
  public Work broadcastAsync(Tensor buffer, int root) {
    return calls.start(calls.broadcast(buffer, root), timeout);
  }

  /// As [#broadcast(Tensor, int)], with a deadline of its own.
  public void broadcast(Tensor buffer, int root, Duration timeout) {
    calls.run(calls.broadcast(buffer, root), timeout);
  }

  /// As [#broadcastAsync(Tensor, int)], with a deadline of its own.
  public Work broadcastAsync(Tensor buffer, int root, Duration timeout) {
    return calls.start(calls.broadcast(buffer, root), timeout);
  }

  /// Reduces tensors over all ranks and gives one of them the result.
  ///
  /// @param in this rank's contribution
  /// @param out the result on the root, null on the others
  /// @param op how elements are joined
  /// @param root the rank that gets it
  public void reduce(Tensor in, @Nullable Tensor out, ReduceOp op, int root) {
    calls.run(calls.reduce(in, out, op, root), timeout);
  }

  /// Starts what [#reduce(Tensor, Tensor, ReduceOp, int)] does.
  public Work reduceAsync(Tensor in, @Nullable Tensor out, ReduceOp op, int root) {
    return calls.start(calls.reduce(in, out, op, root), timeout);
  }

  /// Gives each rank an equal part of every rank's tensor.
  ///
  /// @param in what this rank gives to each rank, one after another
  /// @param out what this rank gets of each rank, one after another
  public void allToAll(Tensor in, Tensor out) {
    calls.run(calls.allToAll(in, out, null), timeout);
  }

  /// Starts what [#allToAll(Tensor, Tensor)] does.
  public Work allToAllAsync(Tensor in, Tensor out) {
    return calls.start(calls.allToAll(in, out, null), timeout);
  }

  /// As [#allToAll], with parts of different lengths.
  ///
  /// @param in what this rank gives to each rank, one after another
  /// @param out what this rank gets of each rank, one after another
  /// @param counts row by row the elements that each rank gives to each rank; the same on all
  public void allToAllV(Tensor in, Tensor out, List<Long> counts) {
    calls.run(calls.allToAll(in, out, counts), timeout);
  }

  /// Starts what [#allToAllV(Tensor, Tensor, List)] does.
  public Work allToAllVAsync(Tensor in, Tensor out, List<Long> counts) {
    return calls.start(calls.allToAll(in, out, counts), timeout);
  }

  /// Gives one rank the tensors of all ranks, one after another.
  ///
  /// @param in this rank's part; as long on every rank
  /// @param out the parts of all on the root, null on the others
  /// @param root the rank that gets them
  public void gather(Tensor in, @Nullable Tensor out, int root) {
    calls.run(calls.gather(in, out, root), timeout);
  }

  /// Starts what [#gather(Tensor, Tensor, int)] does.
  public Work gatherAsync(Tensor in, @Nullable Tensor out, int root) {
    return calls.start(calls.gather(in, out, root), timeout);
  }

  /// Gives each rank an equal part of the root's tensor.
  ///
  /// @param in what the root gives to each rank, one after another; null on the others
  /// @param out this rank's part
  /// @param root the rank that gives
  public void scatter(@Nullable Tensor in, Tensor out, int root) {
    calls.run(calls.scatter(in, out, root), timeout);
  }

  /// Starts what [#scatter(Tensor, Tensor, int)] does.
  public Work scatterAsync(@Nullable Tensor in, Tensor out, int root) {
    return calls.start(calls.scatter(in, out, root), timeout);
  }

  /// Sends a tensor to the next rank and gets that of the one before; the last rank's next is 0.
  ///
  /// @param in what this rank sends
  /// @param out what it gets
  public void sendReceive(Tensor in, Tensor out) {
    calls.run(calls.sendReceive(in, out), timeout);
  }

  /// Starts what [#sendReceive(Tensor, Tensor)] does.
  public Work sendReceiveAsync(Tensor in, Tensor out) {
    return calls.start(calls.sendReceive(in, out), timeout);
  }

  /// Sends a tensor to the rank some places after this one, and gets that of the rank as many
  /// places before it, counted round. With a distance of the ranks of a row, for example, what a
  /// neighbour above or below needs of a grid is exchanged.
  ///
  /// @param in what this rank sends
  /// @param out what it gets
  /// @param distance the same on every rank; negative for ranks before
  public void sendReceive(Tensor in, Tensor out, int distance) {
    calls.run(calls.sendReceive(in, out, () -> shift(distance)), timeout);
  }

  /// Starts what [#sendReceive(Tensor, Tensor, int)] does.
  public Work sendReceiveAsync(Tensor in, Tensor out, int distance) {
    return calls.start(calls.sendReceive(in, out, () -> shift(distance)), timeout);
  }

  private Partners shift(int distance) {
    return Partners.shift(topology().ranks(), distance);
  }

  /// Sends a tensor to a chosen rank and gets one from another, as all ranks know: every rank calls
  /// it with the same destinations, also one that neither sends nor gets anything. The first call
  /// with these destinations waits for all ranks, as that of any collective; later ones wait for a
  /// rank's partners alone. All tensors have equally many elements. A call takes memory and time
  /// for the list; a pattern that comes again and again is better prepared.
  ///
  /// @param in what this rank sends; null if nothing
  /// @param out what it gets; null if nothing. A rank that does neither passes a tensor like the
  ///   others' all the same, which is left alone
  /// @param destinations for each rank whom it sends to, -1 for nobody; no rank twice
  /// @throws IllegalArgumentException if a destination is no rank or stands twice, or the tensors
  ///   do not fit, on this rank alone
  /// @throws dev.lockstep.failure.CollectiveMismatchException if ranks prepare different ones
  public void sendReceive(@Nullable Tensor in, @Nullable Tensor out, List<Integer> destinations) {
    calls.run(calls.sendReceive(in, out, () -> Partners.of(destinations)), timeout);
  }

  /// Starts what [#sendReceive(Tensor, Tensor, List)] does.
  public Work sendReceiveAsync(
      @Nullable Tensor in, @Nullable Tensor out, List<Integer> destinations) {
    return calls.start(calls.sendReceive(in, out, () -> Partners.of(destinations)), timeout);
  }

  /// Waits until every rank has come here.
  public void barrier() {
    calls.run(calls.barrier(), timeout);
  }

  /// Starts what [#barrier()] does.
  public Work barrierAsync() {
    return calls.start(calls.barrier(), timeout);
  }

  /// As [#barrier()], with a deadline of its own.
  public void barrier(Duration timeout) {
    calls.run(calls.barrier(), timeout);
  }

  /// As [#barrierAsync()], with a deadline of its own.
  public Work barrierAsync(Duration timeout) {
    return calls.start(calls.barrier(), timeout);
  }

  /// Ends every collective of this communicator, here and on the other ranks, and fails the job
  /// with the reason. Returns within a second, whatever is under way; collectives that are waited
  /// for end with a [dev.lockstep.failure.CollectiveAbortedException]. Memory that a peer may still
  /// read stays mapped until the peer has left it.
  public void abort(Throwable reason) {
    core.progress().abort(reason, "aborting a communicator");
  }

  /// Leaves the communicator, together with the other ranks where nothing has failed; idempotent.
  /// Prepared collectives are closed with it. Waits up to half a second for what is under way,
  /// which fails then, and for the others: of a rank that they do not follow in that time, because
  /// its work threw or they are late, memory and links stay until they have come or it leaves the
  /// job. Until then it waits for what is under way in further communicators for 50 ms alone.
  @Override
  public void close() {
    core.close();
  }
}
