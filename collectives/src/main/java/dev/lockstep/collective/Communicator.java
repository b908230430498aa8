package dev.lockstep.collective;

import dev.lockstep.collective.execute.Endpoint;
import dev.lockstep.collective.execute.Operation;
import dev.lockstep.collective.execute.Progress;
import dev.lockstep.collective.request.CollectiveKind;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.request.Mode;
import dev.lockstep.collective.request.Topology;
import dev.lockstep.failure.ConfigurationException;
import dev.lockstep.failure.LockstepException;
import dev.lockstep.graph.LaneSplit;
import dev.lockstep.graph.ReduceOp;
import dev.lockstep.job.Job;
import dev.lockstep.memory.Buffer;
import dev.lockstep.memory.HostMemory;
import dev.lockstep.tensor.Tensor;
import dev.lockstep.transport.PeerAccess;
import dev.lockstep.transport.Transport;
import dev.lockstep.transport.TransportCounters;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/// Ranks that run collectives together.
///
/// Every rank makes the same calls in the same order. Collectives run one after another in the
/// order of their starts, several may be started before the first is complete. Each has a deadline.
/// When one fails on a rank it fails on all, the job is told, and the communicator cannot be used
/// again.
///
/// Calls that start a collective come from one thread at a time; [#abort] and everything on [Work]
/// from any.
public final class Communicator implements AutoCloseable {
  private static final byte[] NOTHING = {};

  private final Job job;
  private final CommunicatorOptions options;
  private final Topology topology;
  private final LaneSplit onePerRank;
  private final Endpoint endpoint;
  private final Progress progress;
  private final Agreement agreement;
  private final Preparation preparation;
  private final OneShots oneShots;
  private final List<Prepared> prepared = new ArrayList<>();
  private boolean closed;

  private Communicator(
      Job job,
      CommunicatorOptions options,
      Topology topology,
      Endpoint endpoint,
      Agreement agreement) {
    this.job = job;
    this.options = options;
    this.topology = topology;
    this.onePerRank = LaneSplit.onePerRank(topology.ranks());
    this.endpoint = endpoint;
    this.agreement = agreement;
    this.progress = new Progress(job, endpoint);
    this.preparation = new Preparation(job, endpoint, progress, agreement, options.timeout());
    this.oneShots =
        new OneShots(job, progress, preparation, topology.peerMemory() && topology.ranks() > 1);
  }

  /// Makes a communicator of all ranks of a job; every rank calls this, and it returns when all
  /// have.
  ///
  /// @throws ConfigurationException if the transport cannot be used, or the ranks' options differ
  /// @throws LockstepException if ranks are missing by the timeout, or the job fails meanwhile
  public static Communicator world(Job job, CommunicatorOptions options) {
    int id = Math.toIntExact(job.store().add("collective/communicators/" + job.rank(), 1));
    Agreement agreement = new Agreement(job, id);
    agree(job, agreement, options);
    Transport transport =
        new TransportChoice(job, agreement, options.transport(), options.timeout()).open();
    try {
      Optional<Endpoint.SharedMemory> shared =
          sharedMemory(job, agreement, transport, id, options.timeout());
      Topology topology = Topology.of(job.hosts(), shared.isPresent());
      Endpoint endpoint =
          new Endpoint(job.id(), id, job.rank(), job.worldSize(), transport, shared, job.memory());
      return new Communicator(job, options, topology, endpoint, agreement);
    } catch (RuntimeException | Error failure) {
      transport.close();
      throw failure;
    }
  }

  private static void agree(Job job, Agreement agreement, CommunicatorOptions options) {
    List<String> modes = agreement.exchange("mode", options.mode().name(), options.timeout());
    for (int rank = 0; rank < modes.size(); rank++) {
      if (!modes.get(rank).equals(options.mode().name())) {
        throw new ConfigurationException(
            "mode",
            options.mode().name(),
            "ranks ask for different modes: rank %d mode=%s, rank %d mode=%s"
                .formatted(job.rank(), options.mode(), rank, modes.get(rank)));
      }
    }
  }

