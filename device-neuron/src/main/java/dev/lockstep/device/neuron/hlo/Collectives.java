package dev.lockstep.device.neuron.hlo;

import dev.lockstep.device.RankGrid;
import dev.lockstep.device.Support;
import dev.lockstep.graph.LaneSplit;
import dev.lockstep.graph.Primitive;
import dev.lockstep.graph.Primitive.AllGather;
import dev.lockstep.graph.Primitive.AllReduce;
import dev.lockstep.graph.Primitive.BroadcastFrom;
import dev.lockstep.graph.Primitive.ReduceScatter;
import dev.lockstep.graph.ReduceOp;
import dev.lockstep.graph.SumTree;
import dev.lockstep.graph.SumTree.Subtree;
import dev.lockstep.graph.ValueType;
import dev.lockstep.tensor.Shape;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/// Collectives as HLO over groups of replicas. All ranks meet in the same instructions: where one
/// holds fewer subtrees of a sum than another, zeros that nobody reads stand in for the rest.
///
/// In the lanes' order an all-reduce of two ranks that hold one subtree each swaps them. Else it
/// gathers every rank's subtrees and adds them up by the tree, `P - 1` times the bytes; from
/// [#SPLIT_ELEMENTS] on each rank adds up a `P`-th of them, which all-to-all brings it, and gathers
/// the sums, `2(P - 1)/P` times the bytes, as a ring.
final class Collectives {
  /// Below this, one exchange is quicker than two: at 64 Ki floats an exchange among 64 ranks takes
  /// as long by its bytes as by its start (NeuronLink, 15 µs, 16 MiB at 1 TB/s).
  static final long SPLIT_ELEMENTS = 1 << 16;

  private final Computation emit;
  private final RankGrid ranks;
  private final SumOrder order;

  Collectives(Computation emit, RankGrid ranks, SumOrder order) {
    this.emit = emit;
    this.ranks = ranks;
    this.order = order;
  }

  /// Whether a collective can be emitted for these ranks.
  static Support supports(Primitive collective, RankGrid ranks) {
    return switch (collective) {
      case AllReduce(String axis, ReduceOp _, LaneSplit lanes) ->
          of(collective, ranks, axis, lanes.ranks().size());
      case ReduceScatter(String axis, ReduceOp _, LaneSplit lanes, int _) ->
          of(collective, ranks, axis, lanes.ranks().size());
      case AllGather(String axis, int size, int _) -> of(collective, ranks, axis, size);
      case BroadcastFrom(String axis, int _) ->
          ranks.has(axis) ? new Support.Yes() : noAxis(collective, axis, ranks);
      default -> new Support.No("not a collective: op=" + collective.label());
    };
  }

  private static Support of(Primitive op, RankGrid ranks, String axis, int size) {
    if (!ranks.has(axis)) {
      return noAxis(op, axis, ranks);
    }
    int there = ranks.groups(axis).getFirst().size();
    if (there != size) {
      return new Support.No(
          "collective is over another number of ranks: op=%s, axis=%s, ranks=%d, axisRanks=%d"
              .formatted(op.label(), axis, size, there));
    }
    return new Support.Yes();
  }

  private static Support noAxis(Primitive op, String axis, RankGrid ranks) {
    return new Support.No(
        "collective is over an axis that the device does not know: op=%s, axis=%s, axes=%s"
            .formatted(op.label(), axis, ranks.axes()));
  }

  /// Neuron's collectives compute in float32, which rounds integers from 2^24 on: those are
  /// gathered and joined by the core.
  private boolean joinsByCompiler(List<Hlo> parts) {
    return order == SumOrder.COMPILER && !parts.getFirst().dtype().isInteger();
  }

  Hlo allReduce(AllReduce op, List<Hlo> subtrees) {
    List<List<Integer>> groups = ranks.groups(op.axis());
    int size = groups.getFirst().size();
    List<Hlo> parts = scaled(op.reduceOp(), subtrees);
    Hlo joined;
    if (joinsByCompiler(parts)) {
      joined = emit.allReduce(joined(op.reduceOp(), parts), opcode(op.reduceOp()), groups);
    } else if (isSwap(op)) {
      Hlo mine = parts.getFirst();
      joined = join(op.reduceOp(), mine, emit.swap(mine, groups));
    } else if (size > 2 && parts.getFirst().shape().elements() >= SPLIT_ELEMENTS) {
      joined = inParts(op, filled(parts, op.lanes()), groups);
    } else {
      joined =
          tree(
              op.reduceOp(),
              op.lanes(),
              filled(parts, op.lanes()).stream().map(x -> gathered(x, groups)).toList());
    }
    return finished(op.reduceOp(), joined, op.lanes().lanes());
  }

