package dev.lockstep.train.placement;

import dev.lockstep.graph.Blocks;
import dev.lockstep.graph.Composite;
import dev.lockstep.graph.Composite.AdamW;
import dev.lockstep.graph.Composite.CausalAttention;
import dev.lockstep.graph.Composite.CausalAttentionGrad;
import dev.lockstep.graph.Composite.Linear;
import dev.lockstep.graph.Graph;
import dev.lockstep.graph.LaneSplit;
import dev.lockstep.graph.Node;
import dev.lockstep.graph.Op;
import dev.lockstep.graph.Primitive;
import dev.lockstep.graph.ReduceOp;
import dev.lockstep.graph.Value;
import dev.lockstep.tensor.Shape;
import dev.lockstep.train.placement.Placement.Partial;
import dev.lockstep.train.placement.Placement.PerRank;
import dev.lockstep.train.placement.Placement.Replicate;
import dev.lockstep.train.placement.Placement.Shard;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.function.IntUnaryOperator;
import org.jspecify.annotations.Nullable;

/// The typing rules of [Placement]s on one axis: which operands an op takes, and what becomes of
/// them. What no rule allows is refused.
final class PlacementRules {
  private final AxisPlace axis;
  private final TokenRules tokens;

  PlacementRules(AxisPlace axis) {
    this.axis = axis;
    this.tokens = new TokenRules(axis);
  }

  /// Types a variant of a placed program; see [PlacedGraph#check].
  static void check(PlacedGraph placed, Graph graph) {
    PlacementRules rules = new PlacementRules(placed.axis());
    Map<Value, Placement> known = new HashMap<>(placed.declared());
    for (Node node : graph.nodes()) {
      List<Placement> operands = node.inputs().stream().map(known::get).toList();
      List<Placement> found = rules.infer(node.op(), node.inputs(), operands);
      rules.requireScattered(node, found.getFirst(), known.get(node.outputs().getFirst()));
      for (int i = 0; i < found.size(); i++) {
        known.putIfAbsent(node.outputs().get(i), found.get(i));
      }
    }
    for (Graph.Named output : graph.outputs()) {
      Placement wanted = placed.outputs().get(output.name());
      Placement found = known.get(output.value());
      if (!Objects.equals(wanted, found)) {
        throw new IllegalArgumentException(
            "output has another placement than declared: output=%s, axis=%s, placement=%s, declared=%s"
                .formatted(output.name(), placed.axis().name(), found, wanted));
      }
    }
  }

  /// What is scattered is declared, as the op does not say how sums over the dimension are cut.
  private void requireScattered(Node node, Placement found, @Nullable Placement declared) {
    boolean fits =
        !(node.op() instanceof Primitive.ReduceScatter)
            || !isOurs(node.op())
            || !(found instanceof Shard part)
            || (declared instanceof Shard shard && shard.dim() == part.dim());
    if (!fits) {
      throw new IllegalArgumentException(
          "sum is scattered otherwise than declared: op=%s, axis=%s, placement=%s, declared=%s"
              .formatted(node.op(), axis.name(), found, declared));
    }
  }

  /// Returns the placements of an op's results.
  ///
  /// @param operands what one rank holds
  /// @throws IllegalArgumentException if no rule fits; the sentence names the op and the placements
  List<Placement> infer(Op op, List<Value> operands, List<Placement> in) {
    if (in.contains(Placement.perRank()) && !isOurs(op)) {
      if (in.stream().anyMatch(Partial.class::isInstance)) {
        throw refusal(op, in, "a partial sum is reduced before it is read");
      }
      if (op instanceof Primitive.ScatterAdd && in.get(1) instanceof Shard) {
        throw refusal(op, in, "takes whole updates");
      }
      return repeat(op, Placement.perRank());
    }
    Optional<List<Placement>> ofTokens = tokens.infer(op, operands, in);
    if (ofTokens.isPresent()) {
      return ofTokens.get();
    }
    return switch (op) {
      case Primitive primitive -> List.of(primitive(primitive, operands, in));
      case Composite composite -> composite(composite, operands, in);
    };
  }