  /// Opens peers' memory, its signals and mailboxes, if every rank can.
  private static Optional<Endpoint.SharedMemory> sharedMemory(
      Job job, Agreement agreement, Transport transport, int communicator, Duration timeout) {
    Optional<PeerAccess> access = transport.peerAccess();
    if (access.isEmpty()) {
      agreement.exchange("peer-memory", NOTHING, timeout);
      return Optional.empty();
    }
    access.get().openSignals(communicator);
    Buffer mail =
        HostMemory.allocateShared(
            job.memory(), "mailboxes", Endpoint.mailBytes(job.worldSize()), job.directory());
    try {
      List<byte[]> descriptors =
          agreement.exchange("peer-memory", access.get().describe(mail.registration()), timeout);
      if (descriptors.stream().allMatch(descriptor -> descriptor.length > 0)) {
        return Optional.of(new Endpoint.SharedMemory(access.get(), mail, descriptors));
      }
    } catch (RuntimeException | Error failure) {
      mail.close();
      throw failure;
    }
    mail.close();
    return Optional.empty();
  }

  /// Returns this rank.
  public int rank() {
    return endpoint.rank();
  }

  /// Returns the number of ranks.
  public int size() {
    return endpoint.ranks();
  }

  /// Returns the name of the transport.
  public String transport() {
    return endpoint.transport().name();
  }

  /// Returns where the ranks are; requests are made with it.
  public Topology topology() {
    return topology;
  }

  /// Returns what collectives promise about their bits.
  public Mode mode() {
    return options.mode();
  }

  /// Returns what went over the transport so far.
  public TransportCounters counters() {
    return endpoint.transport().counters();
  }

  /// Prepares a collective over fixed tensors. Every rank prepares the same ones in the same order;
  /// returns when all have.
  ///
  /// @param request made with this communicator's [#topology]
  /// @param inputs this rank's contributions: one for each subtree that it brings to a sum, one or
  ///   none for other kinds; borrowed until the prepared collective is closed
  /// @param output what this rank gets, null if nothing; borrowed likewise
  /// @throws IllegalArgumentException if the tensors do not fit the request, on this rank alone
  /// @throws dev.lockstep.failure.CollectiveMismatchException if ranks prepare different ones
  public PreparedCollective prepare(
      CollectiveRequest request, List<Tensor> inputs, @Nullable Tensor output) {
    progress.checkUsable(request.kind().label());
    if (!request.topology().equals(topology)) {
      throw new IllegalArgumentException(
          "request is made for other ranks: op=%s, rank=%d, topology=%s, expected=%s"
              .formatted(request.kind().label(), rank(), request.topology(), topology));
    }
    Prepared made = preparation.prepare(request, inputs, output);
    prepared.add(made);
    return made;
  }

  /// Reduces tensors over all ranks and waits.
  ///
  /// @param in this rank's contribution
  /// @param out the result; `in` itself, or apart from it
  public void allReduce(Tensor in, Tensor out, ReduceOp op) {
    allReduce(in, out, op, options.timeout());
  }

  /// As [#allReduce(Tensor, Tensor, ReduceOp)], with a deadline of its own.
  public void allReduce(Tensor in, Tensor out, ReduceOp op, Duration timeout) {
    await(startAllReduce(in, out, op, timeout, false));
  }

  /// Starts what [#allReduce(Tensor, Tensor, ReduceOp)] does.
  public Work allReduceAsync(Tensor in, Tensor out, ReduceOp op) {
    return allReduceAsync(in, out, op, options.timeout());
  }

  /// As [#allReduceAsync(Tensor, Tensor, ReduceOp)], with a deadline of its own.
  public Work allReduceAsync(Tensor in, Tensor out, ReduceOp op, Duration timeout) {
    return new StartedWork(progress, startAllReduce(in, out, op, timeout, true));
  }

  /// Gives every rank the root's elements and waits.
  ///
  /// @param buffer what the root gives and the others get
  public void broadcast(Tensor buffer, int root) {
    broadcast(buffer, root, options.timeout());
  }

  /// As [#broadcast(Tensor, int)], with a deadline of its own.
  public void broadcast(Tensor buffer, int root, Duration timeout) {
    await(startBroadcast(buffer, root, timeout, false));
  }

  /// Starts what [#broadcast(Tensor, int)] does.
  public Work broadcastAsync(Tensor buffer, int root) {
    return broadcastAsync(buffer, root, options.timeout());
  }

  /// As [#broadcastAsync(Tensor, int)], with a deadline of its own.
  public Work broadcastAsync(Tensor buffer, int root, Duration timeout) {
    return new StartedWork(progress, startBroadcast(buffer, root, timeout, true));
  }

