package dev.lockstep.bench;

import dev.lockstep.graph.ReduceOp;
import dev.lockstep.tensor.DType;
import java.util.ArrayList;
import java.util.List;

/// What a run of `lockstep perf` measures, on every rank alike.
///
/// @param collective which collective
/// @param minBytes first size
/// @param maxBytes last size
/// @param stepFactor each size is the one before times this; 1 if `stepBytes` is used
/// @param stepBytes each size is the one before plus this; 0 if `stepFactor` is used
/// @param iterations timed operations per size
/// @param warmups untimed operations per size
/// @param checks whether results are checked
/// @param dtype element type
/// @param op reduce op
/// @param root root of rooted collectives
/// @param dirty whether each rank writes its input before every operation and operations are timed
///   one by one
/// @param transport transport name, empty to let Lockstep choose
/// @param wrongElements how many elements of the first checked result are falsified, to see that
///   the check sees it
record PerfPlan(
    Collective collective,
    long minBytes,
    long maxBytes,
    int stepFactor,
    long stepBytes,
    int iterations,
    int warmups,
    boolean checks,
    DType dtype,
    ReduceOp op,
    int root,
    boolean dirty,
    String transport,
    int wrongElements) {
  /// The collectives that can be measured, with nccl-tests' names and factors.
  enum Collective {
    /// Every rank gets the reduction of all.
    ALL_REDUCE("all_reduce"),
    /// Every rank gets the root's buffer.
    BROADCAST("broadcast");

    private final String label;

    Collective(String label) {
      this.label = label;
    }

    String label() {
      return label;
    }

    /// Bus bandwidth over algorithm bandwidth (nccl-tests, doc/PERFORMANCE.md).
    double busFactor(int ranks) {
      return switch (this) {
        case ALL_REDUCE -> 2.0 * (ranks - 1) / ranks;
        case BROADCAST -> 1;
      };
    }

    boolean reduces() {
      return this == ALL_REDUCE;
    }
  }

  /// Sizes in bytes, each a whole number of elements.
  List<Long> sizes() {
    List<Long> sizes = new ArrayList<>();
    for (long bytes = minBytes; bytes <= maxBytes; bytes = next(bytes)) {
      sizes.add(bytes / dtype.bytes() * dtype.bytes());
    }
    return sizes;
  }

  private long next(long bytes) {
    return stepBytes > 0 ? bytes + stepBytes : Math.multiplyExact(Math.max(1, bytes), stepFactor);
  }

  /// Returns nccl-tests' name of an element type.
  static String typeName(DType dtype) {
    return switch (dtype) {
      case F64 -> "double";
      case F32 -> "float";
      case BF16 -> "bfloat16";
      case F16 -> "half";
      case F8_E4M3FN -> "f8e4m3";
      case F8_E5M2 -> "f8e5m2";
      case F8_E4M3 -> "f8e4m3i";
      case I64 -> "int64";
      case I32 -> "int32";
      case I16 -> "int16";
      case I8 -> "int8";
      case U8 -> "uint8";
      case BOOL -> "bool";
    };
  }
}