  private boolean isOurs(Op op) {
    return switch (op) {
      case Primitive.AllReduce(String name, var _, var _) -> name.equals(axis.name());
      case Primitive.AllGather(String name, int _, int _) -> name.equals(axis.name());
      case Primitive.ReduceScatter(String name, var _, var _, int _) -> name.equals(axis.name());
      case Primitive.BroadcastFrom(String name, int _) -> name.equals(axis.name());
      case Primitive _, Composite _ -> false;
    };
  }

  private Placement primitive(Primitive op, List<Value> operands, List<Placement> in) {
    return switch (op) {
      case Primitive.Constant _, Primitive.Iota _ -> Placement.replicate();
      case Primitive.Uniform _ -> replicated(op, in);
      case Primitive.Neg _,
          Primitive.Exp _,
          Primitive.Log _,
          Primitive.Tanh _,
          Primitive.Sqrt _,
          Primitive.Rsqrt _,
          Primitive.Convert _ ->
          alike(op, in);
      case Primitive.Add _,
          Primitive.Sub _,
          Primitive.Mul _,
          Primitive.Div _,
          Primitive.Max _,
          Primitive.Min _,
          Primitive.Less _,
          Primitive.Equal _,
          Primitive.Select _ ->
          alike(op, in);
      case Primitive.Reshape(Shape to) -> reshape(op, operands.getFirst().type().shape(), to, in);
      case Primitive.Transpose(List<Integer> order) -> moved(op, in, order::indexOf);
      case Primitive.BroadcastTo(Shape _, List<Integer> dims) -> moved(op, in, dims::get);
      case Primitive.Slice(List<Long> starts, List<Long> limits) ->
          moved(op, in, dim -> isWhole(operands.getFirst(), dim, starts, limits) ? dim : -1);
      case Primitive.Concat(int joined) ->
          alike(op, in) instanceof Shard shard && shard.dim() == joined
              ? refuse(op, in, "parts of a split dimension cannot be joined")
              : in.getFirst();
      case Primitive.ReduceSum(List<Integer> dims, Blocks blocks) ->
          sum(op, operands.getFirst().type().shape(), dims, blocks, in);
      case Primitive.ReduceMax(List<Integer> dims) -> max(op, dims, in);
      case Primitive.MatMul matMul -> product(matMul, operands, in);
      case Primitive.Gather _ -> gather(op, operands, in);
      case Primitive.ScatterAdd _ -> scatterAdd(op, operands, in);
      case Primitive.AllReduce(String name, ReduceOp joins, LaneSplit lanes) ->
          name.equals(axis.name())
              ? reduced(op, in, new Partial(joins, lanes), Placement.replicate())
              : alike(op, in);
      case Primitive.ReduceScatter(String name, ReduceOp joins, LaneSplit lanes, int dim) ->
          name.equals(axis.name())
              ? reduced(op, in, new Partial(joins, lanes), new Shard(dim, Blocks.WHOLE))
              : moved(op, in, split -> split == dim ? -1 : split);
      case Primitive.AllGather(String name, int _, int dim) ->
          name.equals(axis.name())
              ? gathered(op, in, dim)
              : moved(op, in, split -> split == dim ? -1 : split);
      case Primitive.BroadcastFrom(String name, int _) ->
          name.equals(axis.name()) && in.getFirst() instanceof PerRank
              ? Placement.replicate()
              : alike(op, in);
    };
  }

