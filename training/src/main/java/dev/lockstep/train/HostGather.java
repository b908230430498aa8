package dev.lockstep.train;

import dev.lockstep.graph.Primitive;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Shape;
import dev.lockstep.tensor.Tensor;
import dev.lockstep.train.parallel.Exchange;
import dev.lockstep.train.parallel.FlatLayout;
import dev.lockstep.train.parallel.FlatTensors;
import dev.lockstep.train.placement.AxisPlace;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/// Brings what the ranks of an axis hold to the host memory of each of them, a piece at a time.
final class HostGather {
  private static final long PIECE_ELEMENTS = 1 << 18;

  private HostGather() {}

  /// Gathers one vector per rank; every rank of the axis calls this.
  ///
  /// @param own this rank's elements, F32
  /// @param elements the most elements that a rank brings
  /// @return each rank's elements, in rank order, padded to `elements`
  static List<MemorySegment> gather(
      RankCompute compute, AxisPlace axis, MemorySegment own, long elements, Arena arena) {
    if (axis.ranks() == 1) {
      return List.of(own);
    }
    List<MemorySegment> all = new ArrayList<>();
    for (int rank = 0; rank < axis.ranks(); rank++) {
      all.add(arena.allocate(elements * DType.F32.bytes(), DType.F32.bytes()));
    }
    long piece = Math.max(1, Math.min(PIECE_ELEMENTS, elements));
    FlatLayout mine = FlatLayout.of(Map.of("piece", Shape.of(piece)));
    FlatLayout everyones = FlatLayout.of(Map.of("pieces", Shape.of(piece * axis.ranks())));
    try (Arena staging = Arena.ofConfined();
        FlatTensors in = FlatTensors.allocateShared(compute.device(), "piece", mine);
        FlatTensors out = FlatTensors.allocateShared(compute.device(), "pieces", everyones)) {
      Tensor given = in.get("piece");
      Tensor got = out.get("pieces");
      MemorySegment from = staging.allocate(given.bytes(), DType.F32.bytes());
      MemorySegment to = staging.allocate(got.bytes(), DType.F32.bytes());
      Primitive.AllGather op = new Primitive.AllGather(axis.name(), axis.ranks(), 0);
      try (Exchange.Prepared prepared = compute.exchange().prepare(op, List.of(given), got)) {
        for (long done = 0; done < elements; done += piece) {
          long start = done * DType.F32.bytes();
          copy(own, start, from, 0);
          compute.stream().copyIn(given, from);
          compute.stream().synchronize();
          prepared.run();
          compute.stream().copyOut(to, got);
          for (int rank = 0; rank < axis.ranks(); rank++) {
            copy(to.asSlice(rank * given.bytes(), given.bytes()), 0, all.get(rank), start);
          }
        }
      }
    }
    return all;
  }

  /// Copies as much as both have.
  private static void copy(MemorySegment from, long fromStart, MemorySegment to, long toStart) {
    long bytes = Math.min(from.byteSize() - fromStart, to.byteSize() - toStart);
    if (bytes > 0) {
      MemorySegment.copy(from, fromStart, to, toStart, bytes);
    }
  }
}
