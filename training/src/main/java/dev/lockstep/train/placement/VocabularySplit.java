package dev.lockstep.train.placement;

import dev.lockstep.graph.Blocks;
import dev.lockstep.graph.Composite.CrossEntropy;
import dev.lockstep.graph.LaneSplit;
import dev.lockstep.graph.Primitive;
import dev.lockstep.graph.ReduceOp;
import dev.lockstep.graph.Value;
import dev.lockstep.graph.ValueType;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Shape;
import dev.lockstep.train.placement.Placement.Partial;
import dev.lockstep.train.placement.Placement.Shard;
import java.util.List;
import java.util.stream.IntStream;

/// Embedding and cross-entropy over a vocabulary of which each rank holds a range.
///
/// What a rank does not hold it contributes as -0, the one number that changes no sum: `x + -0` is
/// `x`, bit for bit, for `x = -0` too.
final class VocabularySplit {
  private final PlacedBuilder out;
  private final PartMoves moves;
  private final AxisPlace axis;

  VocabularySplit(PlacedBuilder out, PartMoves moves) {
    this.out = out;
    this.moves = moves;
    this.axis = out.axis();
  }

  /// One rank alone contributes to each element.
  private Partial single() {
    return new Partial(new ReduceOp.Sum(), LaneSplit.onePerRank(axis.ranks()));
  }

  /// Ids counted from this rank's first row on, and whether they lie in its range.
  ///
  /// @param local ids less the first row
  /// @param clamped the nearest row of this rank
  /// @param inside whether the two are equal
  private record Range(Value local, Value clamped, Value inside) {}

  private Range range(Value ids, long rows) {
    Value first = own(ids.type(), (double) (axis.rank() * rows));
    Value local = out.one(new Primitive.Sub(), ids, first);
    Value last = own(ids.type(), (double) (rows - 1));
    Value zero = own(ids.type(), 0);
    Value clamped = out.one(new Primitive.Max(), zero, out.one(new Primitive.Min(), local, last));
    return new Range(local, clamped, out.one(new Primitive.Equal(), local, clamped));
  }

  private Value own(ValueType type, double value) {
    return out.constant(type, value, Placement.perRank());
  }

  /// `(table part [V/R, C], ids [d…]) → [d…, C]` as terms of which one is not -0.
  Value gather(Value table, Value ids) {
    Range range = range(ids, table.type().shape().dim(0));
    Value rows = out.one(new Primitive.Gather(), table, range.clamped);
    Shape shape = rows.type().shape();
    List<Integer> dims = IntStream.range(0, ids.type().shape().rank()).boxed().toList();
    Value inside = out.one(new Primitive.BroadcastTo(shape, dims), range.inside);
    Value chosen = out.one(new Primitive.Select(), inside, rows, own(rows.type(), -0.0));
    return out.declare(chosen, single());
  }

  /// Adds updates into this rank's rows; those of other rows go to one row more, which is dropped.
  Value scatterAdd(Primitive.ScatterAdd scatter, Value ids, Value updates, Shard rowsOf) {
    long rows = scatter.rows() / axis.ranks();
    Range range = range(ids, rows);
    Value dropped = own(ids.type(), (double) rows);
    Value target = out.one(new Primitive.Select(), range.inside, range.local, dropped);
    Value sums = out.one(new Primitive.ScatterAdd(rows + 1, scatter.order()), target, updates);
    Value kept = out.one(Slices.along(sums.type().shape(), 0, 0, rows), sums);
    return out.declare(kept, rowsOf);
  }

