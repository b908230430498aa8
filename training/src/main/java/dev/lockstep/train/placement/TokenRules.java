package dev.lockstep.train.placement;

import dev.lockstep.graph.Blocks;
import dev.lockstep.graph.Composite;
import dev.lockstep.graph.LaneSplit;
import dev.lockstep.graph.Op;
import dev.lockstep.graph.Primitive;
import dev.lockstep.graph.ReduceOp;
import dev.lockstep.graph.Value;
import dev.lockstep.tensor.Shape;
import dev.lockstep.train.placement.Placement.Partial;
import dev.lockstep.train.placement.Placement.Replicate;
import dev.lockstep.train.placement.Placement.Shard;
import java.util.Collections;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.stream.IntStream;

/// The typing rules of ops of which each rank has some rows, one per token: rows are computed where
/// they are, and what is summed over them becomes a term of each rank.
final class TokenRules {
  private final AxisPlace axis;

  TokenRules(AxisPlace axis) {
    this.axis = axis;
  }

  /// Returns how a sum over dimensions of which one is split is cut, over all ranks: those before
  /// the split one are outer slices.
  static Blocks cut(Shape shape, List<Integer> summed, Shard shard) {
    long outer = shard.blocks().outer();
    for (int dim : summed) {
      outer *= dim < shard.dim() ? shape.dim(dim) : 1;
    }
    return new Blocks(outer, shard.blocks().count());
  }

  /// Returns how a sum over all dimensions but the last `kept` is cut, over all ranks.
  static Blocks cut(Shape shape, int kept, Shard shard) {
    return cut(shape, IntStream.range(0, shape.rank() - kept).boxed().toList(), shard);
  }

  /// Returns the placements of an op's results; empty if no rule of tokens fits.
  ///
  /// @param operands what one rank holds
  Optional<List<Placement>> infer(Op op, List<Value> operands, List<Placement> in) {
    return switch (op) {
      case Composite.Linear _ -> rows(operands.get(0), in, 1);
      case Composite.LayerNorm _ -> rows(operands.get(0), in, 3);
      case Composite.RmsNorm _ -> rows(operands.get(0), in, 2);
      case Composite.LayerNormGrad(Blocks tokens) ->
          normGrad(tokens, operands.get(1), split(in, Set.of(0, 1, 3, 4)), 2);
      case Composite.RmsNormGrad(Blocks tokens) ->
          normGrad(tokens, operands.get(1), split(in, Set.of(0, 1, 3)), 1);
      case Primitive.Gather _ -> split(in, Set.of(1)).map(List::of);
      case Primitive.ScatterAdd(long _, Blocks order) ->
          split(in, Set.of(0, 1))
              .flatMap(shard -> terms(order, cut(shape(operands, 0), 0, shard)))
              .map(List::of);
      case Composite.CrossEntropy(Blocks tokens, Blocks _) -> loss(tokens, operands.get(0), in);
      case Composite.CrossEntropyGrad _ ->
          split(in, Set.of(1, 2, 3)).filter(s -> isRow(operands.get(1), s)).map(List::of);
      case Composite.Dropout(float _, Primitive.Uniform random) -> dropout(random.part(), in);
      case Composite.Rotary rotary ->
          positions(in, Set.of(0), rotary.firstPosition(), shape(operands, 0)).map(List::of);
      case Composite.GroupedAttention attention ->
          positions(in, Set.of(0), attention.firstQuery(), shape(operands, 0))
              .map(shard -> List.of(shard, sums(shard)));
      case Composite.GroupedAttentionGrad gradient -> attentionGrad(gradient, operands, in);
      case Primitive _, Composite _ -> Optional.empty();
    };
  }

  private static Shape shape(List<Value> operands, int index) {
    return operands.get(index).type().shape();
  }

