package dev.lockstep.graph;

import dev.lockstep.tensor.Shape;
import java.util.List;

/// Causal softmax attention and its gradient as primitives. Sums over keys take them ascending: the
/// whole row of scores is at hand. The queries of all heads that share keys are rows of one matrix,
/// head after head.
final class AttentionDecomposition {
  private final Emitter emit;
  private final int heads;
  private final int groups;
  private final long firstQuery;

  /// As many heads of keys and values as of queries, which are all positions.
  AttentionDecomposition(Emitter emit, int heads) {
    this(emit, heads, heads, 0);
  }

  /// `groups` heads of keys and values.
  AttentionDecomposition(Emitter emit, int heads, int groups, long firstQuery) {
    this.emit = emit;
    this.heads = heads;
    this.groups = groups;
    this.firstQuery = firstQuery;
  }

  /// `qkv [B, T, 3C] → (out [B, T, C], logSumExp [B, H, T])`.
  List<Value> forward(Value qkv) {
    return forward(part(qkv, 0), part(qkv, 1), part(qkv, 2));
  }

  /// `(dout, qkv, out, logSumExp) → dqkv`.
  Value backward(Value dout, Value qkv, Value out, Value logSumExp, Blocks queries) {
    List<Value> parts = List.of(part(qkv, 0), part(qkv, 1), part(qkv, 2));
    return emit.concat(2, backward(dout, parts, out, logSumExp, queries));
  }

  /// `(q [B, T, C], k, v) → (out [B, T, C], logSumExp [B, H, T])`.
  List<Value> forward(Value q, Value k, Value v) {
    Value scores = scores(queries(q), split(k));
    Shape rows = scores.type().shape();
    Value max = emit.maxRows(scores);
    Value weights = emit.exp(emit.sub(scores, emit.overColumns(max, rows)));
    Value sum = emit.sumRows(weights, Blocks.WHOLE);
    Value out = emit.matMul(weights, false, split(v), false, Blocks.WHOLE);
    Value normal = emit.div(out, emit.overColumns(sum, out.type().shape()));
    Shape perHead = Shape.of(q.type().shape().dim(0), heads, q.type().shape().dim(1));
    Value logSumExp = emit.reshape(emit.add(emit.log(sum), max), perHead);
    return List.of(queriesMerged(normal, q.type().shape()), logSumExp);
  }

  /// `(dout, (q, k, v), out, logSumExp) → (dq, dk, dv)`.
  List<Value> backward(Value dout, List<Value> inputs, Value out, Value logSumExp, Blocks queries) {
    Value q = queries(inputs.get(0));
    Value k = split(inputs.get(1));
    Value headDout = queries(dout);
    Value scores = scores(q, k);
    Shape rows = scores.type().shape();
    Value perRow = emit.reshape(logSumExp, Shape.of(rows.dim(0), rows.dim(1), rows.dim(2)));
    Value weights = emit.exp(emit.sub(scores, emit.overColumns(perRow, rows)));
    Value delta = emit.sumRows(emit.mul(headDout, queries(out)), Blocks.WHOLE);
    Value dweights = emit.matMul(headDout, false, split(inputs.get(2)), true, Blocks.WHOLE);
    Value dscores =
        emit.mul(emit.mul(weights, emit.sub(dweights, emit.overColumns(delta, rows))), scale(q));
    Value dq = emit.matMul(dscores, false, k, false, Blocks.WHOLE);
    Blocks cut = new Blocks(heads / groups * queries.outer(), queries.count());
    Value dk = emit.matMul(dscores, true, q, false, cut);
    Value dv = emit.matMul(weights, true, headDout, false, cut);
    return List.of(queriesMerged(dq, inputs.getFirst().type().shape()), merged(dk), merged(dv));
  }

  /// `q·kᵀ / sqrt(size)`, minus infinity where the key comes after the query: `[B, groups, rows,
  /// K]`.
  private Value scores(Value q, Value k) {
    Value product = emit.mul(emit.matMul(q, false, k, true, Blocks.WHOLE), scale(q));
    Shape shape = product.type().shape();
    long share = heads / groups;
    Shape byHead = Shape.of(shape.dim(0), shape.dim(1), share, shape.dim(2) / share, shape.dim(3));
    Value query = emit.add(emit.iota(Emitter.i32(byHead), 3), (double) firstQuery);
    Value later = emit.less(query, emit.iota(Emitter.i32(byHead), 4));
    return emit.select(
        emit.reshape(later, shape), emit.constant(product, Double.NEGATIVE_INFINITY), product);
  }

  private static double scale(Value q) {
    return 1 / Math.sqrt((double) q.type().shape().dim(-1));
  }

  /// Part 0 (q), 1 (k) or 2 (v) of `[B, T, 3C]`.
  private Value part(Value qkv, int part) {
    long features = qkv.type().shape().dim(2) / 3;
    return emit.slice(qkv, 2, part * features, (part + 1) * features);
  }

  /// `[B, T, C] → [B, groups, heads / groups · T, size]`.
  private Value queries(Value x) {
    Shape shape = x.type().shape();
    long share = heads / groups;
    long size = shape.dim(2) / heads;
    Value byHead = emit.reshape(x, Shape.of(shape.dim(0), shape.dim(1), groups, share, size));
    return emit.reshape(
        emit.transpose(byHead, 0, 2, 3, 1, 4),
        Shape.of(shape.dim(0), groups, share * shape.dim(1), size));
  }

  /// The inverse of [#queries]; `to` is `[B, T, C]`.
  private Value queriesMerged(Value x, Shape to) {
    long share = heads / groups;
    Shape byHead = Shape.of(to.dim(0), groups, share, to.dim(1), to.dim(2) / heads);
    return emit.reshape(emit.transpose(emit.reshape(x, byHead), 0, 3, 1, 2, 4), to);
  }

  /// `[B, K, groups · size] → [B, groups, K, size]`.
  private Value split(Value x) {
    Shape shape = x.type().shape();
    Shape byHead = Shape.of(shape.dim(0), shape.dim(1), groups, shape.dim(2) / groups);
    return emit.transpose(emit.reshape(x, byHead), 0, 2, 1, 3);
  }

  /// The inverse of [#split].
  private Value merged(Value x) {
    Shape shape = x.type().shape();
    Shape flat = Shape.of(shape.dim(0), shape.dim(2), groups * shape.dim(3));
    return emit.reshape(emit.transpose(x, 0, 2, 1, 3), flat);
  }
}
