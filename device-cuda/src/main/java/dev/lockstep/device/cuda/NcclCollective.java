package dev.lockstep.device.cuda;

import dev.lockstep.device.DeviceCollective;
import dev.lockstep.device.DeviceGroup;
import dev.lockstep.device.cuda.ffi.Cu;
import dev.lockstep.failure.LockstepException;
import dev.lockstep.graph.LaneSplit;
import dev.lockstep.memory.Buffer;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;

/// A collective with its tensors, which it leases until it is closed.
final class NcclCollective implements DeviceGroup.Prepared {
  private final NcclGroup group;
  private final String op;
  private final CudaStream compute;
  private final CudaStream stream;
  private final Arena arena;
  private final NcclStep[] steps;
  private final List<Buffer> leased = new ArrayList<>();
  private final BoundBytes used;
  private long ticket = -1;
  private boolean isStarted;
  private boolean isBroken;
  private boolean closed;

  /// Plans it; the context is current.
  @SuppressWarnings("MustBeClosed") // closed with the collective
  NcclCollective(
      NcclGroup group,
      DeviceCollective collective,
      CudaStream compute,
      List<Tensor> inputs,
      Tensor output) {
    this.group = group;
    this.op = collective.label();
    this.compute = compute;
    this.stream = group.owner().stream();
    check(collective, group.membership().rank(), inputs, output);
    CudaDevice device = group.owner().device();
    List<Long> addresses = inputs.stream().map(device::address).toList();
    long to = device.address(output);
    this.used = BoundBytes.of(Stream.concat(inputs.stream(), Stream.of(output)).toList());
    this.arena = Arena.ofConfined();
    boolean isPlanned = false;
    try {
      steps =
          new NcclPlan(
                  group.place(),
                  reduceOp -> LaneJoin.of(device, reduceOp, stream.handle(), arena),
                  bytes -> group.owner().scratch(bytes).pointer())
              .of(collective, addresses, to)
              .toArray(NcclStep[]::new);
      for (Tensor input : inputs) {
        lease(input.buffer());
      }
      lease(output.buffer());
      isPlanned = true;
    } finally {
      if (!isPlanned) {
        leased.forEach(Buffer::release);
        arena.close();
      }
    }
  }

  private void lease(Buffer buffer) {
    buffer.acquire();
    leased.add(buffer);
  }

  private static void check(
      DeviceCollective collective, int rank, List<Tensor> inputs, Tensor output) {
    switch (collective) {
      case DeviceCollective.AllReduce(DType dtype, var _, LaneSplit lanes, long elements) -> {
        check(collective, dtype, lanes.ranks().get(rank).size(), elements, inputs);
        check(collective, dtype, elements, output);
      }
      case DeviceCollective.ReduceScatter(
              DType dtype,
              var _,
              LaneSplit lanes,
              List<Long> counts) -> {
        long elements = counts.stream().mapToLong(Long::longValue).sum();
        check(collective, dtype, lanes.ranks().get(rank).size(), elements, inputs);
        check(collective, dtype, counts.get(rank), output);
      }
      case DeviceCollective.AllGather(DType dtype, List<Long> counts) -> {
        check(collective, dtype, 1, counts.get(rank), inputs);
        check(collective, dtype, counts.stream().mapToLong(Long::longValue).sum(), output);
      }
    }
  }

  private static void check(
      DeviceCollective collective, DType dtype, int count, long elements, List<Tensor> inputs) {
    if (inputs.size() != count) {
      throw new IllegalArgumentException(
          "rank brings another number of tensors: op=%s, tensors=%d, expected=%d"
              .formatted(collective.label(), inputs.size(), count));
    }
    inputs.forEach(input -> check(collective, dtype, elements, input));
  }

  private static void check(
      DeviceCollective collective, DType dtype, long elements, Tensor tensor) {
    if (tensor.dtype() != dtype || tensor.shape().elements() != elements) {
      throw new IllegalArgumentException(
          "tensor does not fit the collective: op=%s, dtype=%s, elements=%d, expectedDtype=%s, expectedElements=%d, buffer=%s"
              .formatted(
                  collective.label(),
                  tensor.dtype(),
                  tensor.shape().elements(),
                  dtype,
                  elements,
                  tensor.buffer().name()));
    }
  }

  NcclGroup group() {
    return group;
  }

  String op() {
    return op;
  }

  @Override
  public void start() {
    if (closed) {
      throw new IllegalStateException("collective is closed: op=" + op);
    }
    group.owner().requireSound();
    stream.await(compute, compute.mark(used));
    long ready = stream.mark();
    try {
      queue();
      ticket = stream.mark();
      group.queued(this, ready, ticket);
    } catch (LockstepException failed) {
      isBroken = true;
      throw group.owner().fail(failed);
    } catch (RuntimeException | Error unforeseen) {
      isBroken = true;
      group.owner().fail(unforeseen, op);
      throw unforeseen;
    }
    isStarted = true;
  }

  private void queue() {
    CudaContext context = group.owner().device().context();
    for (NcclStep step : steps) {
      switch (step) {
        case NcclStep.Call call -> group.queue(call.function(), op, call);
        case NcclStep.Launch launch -> {
          int status =
              context
                  .driver()
                  .launchKernelEx(
                      launch.config().address(), launch.function(), launch.parameters().address());
          if (status != Cu.SUCCESS) { // words for a failure alone: queueing allocates nothing
            context.check(status, "cuLaunchKernelEx", "op=" + op);
          }
        }
      }
    }
  }

  @Override
  public void await() {
    if (isStarted) {
      isStarted = false;
      compute.await(stream, ticket);
    }
  }

  /// Waits for the last run.
  @Override
  public void close() {
    if (closed) {
      return;
    }
    closed = true;
    try {
      if (isBroken) {
        group.owner().awaitEnd(); // part of it may have been under way when all was ended
      } else if (ticket >= 0) {
        group.owner().awaitPassed(ticket);
      }
    } finally {
      leased.forEach(Buffer::release);
      arena.close();
    }
  }
}