  /// Whether two ranks each hold one side of the tree's root: both then join the same two numbers,
  /// one in the other's order, which gives the same bits, but for which of two NaNs is kept. Of a
  /// positive and a negative zero the order may decide which is the least or the greatest.
  private static boolean isSwap(AllReduce op) {
    List<List<Subtree>> held = op.lanes().ranks();
    boolean commutes =
        !(op.reduceOp() instanceof ReduceOp.Min || op.reduceOp() instanceof ReduceOp.Max);
    return commutes && held.size() == 2 && held.stream().allMatch(each -> each.size() == 1);
  }

  /// As many parts as the rank that holds most has.
  private List<Hlo> filled(List<Hlo> parts, LaneSplit lanes) {
    int most = lanes.ranks().stream().mapToInt(List::size).max().orElse(0);
    List<Hlo> filled = new ArrayList<>(parts);
    while (filled.size() < most) {
      filled.add(emit.fill(parts.getFirst().type(), 0));
    }
    return filled;
  }

  /// Each rank joins its part of the elements, then all gather the parts.
  private Hlo inParts(AllReduce op, List<Hlo> parts, List<List<Integer>> groups) {
    int size = groups.getFirst().size();
    Shape shape = parts.getFirst().shape();
    long each = Math.ceilDiv(shape.elements(), (long) size);
    List<List<Hlo>> received = new ArrayList<>();
    for (Hlo part : parts) {
      Hlo padded = padded(emit.reshape(part, Shape.of(shape.elements())), each * size);
      received.add(scattered(padded, 0, groups));
    }
    Hlo mine = tree(op.reduceOp(), op.lanes(), received);
    Hlo all = emit.exchange("all-gather", mine, Shape.of(each * size), 0, groups);
    return emit.reshape(emit.slice(all, 0, 0, shape.elements()), shape);
  }

  private Hlo padded(Hlo flat, long elements) {
    long more = elements - flat.shape().elements();
    return more == 0
        ? flat
        : emit.concat(List.of(flat, emit.fill(new ValueType(flat.dtype(), Shape.of(more)), 0)), 0);
  }

  Hlo reduceScatter(ReduceScatter op, List<Hlo> subtrees) {
    List<List<Integer>> groups = ranks.groups(op.axis());
    int size = groups.getFirst().size();
    List<Hlo> parts = scaled(op.reduceOp(), subtrees);
    Hlo joined;
    if (joinsByCompiler(parts)) {
      Hlo own = joined(op.reduceOp(), parts);
      Shape to = own.shape().with(op.dim(), own.shape().dim(op.dim()) / size);
      joined = emit.reduceScatter(own, opcode(op.reduceOp()), to, op.dim(), groups);
    } else {
      joined =
          tree(
              op.reduceOp(),
              op.lanes(),
              filled(parts, op.lanes()).stream().map(x -> scattered(x, op.dim(), groups)).toList());
    }
    return finished(op.reduceOp(), joined, op.lanes().lanes());
  }

  Hlo allGather(AllGather op, Hlo x) {
    Shape to = x.shape().with(op.dim(), x.shape().dim(op.dim()) * op.ranks());
    return emit.exchange("all-gather", x, to, op.dim(), ranks.groups(op.axis()));
  }

  Hlo broadcastFrom(BroadcastFrom op, Hlo x) {
    return gathered(x, ranks.groups(op.axis())).get(op.root());
  }

  /// The value of each rank of the group.
  private List<Hlo> gathered(Hlo x, List<List<Integer>> groups) {
    int size = groups.getFirst().size();
    Hlo row = emit.reshape(x, Shape.of(1, x.shape().elements()));
    Shape to = Shape.of(size, x.shape().elements());
    Hlo all = emit.exchange("all-gather", row, to, 0, groups);
    List<Hlo> each = new ArrayList<>();
    for (int rank = 0; rank < size; rank++) {
      each.add(emit.reshape(emit.slice(all, 0, rank, rank + 1L), x.shape()));
    }
    return each;
  }