  /// Waits until every rank has come here.
  public void barrier() {
    barrier(options.timeout());
  }

  /// As [#barrier()], with a deadline of its own.
  public void barrier(Duration timeout) {
    await(startBarrier(timeout, false));
  }

  /// Starts what [#barrier()] does.
  public Work barrierAsync() {
    return barrierAsync(options.timeout());
  }

  /// As [#barrierAsync()], with a deadline of its own.
  public Work barrierAsync(Duration timeout) {
    return new StartedWork(progress, startBarrier(timeout, true));
  }

  private Operation startAllReduce(
      Tensor in, Tensor out, ReduceOp op, Duration timeout, boolean asynchronous) {
    CollectiveRequest request =
        request(
            CollectiveKind.ALL_REDUCE,
            () ->
                CollectiveRequest.allReduce(
                    in.dtype(), op, in.shape().elements(), true, topology, onePerRank, mode()));
    boolean same = in.registration().equals(out.registration());
    CollectiveRequest asked = request.withInPlace(same);
    TensorChecks.check(asked, rank(), progress.nextSequence(), List.of(in), out);
    return start(request, in, out, timeout, asynchronous);
  }

  private Operation startBroadcast(
      Tensor buffer, int root, Duration timeout, boolean asynchronous) {
    CollectiveRequest request =
        request(
            CollectiveKind.BROADCAST,
            () ->
                CollectiveRequest.broadcast(
                    buffer.dtype(), buffer.shape().elements(), root, topology));
    boolean gives = rank() == root;
    return start(request, gives ? buffer : null, gives ? null : buffer, timeout, asynchronous);
  }

  private Operation startBarrier(Duration timeout, boolean asynchronous) {
    return start(CollectiveRequest.barrier(topology), null, null, timeout, asynchronous);
  }

  /// Makes a request; what is wrong with it names rank and sequence too.
  private CollectiveRequest request(CollectiveKind kind, Supplier<CollectiveRequest> made) {
    try {
      return made.get();
    } catch (IllegalArgumentException wrong) {
      throw new IllegalArgumentException(
          "%s, op=%s, rank=%d, sequence=%d"
              .formatted(wrong.getMessage(), kind.label(), rank(), progress.nextSequence()),
          wrong);
    }
  }

  private Operation start(
      CollectiveRequest request,
      @Nullable Tensor from,
      @Nullable Tensor to,
      Duration timeout,
      boolean asynchronous) {
    if (!timeout.isPositive()) {
      throw new IllegalArgumentException(
          "deadline is not positive: op=%s, rank=%d, timeout=%s"
              .formatted(request.kind().label(), rank(), timeout));
    }
    progress.checkUsable(request.kind().label());
    Operation operation;
    try {
      operation = oneShots.operation(request, from, to);
    } catch (IllegalStateException gone) {
      throw new IllegalStateException(
          "collective cannot start: op=%s, rank=%d, sequence=%d, cause=%s"
              .formatted(
                  request.kind().label(), rank(), progress.nextSequence(), gone.getMessage()),
          gone);
    }
    progress.start(operation, timeout.toNanos(), asynchronous);
    return operation;
  }

  private void await(Operation operation) {
    progress.await(operation);
  }

  /// Ends every collective of this communicator, here and on the other ranks, and fails the job
  /// with the reason. Returns within a second, whatever is under way; collectives that are waited
  /// for end with a [dev.lockstep.failure.CollectiveAbortedException].
  public void abort(Throwable reason) {
    progress.abort(reason, "aborting a communicator");
  }

  /// Leaves the communicator, together with the other ranks where nothing has failed; idempotent.
  /// Prepared collectives are closed with it, what is under way fails.
  @Override
  public void close() {
    if (closed) {
      return;
    }
    closed = true;
    farewell();
    progress.close();
    prepared.forEach(Prepared::close);
    oneShots.close();
    endpoint.close();
  }

  /// Waits a little for the other ranks: what they have not yet fetched from this rank goes with
  /// its end of the transport.
  private void farewell() {
    if (size() == 1 || job.failure().isPresent() || !progress.isIdle()) {
      return;
    }
    try {
      agreement.exchange("close", "", job.liveness());
    } catch (LockstepException _) {
      // Ranks that do not close by now have failed or are late; they will see this end closed.
    }
  }
}
