package dev.lockstep.collective;

import dev.lockstep.collective.execute.Deadlines;
import dev.lockstep.collective.execute.Operation;
import dev.lockstep.collective.execute.Progress;
import dev.lockstep.collective.request.CollectiveKind;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.request.Counts;
import dev.lockstep.collective.request.Mode;
import dev.lockstep.collective.request.Partners;
import dev.lockstep.collective.request.Topology;
import dev.lockstep.graph.LaneSplit;
import dev.lockstep.graph.ReduceOp;
import dev.lockstep.tensor.Tensor;
import java.time.Duration;
import java.util.List;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/// Makes operations of one-shot calls: the request of a call, its checks, its start.
final class Calls {
  private final Core core;
  private final Topology topology;
  private final int rank;
  private final Mode mode;
  private final LaneSplit onePerRank;

  Calls(Core core) {
    this.core = core;
    this.topology = core.topology();
    this.rank = core.endpoint().rank();
    this.mode = core.options().mode();
    this.onePerRank = LaneSplit.onePerRank(topology.ranks());
  }

  /// One call: how to make its request, and what it is about.
  ///
  /// @param kind what is called
  /// @param request the request out of place
  /// @param in what this rank brings, or null
  /// @param out what this rank gets, or null
  record Call(
      CollectiveKind kind,
      Supplier<CollectiveRequest> request,
      @Nullable Tensor in,
      @Nullable Tensor out) {
    /// Returns this call without what a rank leaves alone that sends nothing, or gets nothing.
    Call without(CollectiveRequest request, int rank) {
      return kind != CollectiveKind.SEND_RECEIVE
          ? this
          : new Call(
              kind,
              this.request,
              request.partners().destination(rank) == Partners.NOBODY ? null : in,
              request.partners().source(rank) == Partners.NOBODY ? null : out);
    }
  }

  Call allReduce(Tensor in, Tensor out, ReduceOp op) {
    return new Call(
        CollectiveKind.ALL_REDUCE,
        () ->
            CollectiveRequest.allReduce(
                in.dtype(), op, in.shape().elements(), true, topology, onePerRank, mode),
        in,
        out);
  }

  Call reduceScatter(Tensor in, Tensor out, ReduceOp op, @Nullable List<Long> counts) {
    return new Call(
        CollectiveKind.REDUCE_SCATTER,
        () ->
            CollectiveRequest.reduceScatter(
                in.dtype(), op, parts(counts, out), false, topology, onePerRank, mode),
        in,
        out);
  }

  Call reduce(Tensor in, @Nullable Tensor out, ReduceOp op, int root) {
    return new Call(
        CollectiveKind.REDUCE,
        () ->
            CollectiveRequest.reduce(
                in.dtype(), op, in.shape().elements(), root, false, topology, onePerRank, mode),
        in,
        out);
  }

  Call allGather(Tensor in, Tensor out, @Nullable List<Long> counts) {
    return new Call(
        CollectiveKind.ALL_GATHER,
        () -> CollectiveRequest.allGather(in.dtype(), parts(counts, in), false, topology),
        in,
        out);
  }

  Call broadcast(Tensor buffer, int root) {
    boolean gives = rank == root;
    return new Call(
        CollectiveKind.BROADCAST,
        () ->
            CollectiveRequest.broadcast(buffer.dtype(), buffer.shape().elements(), root, topology),
        gives ? buffer : null,
        gives ? null : buffer);
  }

  Call allToAll(Tensor in, Tensor out, @Nullable List<Long> counts) {
    int ranks = topology.ranks();
    return new Call(
        CollectiveKind.ALL_TO_ALL,
        () ->
            CollectiveRequest.allToAll(
                in.dtype(),
                counts != null
                    ? Counts.of(counts)
                    : Counts.each((long) ranks * ranks, in.shape().elements() / ranks),
                false,
                topology),
        in,
        out);
  }

  Call gather(Tensor in, @Nullable Tensor out, int root) {
    return new Call(
        CollectiveKind.GATHER,
        () -> CollectiveRequest.gather(in.dtype(), parts(null, in), root, false, topology),
        in,
        out);
  }

  Call scatter(@Nullable Tensor in, Tensor out, int root) {
    return new Call(
        CollectiveKind.SCATTER,
        () -> CollectiveRequest.scatter(out.dtype(), parts(null, out), root, false, topology),
        in,
        out);
  }