  private List<Placement> composite(Composite op, List<Value> operands, List<Placement> in) {
    return switch (op) {
      case Linear(boolean transposed, Blocks _) -> List.of(linear(op, transposed, operands, in));
      case Composite.Gelu _,
          Composite.GeluGrad _,
          Composite.Silu _,
          Composite.SiluGrad _,
          Composite.SwiGlu _,
          Composite.SwiGluGrad _ ->
          repeat(op, alike(op, in));
      case Composite.Rotary(int size, float _, long _, boolean _) ->
          List.of(rotary(op, size, operands, in));
      case Composite.GroupedAttention _ -> groupedAttention(op, in);
      case Composite.GroupedAttentionGrad _ -> groupedAttentionGrad(op, in);
      case CausalAttention _ -> attention(op, in);
      case CausalAttentionGrad _ -> List.of(attentionGrad(op, in));
      case AdamW _ -> adamW(op, in);
      case Composite.LayerNorm _,
          Composite.LayerNormGrad _,
          Composite.RmsNorm _,
          Composite.RmsNormGrad _,
          Composite.CrossEntropy _,
          Composite.CrossEntropyGrad _,
          Composite.Dropout _,
          Composite.SquaredNorm _ ->
          repeat(op, replicated(op, in));
    };
  }

  private static List<Placement> repeat(Op op, Placement placement) {
    int results =
        switch (op) {
          case Composite.LayerNorm _, Composite.LayerNormGrad _, AdamW _ -> 3;
          case Composite.CrossEntropy _ -> 3;
          case Composite.GroupedAttentionGrad _ -> 3;
          case CausalAttention _, Composite.GroupedAttention _ -> 2;
          case Composite.SwiGluGrad _, Composite.RmsNorm _, Composite.RmsNormGrad _ -> 2;
          case Primitive _, Composite _ -> 1;
        };
    return Collections.nCopies(results, placement);
  }

  private Placement replicated(Op op, List<Placement> in) {
    return in.stream().allMatch(Replicate.class::isInstance)
        ? Placement.replicate()
        : refuse(op, in, "takes whole operands");
  }

  /// All operands lie alike, and none is a partial sum.
  private Placement alike(Op op, List<Placement> in) {
    boolean fits =
        in.stream().allMatch(in.getFirst()::equals) && !(in.getFirst() instanceof Partial);
    return fits ? in.getFirst() : refuse(op, in, "operands must lie alike and be no partial sums");
  }

  /// The split dimension goes elsewhere; a negative number says that it cannot.
  private Placement moved(Op op, List<Placement> in, IntUnaryOperator to) {
    if (!(alike(op, in) instanceof Shard shard)) {
      return in.getFirst();
    }
    int dim = to.applyAsInt(shard.dim());
    return dim < 0 ? refuse(op, in, "cuts the split dimension") : new Shard(dim, shard.blocks());
  }

  private static boolean isWhole(Value x, int dim, List<Long> starts, List<Long> limits) {
    return starts.get(dim) == 0 && limits.get(dim) == x.type().shape().dim(dim);
  }

  private Placement reshape(Op op, Shape from, Shape to, List<Placement> in) {
    if (!(alike(op, in) instanceof Shard shard)) {
      return in.getFirst();
    }
    Optional<Shard> found = reshaped(from, to, shard);
    return found.isPresent() ? found.get() : refuse(op, in, "cuts the split dimension");
  }

  /// Returns how a value under another shape is split; empty if no dimension of it is.
  ///
  /// Dimensions before the split one may be joined with it, or be cut off it: they are outer slices
  /// of it then, or no longer. `from` and `to` are both of the whole value, or both of a part.
  static Optional<Shard> reshaped(Shape from, Shape to, Shard shard) {
    long slices = shard.blocks().outer();
    long inner = from.dim(shard.dim()) / slices;
    for (int i = 0; i < shard.dim(); i++) {
      slices *= from.dim(i);
    }
    Optional<Shard> joined = Optional.empty();
    long before = 1;
    for (int i = 0; i < to.rank() && before <= slices; i++) {
      long outer = slices / before;
      if (before * outer == slices && to.dim(i) == outer * inner) {
        Shard found = new Shard(i, new Blocks(outer, shard.blocks().count()));
        if (outer == 1) {
          return Optional.of(found);
        }
        joined = joined.isPresent() ? joined : Optional.of(found);
      }
      before *= to.dim(i);
    }
    return joined;
  }

