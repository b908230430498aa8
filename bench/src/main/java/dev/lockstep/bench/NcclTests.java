package dev.lockstep.bench;

import dev.lockstep.collective.request.CollectiveKind;
import dev.lockstep.collective.request.EvenCollective;
import dev.lockstep.graph.ReduceOp;
import dev.lockstep.tensor.DType;
import java.util.Arrays;
import java.util.List;

/// What nccl-tests measures, and what it shows of it.
final class NcclTests {
  private NcclTests() {}

  /// Returns the collectives that can be measured.
  static List<CollectiveKind> kinds() {
    return Arrays.stream(CollectiveKind.values())
        .filter(kind -> kind != CollectiveKind.BARRIER)
        .toList();
  }

  /// Returns bus bandwidth over algorithm bandwidth (nccl-tests, doc/PERFORMANCE.md).
  static double busFactor(CollectiveKind kind, int ranks) {
    return switch (kind) {
      case ALL_REDUCE -> 2.0 * (ranks - 1) / ranks;
      case ALL_GATHER, REDUCE_SCATTER, ALL_TO_ALL, GATHER, SCATTER -> (ranks - 1.0) / ranks;
      case BROADCAST, REDUCE, SEND_RECEIVE, BARRIER -> 1;
    };
  }

  /// Returns whether a kind's reduce op is shown: of a send/receive too, which reduces nothing.
  static boolean showsOp(CollectiveKind kind) {
    return kind.reduces() || kind == CollectiveKind.SEND_RECEIVE;
  }

  /// Returns the reduce op that is shown.
  static String op(EvenCollective collective) {
    if (!showsOp(collective.kind())) {
      return "none";
    }
    return collective.op() instanceof ReduceOp.PreMulSum ? "mulsum" : collective.op().label();
  }

  /// Returns the root that is shown, -1 for none.
  static int root(EvenCollective collective) {
    return collective.kind().hasRoot() ? collective.root() : -1;
  }

  /// Returns the name of an element type.
  static String type(DType dtype) {
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