  /// This rank's part of dimension `dim` of each rank's value.
  private List<Hlo> scattered(Hlo x, int dim, List<List<Integer>> groups) {
    int size = groups.getFirst().size();
    long extent = x.shape().dim(dim) / size;
    Hlo all = emit.exchange("all-to-all", x, x.shape(), dim, groups);
    List<Hlo> each = new ArrayList<>();
    for (int rank = 0; rank < size; rank++) {
      each.add(emit.slice(all, dim, rank * extent, (rank + 1) * extent));
    }
    return each;
  }

  /// Joins all ranks' subtrees along the tree of the lanes.
  ///
  /// @param parts for each subtree that a rank holds, the value of each rank
  private Hlo tree(ReduceOp op, LaneSplit lanes, List<List<Hlo>> parts) {
    Map<Subtree, Hlo> known = new HashMap<>();
    for (int rank = 0; rank < lanes.ranks().size(); rank++) {
      List<Subtree> held = lanes.ranks().get(rank);
      for (int i = 0; i < held.size(); i++) {
        known.put(held.get(i), parts.get(i).get(rank));
      }
    }
    return tree(op, new Subtree(0, lanes.lanes()), known);
  }

  private Hlo tree(ReduceOp op, Subtree at, Map<Subtree, Hlo> known) {
    Hlo leaf = known.get(at);
    if (leaf != null) {
      return leaf;
    }
    int left = SumTree.left(at.size());
    return join(
        op,
        tree(op, new Subtree(at.first(), left), known),
        tree(op, new Subtree(at.first() + left, at.size() - left), known));
  }

  private Hlo joined(ReduceOp op, List<Hlo> parts) {
    return Sums.tree(parts, (a, b) -> join(op, a, b));
  }

  private Hlo join(ReduceOp op, Hlo a, Hlo b) {
    return emit.binary(opcode(op), a, b);
  }

  /// What joins two elements; of logical ops once they are 0 or 1.
  private static String opcode(ReduceOp op) {
    return switch (op) {
      case ReduceOp.Sum _, ReduceOp.Avg _, ReduceOp.PreMulSum _ -> "add";
      case ReduceOp.Prod _ -> "multiply";
      case ReduceOp.Min _ -> "minimum";
      case ReduceOp.Max _ -> "maximum";
      case ReduceOp.BitAnd _, ReduceOp.LogicalAnd _ -> "and";
      case ReduceOp.BitOr _, ReduceOp.LogicalOr _ -> "or";
      case ReduceOp.BitXor _, ReduceOp.LogicalXor _ -> "xor";
    };
  }

  /// What is done to each contribution first.
  private List<Hlo> scaled(ReduceOp op, List<Hlo> parts) {
    return switch (op) {
      case ReduceOp.PreMulSum(double factor) ->
          parts.stream().map(x -> wide("multiply", x, factor)).toList();
      case ReduceOp.LogicalAnd _, ReduceOp.LogicalOr _, ReduceOp.LogicalXor _ ->
          parts.stream()
              .map(x -> emit.compare("NE", x, emit.fill(x.type(), 0)))
              .map(x -> emit.convert(x, parts.getFirst().dtype()))
              .toList();
      case ReduceOp.Sum _, ReduceOp.Avg _, ReduceOp.Prod _, ReduceOp.Min _, ReduceOp.Max _ -> parts;
      case ReduceOp.BitAnd _, ReduceOp.BitOr _, ReduceOp.BitXor _ -> parts;
    };
  }

  private Hlo finished(ReduceOp op, Hlo joined, int lanes) {
    return op instanceof ReduceOp.Avg ? wide("divide", joined, lanes) : joined;
  }

  /// `x OPCODE value` of a number that types narrower than F32 need not have: BF16 has no 257.
  private Hlo wide(String opcode, Hlo x, double value) {
    Hlo widened = emit.convert(x, Sums.wide(x.dtype()));
    return emit.convert(emit.binary(opcode, widened, value), x.dtype());
  }
}