  private Placement sum(Op op, Shape shape, List<Integer> dims, Blocks blocks, List<Placement> in) {
    if (!(alike(op, in) instanceof Shard shard)) {
      return in.getFirst();
    }
    if (!dims.contains(shard.dim())) {
      return kept(shard, dims);
    }
    // Blocks cut what is summed as one run of elements: summed dimensions before the split one must
    // be slices of which each block has its range.
    Blocks whole = TokenRules.cut(shape, dims, shard);
    return blocks.equals(new Blocks(whole.outer(), whole.count() / axis.ranks()))
        ? partialSum(op, in, whole.count())
        : refuse(op, in, "a sum over the split dimension is cut as the dimension is");
  }

  private Placement max(Op op, List<Integer> dims, List<Placement> in) {
    if (!(alike(op, in) instanceof Shard shard)) {
      return in.getFirst();
    }
    return dims.contains(shard.dim())
        ? new Partial(new ReduceOp.Max(), LaneSplit.onePerRank(axis.ranks()))
        : kept(shard, dims);
  }

  private static Placement kept(Shard shard, List<Integer> dims) {
    int before = (int) dims.stream().filter(dim -> dim < shard.dim()).count();
    return new Shard(shard.dim() - before, shard.blocks());
  }

  private Placement partialSum(Op op, List<Placement> in, int blocks) {
    LaneSplit split = LaneSplit.contiguous(blocks, axis.ranks());
    return split.isOneSubtreePerRank()
        ? new Partial(new ReduceOp.Sum(), split)
        : refuse(op, in, "a rank's blocks must be one subtree of the sum");
  }

  private Placement product(Primitive.MatMul op, List<Value> operands, List<Placement> in) {
    int rankA = operands.get(0).type().shape().rank();
    int rankB = operands.get(1).type().shape().rank();
    Placement a = in.get(0);
    Placement b = in.get(1);
    int summedA = op.transposeA() ? rankA - 2 : rankA - 1;
    int summedB = op.transposeB() ? rankB - 1 : rankB - 2;
    if (a instanceof Replicate && b instanceof Replicate) {
      return a;
    }
    if (a instanceof Shard left && b instanceof Shard right) {
      boolean isSummed = left.dim() == summedA && right.dim() == summedB;
      if (isSummed
          && left.blocks().equals(right.blocks())
          && op.contraction().equals(left.localBlocks(axis.ranks()))) {
        return partialSum(op, in, left.blocks().count());
      }
      boolean isBatch = rankA == rankB && left.equals(right) && left.dim() < rankA - 2;
      return isBatch ? left : refuse(op, in, "split operands must be split in what is summed");
    }
    int columnsB = op.transposeB() ? rankB - 2 : rankB - 1;
    if (a instanceof Replicate && b instanceof Shard right && right.dim() == columnsB) {
      return new Shard(rankA - 1, right.blocks());
    }
    if (a instanceof Shard left && b instanceof Replicate && left.dim() != summedA) {
      boolean isRow = left.dim() >= rankA - 2;
      if (isRow || rankB == 2) {
        return isRow ? new Shard(rankA - 2, left.blocks()) : left;
      }
    }
    return refuse(op, in, "rows or columns may be split, or what is summed in both");
  }

  private Placement linear(
      Composite op, boolean transposed, List<Value> operands, List<Placement> in) {
    Placement x = in.get(0);
    Placement weight = in.get(1);
    if (x instanceof Replicate
        && weight instanceof Shard shard
        && shard.dim() == (transposed ? 0 : 1)
        && in.get(2).equals(new Shard(0, shard.blocks()))) {
      return new Shard(operands.getFirst().type().shape().rank() - 1, shard.blocks());
    }
    return replicated(op, in);
  }

  private Placement gather(Op op, List<Value> operands, List<Placement> in) {
    if (in.get(0) instanceof Shard table && table.dim() > 0 && in.get(1) instanceof Replicate) {
      int ids = operands.get(1).type().shape().rank();
      return new Shard(ids + table.dim() - 1, table.blocks());
    }
    return replicated(op, in);
  }

