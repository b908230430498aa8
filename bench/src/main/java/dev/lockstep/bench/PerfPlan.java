package dev.lockstep.bench;

import dev.lockstep.collective.algorithm.Algorithm;
import dev.lockstep.collective.request.CollectiveKind;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.request.Counts;
import dev.lockstep.collective.request.Mode;
import dev.lockstep.collective.request.Topology;
import dev.lockstep.graph.LaneSplit;
import dev.lockstep.graph.ReduceOp;
import dev.lockstep.tensor.DType;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;

/// What a run of `lockstep perf` measures, on every rank alike.
///
/// @param kind which collective
/// @param minBytes first size
/// @param maxBytes last size
/// @param stepFactor each size is the one before times this; 1 if `stepBytes` is used
/// @param stepBytes each size is the one before plus this; 0 if `stepFactor` is used
/// @param iterations timed operations per size
/// @param warmups untimed operations per size; empty, and of 1000 and more also, to warm up until
///   operations stop getting faster
/// @param checks whether results are checked
/// @param dtype element type
/// @param op reduce op
/// @param root root of rooted collectives
/// @param dirty whether each rank writes its input before every operation and operations are timed
///   one by one
/// @param mode what is promised about the bits
/// @param transport transport name, empty to let Lockstep choose
/// @param algorithm what runs the collective; empty to let Lockstep choose
/// @param choices whether every algorithm is measured, and compared with what is predicted
/// @param wrongElements how many elements of the first checked result are falsified, to see that
///   the check sees it
record PerfPlan(
    CollectiveKind kind,
    long minBytes,
    long maxBytes,
    int stepFactor,
    long stepBytes,
    int iterations,
    OptionalInt warmups,
    boolean checks,
    DType dtype,
    ReduceOp op,
    int root,
    boolean dirty,
    Mode mode,
    String transport,
    Optional<Algorithm> algorithm,
    boolean choices,
    int wrongElements) {
  /// Returns the collectives that can be measured.
  static List<CollectiveKind> kinds() {
    return Arrays.stream(CollectiveKind.values())
        .filter(kind -> kind != CollectiveKind.BARRIER)
        .toList();
  }

  /// Returns bus bandwidth over algorithm bandwidth (nccl-tests, doc/PERFORMANCE.md).
  double busFactor(int ranks) {
    return switch (kind) {
      case ALL_REDUCE -> 2.0 * (ranks - 1) / ranks;
      case ALL_GATHER, REDUCE_SCATTER, ALL_TO_ALL, GATHER, SCATTER -> (ranks - 1.0) / ranks;
      case BROADCAST, REDUCE, SEND_RECEIVE, BARRIER -> 1;
    };
  }

  /// Returns whether nccl-tests shows a kind's reduce op: of a send/receive too, which reduces
  /// nothing.
  static boolean namesOp(CollectiveKind kind) {
    return kind.reduces() || kind == CollectiveKind.SEND_RECEIVE;
  }

  /// Returns the count that nccl-tests shows for a size: elements, of a part where it is in parts.
  long count(long bytes, int ranks) {
    return bytes / dtype.bytes() / (kind.isInParts() ? ranks : 1);
  }

  /// Returns the request of a count.
  CollectiveRequest request(long count, boolean inPlace, Topology topology) {
    return evenly(kind, dtype, op, root, count, inPlace, topology, mode);
  }

  /// Returns the request of a kind of which every rank has as much.
  ///
  /// @param count elements, of a part where the kind is in parts
  static CollectiveRequest evenly(
      CollectiveKind kind,
      DType dtype,
      ReduceOp op,
      int root,
      long count,
      boolean inPlace,
      Topology topology,
      Mode mode) {
    int ranks = topology.ranks();
    LaneSplit lanes = LaneSplit.onePerRank(ranks);
    return switch (kind) {
      case ALL_REDUCE ->
          CollectiveRequest.allReduce(dtype, op, count, inPlace, topology, lanes, mode);
      case REDUCE_SCATTER ->
          CollectiveRequest.reduceScatter(
              dtype, op, Counts.each(ranks, count), inPlace, topology, lanes, mode);
      case REDUCE ->
          CollectiveRequest.reduce(dtype, op, count, root, inPlace, topology, lanes, mode);
      case ALL_GATHER ->
          CollectiveRequest.allGather(dtype, Counts.each(ranks, count), inPlace, topology);
      case BROADCAST ->
          CollectiveRequest.broadcast(dtype, count, root, topology).withInPlace(inPlace);
      case ALL_TO_ALL ->
          CollectiveRequest.allToAll(
              dtype, Counts.each((long) ranks * ranks, count), inPlace, topology);
      case GATHER ->
          CollectiveRequest.gather(dtype, Counts.each(ranks, count), root, inPlace, topology);
      case SCATTER ->
          CollectiveRequest.scatter(dtype, Counts.each(ranks, count), root, inPlace, topology);
      case BARRIER -> CollectiveRequest.barrier(topology);
      case SEND_RECEIVE -> CollectiveRequest.sendReceive(dtype, count, inPlace, topology);
    };
  }

  /// Sizes in bytes, as asked for, without those that hold no element of the type.
  List<Long> sizes(int ranks) {
    List<Long> sizes = new ArrayList<>();
    long bytes = minBytes;
    while (true) {
      if (count(bytes, ranks) > 0) {
        sizes.add(bytes);
      }
      if (isLast(bytes)) {
        return sizes;
      }
      bytes = stepBytes > 0 ? bytes + stepBytes : Math.max(1, bytes) * stepFactor;
    }
  }

  /// Returns whether the size after this one is beyond the last, or beyond a long.
  private boolean isLast(long bytes) {
    return stepBytes > 0
        ? bytes > maxBytes - stepBytes
        : Math.max(1, bytes) > maxBytes / stepFactor;
  }

  /// Returns nccl-tests' name of the reduce op; those of a send/receive it names too.
  String opName() {
    if (!namesOp(kind)) {
      return "none";
    }
    return op instanceof ReduceOp.PreMulSum ? "mulsum" : op.label();
  }

  /// Returns the root that nccl-tests shows, -1 for none.
  int shownRoot() {
    return kind.hasRoot() ? root : -1;
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
