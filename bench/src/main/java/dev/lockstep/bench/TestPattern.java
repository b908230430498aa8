package dev.lockstep.bench;

import dev.lockstep.collective.request.EvenCollective;
import dev.lockstep.graph.ReduceOp;
import dev.lockstep.tensor.DType;
import java.lang.foreign.MemorySegment;

/// Inputs whose reduction is exact in any order, and what must come out: both are pure functions of
/// (rank, index), so that results are compared bit for bit. A contribution that is missing, doubled
/// or misplaced changes the result (of averages of small floats nearly always); the order of sums
/// never does: an average is a sum, divided and rounded once.
///
/// Where a sum of one of each rank would not be exact, as many ranks as it is exact for bring
/// something to an element, others to the next, and the rest zeros: a rank's part is then seen in
/// some elements only.
final class TestPattern {
  private final EvenCollective collective;
  private final int ranks;

  /// How many ranks bring more than nothing to an element of a sum.
  private final int summed;

  private final long largest;

  TestPattern(EvenCollective collective, int ranks) {
    long exact = exactIntegers(collective.dtype());
    this.collective = collective;
    this.ranks = ranks;
    this.summed = (int) Math.min(ranks, exact);
    this.largest = Math.max(1, exact / ranks);
  }

  /// The greatest integer up to which every integer is an element of the type.
  private static long exactIntegers(DType dtype) {
    return switch (dtype) {
      case F64, I64 -> 1L << 40;
      case F32, I32 -> 1L << 22;
      case BF16 -> 1 << 8;
      case F16 -> 1 << 11;
      case F8_E4M3FN, F8_E4M3 -> 1 << 4;
      case F8_E5M2 -> 1 << 3;
      case I16 -> Short.MAX_VALUE;
      case I8, U8 -> Byte.MAX_VALUE;
      case BOOL -> 1;
    };
  }

  /// Fills the input of `rank`.
  void fill(int rank, MemorySegment input, long elements) {
    for (long i = 0; i < elements; i++) {
      Elements.set(collective.dtype(), input, i, contribution(rank, i));
    }
  }

  /// Counts the elements of a rank's output that differ in any bit from what must come out.
  ///
  /// @param scratch room for as many elements; overwritten
  /// @param count elements of a rank's buffer, or of a part
  /// @param from first element that is looked at
  /// @param to the one after the last
  long wrong(
      int rank, MemorySegment output, MemorySegment scratch, long count, long from, long to) {
    for (long i = from; i < to; i++) {
      Elements.set(collective.dtype(), scratch, i, expected(rank, i, count));
    }
    int bytes = collective.dtype().bytes();
    long wrong = 0;
    for (long at = mismatch(output, scratch, from * bytes, to * bytes); at >= 0; ) {
      wrong++;
      at = mismatch(output, scratch, (at / bytes + 1) * bytes, to * bytes);
    }
    return wrong;
  }

  private static long mismatch(MemorySegment a, MemorySegment b, long from, long to) {
    long at = from >= to ? -1 : MemorySegment.mismatch(a, from, to, b, from, to);
    return at < 0 ? -1 : from + at;
  }

  double contribution(int rank, long index) {
    if (!collective.kind().reduces()) {
      return integer(rank, index);
    }
    return switch (collective.op()) {
      case ReduceOp.Sum _, ReduceOp.Avg _, ReduceOp.PreMulSum _ ->
          isSummed(rank, index) ? integer(rank, index) : 0;
      case ReduceOp.Prod _ -> index % ranks == rank ? Math.abs(integer(rank, index)) : 1;
      case ReduceOp.LogicalAnd _ -> index % (2L * ranks) == rank ? 0 : integer(rank, index);
      case ReduceOp.LogicalOr _, ReduceOp.LogicalXor _ ->
          index % (2L * ranks) == rank ? integer(rank, index) : 0;
      case ReduceOp.Min _, ReduceOp.Max _, ReduceOp.BitAnd _, ReduceOp.BitOr _, ReduceOp.BitXor _ ->
          integer(rank, index);
    };
  }

  private boolean isSummed(int rank, long index) {
    return summed == ranks || Math.floorMod(rank - index, ranks) < summed;
  }

  /// Returns what must come out at an index of a rank's output.
  ///
  /// @param count elements of a rank's buffer, or of a part
  double expected(int rank, long index, long count) {
    return switch (collective.kind()) {
      case ALL_REDUCE, REDUCE -> joined(index);
      case REDUCE_SCATTER -> joined(rank * count + index);
      case ALL_GATHER, GATHER -> contribution((int) (index / count), index % count);
      case BROADCAST -> contribution(collective.root(), index);
      case SCATTER -> contribution(collective.root(), rank * count + index);
      case ALL_TO_ALL -> contribution((int) (index / count), rank * count + index % count);
      case SEND_RECEIVE -> contribution((rank + ranks - 1) % ranks, index);
      case BARRIER -> throw new IllegalArgumentException("nothing comes out of a barrier");
    };
  }

  private double joined(long index) {
    double joined = factor() * contribution(0, index);
    for (int rank = 1; rank < ranks; rank++) {
      joined = join(joined, factor() * contribution(rank, index));
    }
    return collective.op() instanceof ReduceOp.Avg ? joined / ranks : joined;
  }

  private double factor() {
    return collective.op() instanceof ReduceOp.PreMulSum(double factor) ? factor : 1;
  }

  private double join(double a, double b) {
    return switch (collective.op()) {
      case ReduceOp.Sum _, ReduceOp.Avg _, ReduceOp.PreMulSum _ -> a + b;
      case ReduceOp.Prod _ -> a * b;
      case ReduceOp.Min _ -> Math.min(a, b);
      case ReduceOp.Max _ -> Math.max(a, b);
      case ReduceOp.BitAnd _ -> (long) a & (long) b;
      case ReduceOp.BitOr _ -> (long) a | (long) b;
      case ReduceOp.BitXor _ -> (long) a ^ (long) b;
      case ReduceOp.LogicalAnd _ -> a != 0 && b != 0 ? 1 : 0;
      case ReduceOp.LogicalOr _ -> a != 0 || b != 0 ? 1 : 0;
      case ReduceOp.LogicalXor _ -> (a != 0) != (b != 0) ? 1 : 0;
    };
  }

  /// A number from 0 (unsigned types) or -largest … largest, by a 64-bit mixer over rank and index.
  private double integer(int rank, long index) {
    long mixed = (index * 0x9E3779B97F4A7C15L) ^ (rank + 1) * 0xC4CEB9FE1A85EC53L;
    mixed = (mixed ^ mixed >>> 32) * 0xD6E8FEB86659FD93L;
    long magnitude = (mixed >>> 24) % (largest + 1);
    boolean signed = collective.dtype() != DType.U8 && collective.dtype() != DType.BOOL;
    return signed && (mixed & 1) == 1 ? -magnitude : magnitude;
  }
}