  private Placement scatterAdd(Op op, List<Value> operands, List<Placement> in) {
    int last = operands.get(1).type().shape().rank() - 1;
    if (in.get(0) instanceof Replicate && in.get(1) instanceof Shard(int dim, Blocks blocks)) {
      return dim == last ? new Shard(1, blocks) : refuse(op, in, "takes whole rows of updates");
    }
    return replicated(op, in);
  }

  private List<Placement> attention(Composite op, List<Placement> in) {
    if (in.getFirst() instanceof Shard(int dim, Blocks blocks)) {
      return dim == 2 && blocks.outer() == 3
          ? List.of(heads(2, 1, blocks), heads(1, 1, blocks))
          : List.of(refuse(op, in, "packed q, k and v are split by heads"));
    }
    return repeat(op, replicated(op, in));
  }

  /// Whole heads turn by themselves.
  private Placement rotary(Composite op, int size, List<Value> operands, List<Placement> in) {
    long features = operands.getFirst().type().shape().dim(2);
    boolean isByHeads =
        in.getFirst() instanceof Shard shard
            && shard.dim() == 2
            && shard.blocks().outer() == 1
            && features % size == 0;
    return isByHeads ? in.getFirst() : replicated(op, in);
  }

  private List<Placement> groupedAttention(Composite op, List<Placement> in) {
    if (in.getFirst() instanceof Shard query) {
      boolean areAlike = in.stream().allMatch(heads(2, 1, query.blocks())::equals);
      return areAlike
          ? List.of(query, heads(1, 1, query.blocks()))
          : List.of(refuse(op, in, "q, k and v are split by heads alike"));
    }
    return repeat(op, replicated(op, in));
  }

  private List<Placement> groupedAttentionGrad(Composite op, List<Placement> in) {
    if (in.getFirst() instanceof Shard query) {
      Shard features = heads(2, 1, query.blocks());
      boolean areAlike = in.subList(0, 5).stream().allMatch(features::equals);
      return areAlike && in.get(5).equals(heads(1, 1, query.blocks()))
          ? repeat(op, features)
          : List.of(refuse(op, in, "operands must be split by heads alike"));
    }
    return repeat(op, replicated(op, in));
  }

  private static Shard heads(int dim, int outer, Blocks blocks) {
    return new Shard(dim, new Blocks(outer, blocks.count()));
  }

  private Placement attentionGrad(Composite op, List<Placement> in) {
    if (in.get(1) instanceof Shard qkv) {
      List<Placement> wanted =
          List.of(
              heads(2, 1, qkv.blocks()), qkv, heads(2, 1, qkv.blocks()), heads(1, 1, qkv.blocks()));
      return in.equals(wanted) ? qkv : refuse(op, in, "operands must be split by heads alike");
    }
    return replicated(op, in);
  }

  private List<Placement> adamW(Composite op, List<Placement> in) {
    Placement state = alike(op, in.subList(0, 4));
    var _ = replicated(op, in.subList(4, 7));
    return repeat(op, state);
  }

  private Placement reduced(Op op, List<Placement> in, Partial wanted, Placement result) {
    return in.stream().allMatch(wanted::equals)
        ? result
        : refuse(op, in, "takes terms of just this sum");
  }

  private Placement gathered(Op op, List<Placement> in, int dim) {
    boolean fits =
        in.getFirst() instanceof PerRank
            || (in.getFirst() instanceof Shard shard
                && shard.dim() == dim
                && shard.blocks().outer() == 1);
    return fits ? Placement.replicate() : refuse(op, in, "takes parts of just this dimension");
  }

  private Placement refuse(Op op, List<Placement> in, String rule) {
    throw refusal(op, in, rule);
  }

  private IllegalArgumentException refusal(Op op, List<Placement> in, String rule) {
    return new IllegalArgumentException(
        "op does not take these placements: op=%s, axis=%s, placements=%s (%s)"
            .formatted(op, axis.name(), in, rule));
  }
}
