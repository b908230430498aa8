package dev.lockstep.train;

import dev.lockstep.tensor.DType;
import dev.lockstep.train.placement.AxisPlace;
import dev.lockstep.train.placement.Parts;
import dev.lockstep.train.placement.Placement;
import java.lang.foreign.MemorySegment;

/// What one rank writes of the tensors of a [ModelState], whose ranks write them together.
///
/// Note [who writes what of a checkpoint]: every element is written by one rank, and by one that
/// holds it. Of what is cut over the axes of features and experts each rank has its part; what is
/// the same on several of them is the first one's; what two stages of a pipeline hold is the first
/// one's too. Of what is cut over the data axis (ZeRO) each rank has its shard; what is whole on
/// all of them is shared out evenly. So nothing is gathered, and each rank keeps a copy only of
/// what it writes while training goes on.
final class StateRuns {
  private final ModelState state;
  private final Grid grid;
  private final long first;
  private final long end;

  /// @param share which of `shares` ranks this is among those that hold the same
  StateRuns(ModelState state, Grid grid, int share, int shares) {
    this.state = state;
    this.grid = grid;
    long held = state.memory().shape().elements();
    boolean isShared = state.ranges(grid.pipeline().rank()).isWhole();
    // A shard is held by every rank of the axis of positions, and written by its first.
    boolean isOthers = !isShared && grid.context().rank() > 0;
    this.first = isShared ? held * share / shares : isOthers ? held : 0;
    this.end = isShared ? held * (share + 1) / shares : held;
  }

  /// Receives a run of elements that lie side by side in a whole tensor.
  interface Run {
    /// Receives one run.
    ///
    /// @param tensor its name
    /// @param start first element in the whole tensor
    /// @param copied the elements, in the copy
    void at(String tensor, long start, MemorySegment copied);
  }

  /// Returns the bytes of the copy.
  long bytes() {
    return (end - first) * DType.F32.bytes();
  }

  /// Copies what is written; afterwards the state may change.
  void copy(RankCompute compute, MemorySegment to) {
    if (end > first) {
      compute.stream().copyOut(to, state.vector(first, end - first));
      compute.stream().synchronize();
    }
  }

  /// Returns what is written, where it is held; for a device whose memory the host addresses.
  MemorySegment held() {
    return end > first ? state.vector(first, end - first).segment() : MemorySegment.NULL;
  }

  /// Visits the copy's elements by where they belong. Needs no device: another thread may.
  void each(MemorySegment copy, Run run) {
    for (String name : state.names()) {
      Placement placement = state.placement(name);
      AxisPlace place = grid.model().of(state.parameter(name));
      boolean isOthers = !grid.model().isFirstHolder(state.parameter(name));
      if (isOthers || state.stage(name) != grid.pipeline().rank()) {
        continue;
      }
      long start = state.start(name);
      long elements = grid.localShape(state.parameter(name)).elements();
      state
          .ranges(grid.pipeline().rank())
          .parts(
              grid.data().rank(),
              start,
              elements,
              (held, from, length) -> {
                long low = Math.max(held, first);
                long high = Math.min(held + length, end);
                if (low < high) {
                  Parts.within(
                      state.parameter(name).shape(),
                      placement,
                      place,
                      from - start + low - held,
                      high - low,
                      (whole, part, count) ->
                          run.at(
                              name,
                              whole,
                              slice(
                                  copy, low - first + part - (from - start + low - held), count)));
                }
              });
    }
  }

  private static MemorySegment slice(MemorySegment copy, long element, long elements) {
    return copy.asSlice(element * DType.F32.bytes(), elements * DType.F32.bytes());
  }
}
