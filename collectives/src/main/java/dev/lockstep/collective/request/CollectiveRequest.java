package dev.lockstep.collective.request;

import dev.lockstep.graph.LaneSplit;
import dev.lockstep.graph.ReduceOp;
import dev.lockstep.graph.SumTree.Subtree;
import dev.lockstep.tensor.DType;
import java.util.List;
import java.util.Locale;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;

/// What a collective is to do, without any memory: the argument of algorithms and of a
/// communicator's `prepare`. The same on every rank.
///
/// Meaning of `counts`, in elements: all-reduce, reduce, broadcast and send/receive: one number;
/// reduce-scatter, all-gather, gather and scatter: each rank's part; all-to-all: row by row what
/// each rank sends to each rank; barrier: none. Parts may differ and be empty.
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
/// @param partners who sends to whom in a send/receive; [Partners#none()] for the other kinds
public record CollectiveRequest(
    CollectiveKind kind,
    DType dtype,
    @Nullable ReduceOp reduceOp,
    int root,
    Counts counts,
    boolean inPlace,
    Topology topology,
    LaneSplit lanes,
    Mode mode,
    Partners partners) {
  private static final int MOST_COUNTS_IN_WORDS = 64;

  /// Checks that the parts fit together.
  public CollectiveRequest {
    int ranks = topology.ranks();
    long expectedCounts = expectedCounts(kind, ranks);
    if (counts.size() != expectedCounts) {
      throw new IllegalArgumentException(
          "wrong number of counts: kind=%s, ranks=%d, counts=%d, expected=%d"
              .formatted(kind.label(), ranks, counts.size(), expectedCounts));
    }
    if (kind.hasRoot() ? root < 0 || root >= ranks : root != -1) {
      throw new IllegalArgumentException(
          "root is not a rank of the communicator: kind=%s, root=%d, ranks=%d"
              .formatted(kind.label(), root, ranks));
    }
    if (kind.reduces() != (reduceOp != null)) {
      throw new IllegalArgumentException(
          "reduce op is given exactly where a kind reduces: kind=%s, reduceOp=%s"
              .formatted(kind.label(), reduceOp));
    }
    if (reduceOp != null && !reduceOp.joins(dtype)) {
      throw new IllegalArgumentException(
          "reduce op is not defined for the element type: kind=%s, op=%s, dtype=%s"
              .formatted(kind.label(), reduceOp.label(), dtype));
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
    if (partners.ranks() != (kind == CollectiveKind.SEND_RECEIVE ? ranks : 0)) {
      throw new IllegalArgumentException(
          "partners are not those of the communicator's ranks: kind=%s, ranks=%d, partnersOf=%d"
              .formatted(kind.label(), ranks, partners.ranks()));
    }
  }

  /// Makes the request of any kind; of a send/receive that by which every rank sends to the next.
  public CollectiveRequest(
      CollectiveKind kind,
      DType dtype,
      @Nullable ReduceOp reduceOp,
      int root,
      Counts counts,
      boolean inPlace,
      Topology topology,
      LaneSplit lanes,
      Mode mode) {
    this(
        kind,
        dtype,
        reduceOp,
        root,
        counts,
        inPlace,
        topology,
        lanes,
        mode,
        kind == CollectiveKind.SEND_RECEIVE
            ? Partners.shift(topology.ranks(), 1)
            : Partners.none());
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
        Counts.one(elements),
        inPlace,
        topology,
        lanes,
        mode);
  }

  /// Returns the request of a reduce-scatter; `counts` are each rank's part of the result.
  public static CollectiveRequest reduceScatter(
      DType dtype,
      ReduceOp op,
      Counts counts,
      boolean inPlace,
      Topology topology,
      LaneSplit lanes,
      Mode mode) {
    return new CollectiveRequest(
        CollectiveKind.REDUCE_SCATTER, dtype, op, -1, counts, inPlace, topology, lanes, mode);
  }

  /// Returns the request of a reduce to one rank.
  public static CollectiveRequest reduce(
      DType dtype,
      ReduceOp op,
      long elements,
      int root,
      boolean inPlace,
      Topology topology,
      LaneSplit lanes,
      Mode mode) {
    return new CollectiveRequest(
        CollectiveKind.REDUCE,
        dtype,
        op,
        root,
        Counts.one(elements),
        inPlace,
        topology,
        lanes,
        mode);
  }

  /// Returns the request of an all-gather; `counts` are what each rank brings.
  public static CollectiveRequest allGather(
      DType dtype, Counts counts, boolean inPlace, Topology topology) {
    return moving(CollectiveKind.ALL_GATHER, dtype, -1, counts, inPlace, topology);
  }

  /// Returns the request of a broadcast, in place on the root.
  public static CollectiveRequest broadcast(
      DType dtype, long elements, int root, Topology topology) {
    return moving(CollectiveKind.BROADCAST, dtype, root, Counts.one(elements), true, topology);
  }

  /// Returns the request of an all-to-all; `counts` are row by row what each rank sends to each.
  public static CollectiveRequest allToAll(
      DType dtype, Counts counts, boolean inPlace, Topology topology) {
    return moving(CollectiveKind.ALL_TO_ALL, dtype, -1, counts, inPlace, topology);
  }

  /// Returns the request of a gather; `counts` are what each rank brings.
  public static CollectiveRequest gather(
      DType dtype, Counts counts, int root, boolean inPlace, Topology topology) {
    return moving(CollectiveKind.GATHER, dtype, root, counts, inPlace, topology);
  }

  /// Returns the request of a scatter; `counts` are what each rank gets.
  public static CollectiveRequest scatter(
      DType dtype, Counts counts, int root, boolean inPlace, Topology topology) {
    return moving(CollectiveKind.SCATTER, dtype, root, counts, inPlace, topology);
  }

  /// Returns the request of a barrier.
  public static CollectiveRequest barrier(Topology topology) {
    return moving(CollectiveKind.BARRIER, DType.U8, -1, Counts.none(), false, topology);
  }

  /// Returns the request by which every rank sends to the next one.
  public static CollectiveRequest sendReceive(
      DType dtype, long elements, boolean inPlace, Topology topology) {
    return moving(CollectiveKind.SEND_RECEIVE, dtype, -1, Counts.one(elements), inPlace, topology);
  }

  /// Returns the request by which ranks send to chosen ones.
  ///
  /// @param elements of each message
  /// @param partners who sends to whom
  /// @param inPlace whether a rank that sends and receives gets what it receives in place of what
  ///   it has sent
  public static CollectiveRequest sendReceive(
      DType dtype, long elements, Partners partners, boolean inPlace, Topology topology) {
    return new CollectiveRequest(
        CollectiveKind.SEND_RECEIVE,
        dtype,
        null,
        -1,
        Counts.one(elements),
        inPlace,
        topology,
        LaneSplit.onePerRank(topology.ranks()),
        Mode.SAME_BITS,
        partners);
  }

  private static CollectiveRequest moving(
      CollectiveKind kind,
      DType dtype,
      int root,
      Counts counts,
      boolean inPlace,
      Topology topology) {
    LaneSplit onePerRank = LaneSplit.onePerRank(topology.ranks());
    return new CollectiveRequest(
        kind, dtype, null, root, counts, inPlace, topology, onePerRank, Mode.SAME_BITS);
  }

  /// Returns this request with input and output in the same or in different memory.
  public CollectiveRequest withInPlace(boolean together) {
    return new CollectiveRequest(
        kind, dtype, reduceOp, root, counts, together, topology, lanes, mode, partners);
  }

  /// Returns this request with another reduce op.
  public CollectiveRequest withReduceOp(ReduceOp op) {
    return new CollectiveRequest(
        kind, dtype, op, root, counts, inPlace, topology, lanes, mode, partners);
  }

  /// Returns the number of ranks.
  public int ranks() {
    return topology.ranks();
  }

  /// Returns how many inputs a rank brings.
  public int inputs(int rank) {
    return switch (kind) {
      case ALL_REDUCE, REDUCE_SCATTER, REDUCE ->
          lanes.isOnePerRank() ? 1 : lanes.ranks().get(rank).size();
      case ALL_GATHER, ALL_TO_ALL, GATHER -> 1;
      case SEND_RECEIVE -> partners.destination(rank) == Partners.NOBODY ? 0 : 1;
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
      case ALL_REDUCE, REDUCE -> counts.get(0);
      case SEND_RECEIVE -> inputs(rank) * counts.get(0);
      case BROADCAST -> rank == root ? counts.get(0) : 0;
      case ALL_GATHER, GATHER -> counts.get(rank);
      case REDUCE_SCATTER -> total();
      case SCATTER -> rank == root ? total() : 0;
      case ALL_TO_ALL -> sendStart(rank, ranks());
      case BARRIER -> 0;
    };
  }

  /// Returns the number of elements of a rank's output, 0 if it has none.
  public long outputElements(int rank) {
    return switch (kind) {
      case ALL_REDUCE, BROADCAST -> counts.get(0);
      case SEND_RECEIVE -> partners.source(rank) == Partners.NOBODY ? 0 : counts.get(0);
      case REDUCE -> rank == root ? counts.get(0) : 0;
      case REDUCE_SCATTER, SCATTER -> counts.get(rank);
      case ALL_GATHER -> total();
      case GATHER -> rank == root ? total() : 0;
      case ALL_TO_ALL -> receiveStart(rank, ranks());
      case BARRIER -> 0;
    };
  }

  /// Returns where a rank's part starts among the parts of all ranks, for kinds whose counts are
  /// one per rank.
  public long displacement(int rank) {
    return counts.start(rank);
  }

  /// Returns how many elements of an all-to-all go from one rank to another.
  public long count(int from, int to) {
    return counts.get((long) from * ranks() + to);
  }

  /// Returns where in the input of rank `from` those elements of an all-to-all start that go to
  /// rank `to`.
  public long sendStart(int from, int to) {
    long row = (long) from * ranks();
    return counts.start(row + to) - counts.start(row);
  }

  /// Returns where in the output of rank `to` those elements of an all-to-all start that come from
  /// rank `from`. Takes time in proportion to `from` where counts differ.
  public long receiveStart(int to, int from) {
    if (counts.areEqual()) {
      return from * counts.get(0);
    }
    long start = 0;
    for (int before = 0; before < from; before++) {
      start += count(before, to);
    }
    return start;
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
    return counts.total();
  }

  /// Returns the number of elements of one rank's whole buffer, by which bandwidth is counted: of
  /// an all-to-all the mean of what ranks send.
  public long bufferElements() {
    return kind == CollectiveKind.ALL_TO_ALL ? total() / ranks() : total();
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
      case ReduceOp.PreMulSum _ -> 6;
      case ReduceOp.BitAnd _ -> 7;
      case ReduceOp.BitOr _ -> 8;
      case ReduceOp.BitXor _ -> 9;
      case ReduceOp.LogicalAnd _ -> 10;
      case ReduceOp.LogicalOr _ -> 11;
      case ReduceOp.LogicalXor _ -> 12;
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
            .add(lanes.lanes())
            .add(lanes.isOnePerRank() ? 1 : 0);
    if (reduceOp instanceof ReduceOp.PreMulSum(double factor)) {
      hash.add(Double.doubleToLongBits(factor));
    }
    if (hasChosenPartners()) {
      partners.addTo(hash);
    }
    hash.add(counts.size()).add(counts.areEqual() ? 1 : 0);
    for (long part = 0; part < (counts.areEqual() ? 1 : counts.size()); part++) {
      hash.add(counts.get(part));
    }
    hash.add(topology.levels().size());
    topology.levels().forEach(hash::add);
    if (lanes.isOnePerRank()) {
      return hash.value();
    }
    for (List<Subtree> subtrees : lanes.ranks()) {
      hash.add(subtrees.size());
      for (Subtree subtree : subtrees) {
        hash.add(subtree.first()).add(subtree.size());
      }
    }
    return hash.value();
  }

  /// Returns the request in words, for messages: `all_reduce(dtype=f32, elements=1024, op=sum)`;
  /// more of it where it is not as usual: counts that differ, a factor, lanes, in place.
  public String words() {
    StringBuilder text = new StringBuilder(kind.label());
    if (kind == CollectiveKind.BARRIER) {
      return text.toString();
    }
    text.append("(dtype=").append(dtype.name().toLowerCase(Locale.ROOT));
    text.append(", elements=").append(total());
    if (!counts.areEqual() && counts.size() <= MOST_COUNTS_IN_WORDS) {
      text.append(", counts=").append(counts);
    }
    if (reduceOp != null) {
      text.append(", op=").append(reduceOp.label());
      if (reduceOp instanceof ReduceOp.PreMulSum(double factor)) {
        text.append(", factor=").append(factor);
      }
      if (!lanes.isOnePerRank()) {
        addLanesTo(text);
      }
    }
    if (root >= 0) {
      text.append(", root=").append(root);
    }
    if (hasChosenPartners()) {
      text.append(", ").append(partners);
    }
    if (inPlace && kind != CollectiveKind.BROADCAST) {
      text.append(", inPlace=true");
    }
    if (mode == Mode.RELAXED) {
      text.append(", mode=relaxed");
    }
    return text.append(')').toString();
  }

  /// Who holds which lanes is said where it is not a contiguous range each, as even as can be.
  private void addLanesTo(StringBuilder text) {
    text.append(", lanes=").append(lanes.lanes());
    boolean isUsual =
        ranks() <= lanes.lanes() && lanes.equals(LaneSplit.contiguous(lanes.lanes(), ranks()));
    if (!isUsual && lanes.lanes() <= MOST_COUNTS_IN_WORDS) {
      text.append(", heldLanes=")
          .append(lanes.ranks().stream().map(CollectiveRequest::heldLanes).toList());
    }
  }

  private static List<Integer> heldLanes(List<Subtree> subtrees) {
    return subtrees.stream()
        .flatMap(held -> IntStream.range(held.first(), held.end()).boxed())
        .toList();
  }

  private boolean hasChosenPartners() {
    return kind == CollectiveKind.SEND_RECEIVE && !partners.equals(Partners.shift(ranks(), 1));
  }

  private static long expectedCounts(CollectiveKind kind, int ranks) {
    return switch (kind) {
      case ALL_REDUCE, REDUCE, BROADCAST, SEND_RECEIVE -> 1;
      case REDUCE_SCATTER, ALL_GATHER, GATHER, SCATTER -> ranks;
      case ALL_TO_ALL -> (long) ranks * ranks;
      case BARRIER -> 0;
    };
  }
}