  /// How some operands are split, all alike, where the others are whole.
  private static Optional<Shard> split(List<Placement> in, Set<Integer> operands) {
    if (!(in.get(Collections.min(operands)) instanceof Shard shard)) {
      return Optional.empty();
    }
    for (int i = 0; i < in.size(); i++) {
      if (operands.contains(i) ? !in.get(i).equals(shard) : !(in.get(i) instanceof Replicate)) {
        return Optional.empty();
      }
    }
    return Optional.of(shard);
  }

  /// Whether another dimension is split than that of the features.
  private static boolean isRow(Value value, Shard shard) {
    return shard.dim() < value.type().shape().rank() - 1;
  }

  private static Optional<List<Placement>> rows(Value x, List<Placement> in, int results) {
    return split(in, Set.of(0))
        .filter(shard -> isRow(x, shard))
        .map(shard -> Collections.nCopies(results, shard));
  }

  /// A rank's term of a sum that is cut by `whole`, where the rank cuts its part by `local`.
  private Optional<Placement> terms(Blocks local, Blocks whole) {
    int ranks = axis.ranks();
    if (whole.count() % ranks != 0
        || !local.equals(new Blocks(whole.outer(), whole.count() / ranks))) {
      return Optional.empty();
    }
    LaneSplit blocks = LaneSplit.contiguous(whole.count(), ranks);
    return blocks.isOneSubtreePerRank()
        ? Optional.of(new Partial(new ReduceOp.Sum(), blocks))
        : Optional.empty();
  }

  private Optional<List<Placement>> normGrad(
      Blocks tokens, Value x, Optional<Shard> split, int sums) {
    if (split.isEmpty() || !isRow(x, split.get())) {
      return Optional.empty();
    }
    Shard shard = split.get();
    return terms(tokens, cut(x.type().shape(), 1, shard))
        .map(term -> sums == 1 ? List.of(shard, term) : List.of(shard, term, term));
  }

  private Optional<List<Placement>> loss(Blocks tokens, Value logits, List<Placement> in) {
    Optional<Shard> split = split(in, Set.of(0, 1)).filter(shard -> isRow(logits, shard));
    return split.flatMap(
        shard ->
            terms(tokens, cut(logits.type().shape(), 1, shard))
                .map(term -> List.of(term, term, shard)));
  }

  /// Whether a rank's part of a dimension starts where it must; what is split again has started
  /// elsewhere before.
  private boolean startsHere(long start, long extent) {
    return start % extent == 0 && start / extent % axis.ranks() == axis.rank();
  }

  private Optional<List<Placement>> dropout(Primitive.Part part, List<Placement> in) {
    return split(in, Set.of(0))
        .filter(shard -> shard.blocks().outer() == 1)
        .filter(shard -> startsHere(part.starts().get(shard.dim()), part.shape().dim(shard.dim())))
        .map(List::of);
  }

  /// How operands `[B, T, …]` are split by positions, of which the rank's first is `first`.
  private Optional<Shard> positions(
      List<Placement> in, Set<Integer> operands, long first, Shape shape) {
    return split(in, operands)
        .filter(shard -> shard.dim() == 1 && shard.blocks().outer() == 1)
        .filter(_ -> startsHere(first, shape.dim(1)));
  }

  /// Numbers per head and query, `[B, heads, T]`.
  private static Shard sums(Shard query) {
    return new Shard(2, query.blocks());
  }

  /// Each rank has some queries and all keys.
  private Optional<List<Placement>> attentionGrad(
      Composite.GroupedAttentionGrad op, List<Value> operands, List<Placement> in) {
    Optional<Shard> query =
        positions(in.subList(0, 5), Set.of(0, 1, 4), op.firstQuery(), shape(operands, 1));
    if (query.isEmpty() || !in.get(5).equals(sums(query.get()))) {
      return Optional.empty();
    }
    Shard shard = query.get();
    return terms(op.queries(), shard.blocks()).map(term -> List.of(shard, term, term));
  }
}