  Call sendReceive(Tensor in, Tensor out) {
    return new Call(
        CollectiveKind.SEND_RECEIVE,
        () -> CollectiveRequest.sendReceive(in.dtype(), in.shape().elements(), false, topology),
        in,
        out);
  }

  Call sendReceive(@Nullable Tensor in, @Nullable Tensor out, Supplier<Partners> who) {
    return new Call(
        CollectiveKind.SEND_RECEIVE,
        () -> {
          Partners partners = who.get();
          Tensor like = like(in, out, partners);
          return CollectiveRequest.sendReceive(
              like.dtype(), like.shape().elements(), partners, false, topology);
        },
        in,
        out);
  }

  /// Returns the tensor that says type and number of elements of what ranks send: one that this
  /// rank sends or gets, or where it does neither, any.
  private Tensor like(@Nullable Tensor in, @Nullable Tensor out, Partners partners) {
    boolean sends = partners.ranks() > rank && partners.destination(rank) != Partners.NOBODY;
    boolean gets = partners.ranks() > rank && partners.source(rank) != Partners.NOBODY;
    Tensor like = in == null || (gets && !sends && out != null) ? out : in;
    if (like == null) {
      throw new IllegalArgumentException(
          "a tensor is missing, which says type and number of elements of what ranks send");
    }
    return like;
  }

  Call barrier() {
    return new Call(CollectiveKind.BARRIER, () -> CollectiveRequest.barrier(topology), null, null);
  }

  private Counts parts(@Nullable List<Long> counts, Tensor part) {
    return counts != null
        ? Counts.of(counts)
        : Counts.each(topology.ranks(), part.shape().elements());
  }

  /// Runs a call and waits.
  void run(Call call, Duration timeout) {
    Duration deadline = Deadlines.countable(timeout);
    core.progress().run(operation(call, deadline), deadline.toNanos());
  }

  /// Starts a call.
  Work start(Call call, Duration timeout) {
    Progress progress = core.progress();
    Duration deadline = Deadlines.countable(timeout);
    Operation operation = operation(call, deadline);
    progress.start(operation, deadline.toNanos(), true);
    return new StartedWork(progress, operation);
  }

  private Operation operation(Call asked, Duration timeout) {
    String op = asked.kind().label();
    Progress progress = core.progress();
    if (!timeout.isPositive()) {
      throw new IllegalArgumentException(
          Deadlines.notPositive("op=%s, rank=%d".formatted(op, rank), timeout));
    }
    progress.checkUsable(op);
    CollectiveRequest request = named(asked.kind(), asked.request());
    Call call = asked.without(request, rank);
    check(call, request);
    try {
      return core.oneShots().operation(request, call.in(), call.out(), timeout);
    } catch (IllegalStateException gone) {
      throw new IllegalStateException(
          "collective cannot start: op=%s, rank=%d, sequence=%d, cause=%s"
              .formatted(op, rank, progress.nextSequence(), gone.getMessage()),
          gone);
    }
  }

  /// Makes a request; what is wrong with it names rank and sequence too.
  private CollectiveRequest named(CollectiveKind kind, Supplier<CollectiveRequest> request) {
    try {
      return request.get();
    } catch (IllegalArgumentException wrong) {
      throw new IllegalArgumentException(sentence(kind, wrong), wrong);
    } catch (NullPointerException absent) {
      throw (NullPointerException)
          new NullPointerException(sentence(kind, absent)).initCause(absent);
    }
  }

  private String sentence(CollectiveKind kind, RuntimeException wrong) {
    return "%s, op=%s, rank=%d, sequence=%d"
        .formatted(wrong.getMessage(), kind.label(), rank, core.progress().nextSequence());
  }

  /// What a rank brings and gets is staged, so each rank may call in place or not, as it likes; but
  /// a call in place must be one.
  private void check(Call call, CollectiveRequest request) {
    Tensor in = call.in();
    Tensor out = call.out();
    if (call.kind() == CollectiveKind.BROADCAST || call.kind() == CollectiveKind.BARRIER) {
      Tensor buffer = in == null ? out : in;
      if (buffer != null) {
        TensorChecks.checkOpen(request, rank, core.progress().nextSequence(), buffer);
      }
      return;
    }
    boolean inPlace = in != null && out != null && TensorChecks.isInPlace(request, rank, in, out);
    TensorChecks.check(
        request.withInPlace(inPlace),
        rank,
        core.progress().nextSequence(),
        in == null ? List.of() : List.of(in),
        out);
  }
}