  /// `(logits part […, V/R], targets […]) → (lossSum, count, logSumExp […])`: greatest logit, sum
  /// of exponentials and the target's logit are joined over the ranks.
  List<Value> crossEntropy(CrossEntropy loss, Value logits, Value targets) {
    Shape shape = logits.type().shape();
    int last = shape.rank() - 1;
    Shard split = (Shard) out.placement(logits);
    Value max = moves.reduced(out.one(new Primitive.ReduceMax(List.of(last)), logits));
    Value shifted = out.one(new Primitive.Sub(), logits, overColumns(max, shape, split));
    Primitive.ReduceSum overVocabulary =
        new Primitive.ReduceSum(List.of(last), split.localBlocks(axis.ranks()));
    Value sum = moves.reduced(out.one(overVocabulary, out.one(new Primitive.Exp(), shifted)));
    Value logSumExp = out.one(new Primitive.Add(), out.one(new Primitive.Log(), sum), max);
    Value chosen = moves.reduced(chosen(logits, targets));
    Value zero = out.constant(logSumExp.type(), 0, Placement.replicate());
    Value one = out.constant(logSumExp.type(), 1, Placement.replicate());
    Value noTarget = out.constant(targets.type(), 0, Placement.replicate());
    Value ignored = out.one(new Primitive.Less(), targets, noTarget);
    Value losses =
        out.one(
            new Primitive.Select(), ignored, zero, out.one(new Primitive.Sub(), logSumExp, chosen));
    Value counted = out.one(new Primitive.Select(), ignored, zero, one);
    List<Integer> all = IntStream.range(0, last).boxed().toList();
    Primitive.ReduceSum overTokens = new Primitive.ReduceSum(all, loss.tokens());
    return List.of(out.one(overTokens, losses), out.one(overTokens, counted), logSumExp);
  }

  /// The target's logit, as terms of which one is not 0.
  private Value chosen(Value logits, Value targets) {
    Value hit = isTarget(logits.type().shape(), targets);
    Value kept = out.one(new Primitive.Select(), hit, logits, own(logits.type(), 0));
    int last = logits.type().shape().rank() - 1;
    Value sum = out.one(new Primitive.ReduceSum(List.of(last), Blocks.WHOLE), kept);
    return out.declare(sum, single());
  }

  /// Where the column is the row's target: this rank's own.
  private Value isTarget(Shape shape, Value targets) {
    int last = shape.rank() - 1;
    ValueType ids = new ValueType(DType.I32, shape);
    Value first = own(targets.type(), axis.rank() * (double) shape.dim(last));
    Value local = out.one(new Primitive.Sub(), targets, first);
    Value column = out.one(new Primitive.Iota(ids, last));
    List<Integer> dims = IntStream.range(0, last).boxed().toList();
    Value wanted = out.one(new Primitive.BroadcastTo(shape, dims), local);
    return out.one(new Primitive.Equal(), column, wanted);
  }

  /// `(softmax - onehot) · dloss`, 0 where the target is negative: this rank's columns.
  Value crossEntropyGrad(Value dloss, Value logits, Value targets, Value logSumExp) {
    Shape shape = logits.type().shape();
    Shard split = (Shard) out.placement(logits);
    Value shift = overColumns(logSumExp, shape, split);
    Value softmax = out.one(new Primitive.Exp(), out.one(new Primitive.Sub(), logits, shift));
    Value zero = out.constant(logits.type(), 0, split);
    Value one = out.constant(logits.type(), 1, split);
    Value hit = out.declare(isTarget(shape, targets), split);
    Value onehot = out.one(new Primitive.Select(), hit, one, zero);
    Value scale = out.declare(out.one(new Primitive.BroadcastTo(shape, List.of()), dloss), split);
    Value gradient =
        out.one(new Primitive.Mul(), out.one(new Primitive.Sub(), softmax, onehot), scale);
    Value noTarget = out.constant(targets.type(), 0, Placement.replicate());
    Value ignored = overColumns(out.one(new Primitive.Less(), targets, noTarget), shape, split);
    return out.one(new Primitive.Select(), ignored, zero, gradient);
  }

  /// One number per row over this rank's columns.
  private Value overColumns(Value perRow, Shape shape, Shard split) {
    List<Integer> dims = IntStream.range(0, shape.rank() - 1).boxed().toList();
    Value repeated = out.one(new Primitive.BroadcastTo(shape, dims), perRow);
    return out.declare(repeated, split);
  }
}
