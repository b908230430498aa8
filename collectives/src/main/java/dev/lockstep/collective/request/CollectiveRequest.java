package dev.lockstep.collective.request;

import dev.lockstep.graph.LaneSplit;
import dev.lockstep.graph.ReduceOp;
import dev.lockstep.graph.SumTree.Subtree;
import dev.lockstep.tensor.DType;
import java.util.List;
import java.util.Locale;
import org.jspecify.annotations.Nullable;

/// What a collective is to do, without any memory: the argument of algorithms and of a
/// communicator's `prepare`. The same on every rank.
///
/// Meaning of `counts`, in elements: all-reduce, reduce, broadcast and send/receive: one number;
/// reduce-scatter, all-gather, gather and scatter: each rank's part; all-to-all: row by row what
/// each rank sends to each rank; barrier: none.
///
/// @param kind operation
/// @param dtype element type
/// @param reduceOp how contributions are joined; null exactly where the kind does not reduce
/// @param root the rank that broadcasts, gathers, scatters or reduces to; -1 for the other kinds
/// @param counts elements, see above
/// @param inPlace whether input and output of a rank that has both share their memory: the smaller
///   one is then its part of the larger one
/// @param topology where the ranks are
/// @param lanes which subtrees of the sum each rank brings, one input each; one leaf per rank for
///   kinds that do not reduce
/// @param mode what is promised about the bits
public record CollectiveRequest(
    CollectiveKind kind,
    DType dtype,
    @Nullable ReduceOp reduceOp,
    int root,
    List<Long> counts,
    boolean inPlace,
    Topology topology,
    LaneSplit lanes,
    Mode mode) {
  /// Checks that the parts fit together.
  public CollectiveRequest {
    counts = List.copyOf(counts);
    int ranks = topology.ranks();
    int expectedCounts = expectedCounts(kind, ranks);
    if (counts.size() != expectedCounts) {
      throw new IllegalArgumentException(
          "wrong number of counts: kind=%s, ranks=%d, counts=%d, expected=%d"
              .formatted(kind.label(), ranks, counts.size(), expectedCounts));
    }
    for (long count : counts) {
      if (count < 0) {
        throw new IllegalArgumentException(
            "count is negative: kind=" + kind.label() + ", count=" + count);
      }
    }
    if (hasRoot(kind) ? root < 0 || root >= ranks : root != -1) {
      throw new IllegalArgumentException(
          "root is not a rank of the communicator: kind=%s, root=%d, ranks=%d"
              .formatted(kind.label(), root, ranks));
    }
    if (kind.reduces() != (reduceOp != null)) {
      throw new IllegalArgumentException(
          "reduce op is given exactly where a kind reduces: kind=%s, reduceOp=%s"
              .formatted(kind.label(), reduceOp));
    }
    if (reduceOp instanceof ReduceOp.Avg && !dtype.isFloat()) {
      throw new IllegalArgumentException(
          "averages need a floating-point type: kind=" + kind.label() + ", dtype=" + dtype);
    }
    if (lanes.ranks().size() != ranks) {
      throw new IllegalArgumentException(
          "lanes are not split over the ranks of the communicator: ranks=%d, splitOver=%d"
              .formatted(ranks, lanes.ranks().size()));
    }
    if (!kind.reduces() && lanes.lanes() != ranks) {
      throw new IllegalArgumentException(
          "only sums have lanes: kind=%s, lanes=%d, ranks=%d"
              .formatted(kind.label(), lanes.lanes(), ranks));
    }
  }

  /// Returns the request of an all-reduce.
  public static CollectiveRequest allReduce(
      DType dtype,
      ReduceOp op,
      long elements,
      boolean inPlace,
      Topology topology,
      LaneSplit lanes,
      Mode mode) {
    return new CollectiveRequest(
        CollectiveKind.ALL_REDUCE,
        dtype,
        op,
        -1,
        List.of(elements),
        inPlace,
        topology,
        lanes,
        mode);
  }

  /// Returns the request of a broadcast, in place on the root.
  public static CollectiveRequest broadcast(
      DType dtype, long elements, int root, Topology topology) {
    return new CollectiveRequest(
        CollectiveKind.BROADCAST,
        dtype,
        null,
        root,
        List.of(elements),
        true,
        topology,
        LaneSplit.onePerRank(topology.ranks()),
        Mode.SAME_BITS);
  }

  /// Returns the request of a barrier.
  public static CollectiveRequest barrier(Topology topology) {
    return new CollectiveRequest(
        CollectiveKind.BARRIER,
        DType.U8,
        null,
        -1,
        List.of(),
        false,
        topology,
        LaneSplit.onePerRank(topology.ranks()),
        Mode.SAME_BITS);
  }

  /// Returns the number of ranks.
  public int ranks() {
    return topology.ranks();
  }

  /// Returns how many inputs a rank brings.
  public int inputs(int rank) {
    return switch (kind) {
      case ALL_REDUCE, REDUCE_SCATTER, REDUCE -> lanes.ranks().get(rank).size();
      case ALL_GATHER, ALL_TO_ALL, GATHER, SEND_RECEIVE -> 1;
      case BROADCAST, SCATTER -> rank == root ? 1 : 0;
      case BARRIER -> 0;
    };
  }

  /// Returns the subtree of the sum that an input holds; a leaf where nothing is reduced.
  public Subtree subtree(int rank, int input) {
    return lanes.ranks().get(rank).get(input);
  }

  /// Returns the number of elements of each input of a rank.
  public long inputElements(int rank) {
    return switch (kind) {
      case ALL_REDUCE, REDUCE, SEND_RECEIVE -> counts.getFirst();
      case BROADCAST -> rank == root ? counts.getFirst() : 0;
      case ALL_GATHER, GATHER -> counts.get(rank);
      case REDUCE_SCATTER -> total();
      case SCATTER -> rank == root ? total() : 0;
      case ALL_TO_ALL -> sum(rank * ranks(), 1, ranks());
      case BARRIER -> 0;
    };
  }

  /// Returns the number of elements of a rank's output, 0 if it has none.
  public long outputElements(int rank) {
    return switch (kind) {
      case ALL_REDUCE, BROADCAST, SEND_RECEIVE -> counts.getFirst();
      case REDUCE -> rank == root ? counts.getFirst() : 0;
      case REDUCE_SCATTER, SCATTER -> counts.get(rank);
      case ALL_GATHER -> total();
      case GATHER -> rank == root ? total() : 0;
      case ALL_TO_ALL -> sum(rank, ranks(), ranks());
      case BARRIER -> 0;
    };
  }

  /// Returns where a rank's part starts among the parts of all ranks, for kinds whose counts are
  /// one per rank.
  public long displacement(int rank) {
    return sum(0, 1, rank);
  }

  /// Returns the first element of input 0 within the memory that input and output share in place.
  public long inputStart(int rank) {
    return switch (kind) {
      case ALL_GATHER -> displacement(rank);
      case GATHER -> rank == root ? displacement(rank) : 0;
      case ALL_REDUCE,
          REDUCE_SCATTER,
          BROADCAST,
          REDUCE,
          ALL_TO_ALL,
          SCATTER,
          BARRIER,
          SEND_RECEIVE ->
          0;
    };
  }

  /// Returns the first element of the output within the memory that input and output share in
  /// place.
  public long outputStart(int rank) {
    return switch (kind) {
      case REDUCE_SCATTER -> displacement(rank);
      case SCATTER -> rank == root ? displacement(rank) : 0;
      case ALL_REDUCE, ALL_GATHER, BROADCAST, REDUCE, ALL_TO_ALL, GATHER, BARRIER, SEND_RECEIVE ->
          0;
    };
  }

  /// Returns the number of elements that the whole collective is about: the sum of the counts.
  public long total() {
    return sum(0, 1, counts.size());
  }

  /// Returns the number of the reduce op in a message's envelope, 0 for none.
  public byte reduceOpCode() {
    return switch (reduceOp) {
      case null -> 0;
      case ReduceOp.Sum _ -> 1;
      case ReduceOp.Prod _ -> 2;
      case ReduceOp.Min _ -> 3;
      case ReduceOp.Max _ -> 4;
      case ReduceOp.Avg _ -> 5;
    };
  }

  /// Returns a hash of everything in this request, the same on every JVM.
  public long hash() {
    StableHash hash =
        new StableHash()
            .add(kind.code())
            .add(dtype.name())
            .add(reduceOpCode())
            .add(root)
            .add(inPlace ? 1 : 0)
            .add(mode.name())
            .add(topology.ranks())
            .add(topology.peerMemory() ? 1 : 0)
            .add(lanes.lanes());
    counts.forEach(hash::add);
    topology.nodes().forEach(hash::add);
    for (List<Subtree> subtrees : lanes.ranks()) {
      hash.add(subtrees.size());
      for (Subtree subtree : subtrees) {
        hash.add(subtree.first()).add(subtree.size());
      }
    }
    return hash.value();
  }

  /// Returns the request in words, for messages: `all_reduce(dtype=f32, elements=1024, op=sum)`.
  public String words() {
    StringBuilder text = new StringBuilder(kind.label());
    if (kind == CollectiveKind.BARRIER) {
      return text.toString();
    }
    text.append("(dtype=").append(dtype.name().toLowerCase(Locale.ROOT));
    text.append(", elements=").append(total());
    if (reduceOp != null) {
      text.append(", op=").append(reduceOp.label());
      if (lanes.lanes() != ranks()) {
        text.append(", lanes=").append(lanes.lanes());
      }
    }
    if (root >= 0) {
      text.append(", root=").append(root);
    }
    return text.append(')').toString();
  }

  private long sum(int from, int stride, int howMany) {
    long sum = 0;
    for (int i = 0; i < howMany; i++) {
      sum = Math.addExact(sum, counts.get(from + i * stride));
    }
    return sum;
  }

  private static int expectedCounts(CollectiveKind kind, int ranks) {
    return switch (kind) {
      case ALL_REDUCE, REDUCE, BROADCAST, SEND_RECEIVE -> 1;
      case REDUCE_SCATTER, ALL_GATHER, GATHER, SCATTER -> ranks;
      case ALL_TO_ALL -> ranks * ranks;
      case BARRIER -> 0;
    };
  }

  private static boolean hasRoot(CollectiveKind kind) {
    return switch (kind) {
      case BROADCAST, REDUCE, GATHER, SCATTER -> true;
      case ALL_REDUCE, REDUCE_SCATTER, ALL_GATHER, ALL_TO_ALL, BARRIER, SEND_RECEIVE -> false;
    };
  }
}
