package dev.lockstep.graph;

import dev.lockstep.tensor.Shape;
import java.util.List;

/// Causal softmax attention and its gradient as primitives. Sums over keys take them ascending;
/// with the whole row of scores at hand no key blocks are needed.
final class AttentionDecomposition {
  private final Emitter emit;
  private final int heads;

  AttentionDecomposition(Emitter emit, int heads) {
    this.emit = emit;
    this.heads = heads;
  }

  /// `qkv [B, T, 3C] → (out [B, T, C], logSumExp [B, H, T])`.
  List<Value> forward(Value qkv) {
    Value scores = scores(part(qkv, 0), part(qkv, 1));
    Shape square = scores.type().shape();
    Value max = emit.maxRows(scores);
    Value weights = emit.exp(emit.sub(scores, emit.overColumns(max, square)));
    Value sum = emit.sumRows(weights, Blocks.WHOLE);
    Value out = emit.matMul(weights, false, part(qkv, 2), false, Blocks.WHOLE);
    Value normal = emit.div(out, emit.overColumns(sum, out.type().shape()));
    return List.of(merged(normal), emit.add(emit.log(sum), max));
  }

  /// `(dout, qkv, out, logSumExp) → dqkv`.
  Value backward(Value dout, Value qkv, Value out, Value logSumExp, Blocks queries) {
    Value q = part(qkv, 0);
    Value k = part(qkv, 1);
    Value headDout = split(dout);
    Value scores = scores(q, k);
    Shape square = scores.type().shape();
    Value weights = emit.exp(emit.sub(scores, emit.overColumns(logSumExp, square)));
    Value delta = emit.sumRows(emit.mul(headDout, split(out)), Blocks.WHOLE);
    Value dweights = emit.matMul(headDout, false, part(qkv, 2), true, Blocks.WHOLE);
    Value dscores =
        emit.mul(emit.mul(weights, emit.sub(dweights, emit.overColumns(delta, square))), scale(q));
    Value dq = emit.matMul(dscores, false, k, false, Blocks.WHOLE);
    Value dk = emit.matMul(dscores, true, q, false, queries);
    Value dv = emit.matMul(weights, true, headDout, false, queries);
    return emit.concat(2, List.of(merged(dq), merged(dk), merged(dv)));
  }

  /// `q·kᵀ / sqrt(size)`, minus infinity where the key comes after the query: `[B, H, T, T]`.
  private Value scores(Value q, Value k) {
    Value product = emit.mul(emit.matMul(q, false, k, true, Blocks.WHOLE), scale(q));
    Shape square = product.type().shape();
    Value query = emit.iota(Emitter.i32(square), 2);
    Value key = emit.iota(Emitter.i32(square), 3);
    return emit.select(
        emit.less(query, key), emit.constant(product, Double.NEGATIVE_INFINITY), product);
  }

  private static double scale(Value q) {
    return 1 / Math.sqrt((double) q.type().shape().dim(-1));
  }

  /// Part 0 (q), 1 (k) or 2 (v) of `[B, T, 3C]` as `[B, H, T, C/H]`.
  private Value part(Value qkv, int part) {
    long features = qkv.type().shape().dim(2) / 3;
    return split(emit.slice(qkv, 2, part * features, (part + 1) * features));
  }

  /// `[B, T, C] → [B, H, T, C/H]`.
  private Value split(Value x) {
    Shape shape = x.type().shape();
    Shape byHead = Shape.of(shape.dim(0), shape.dim(1), heads, shape.dim(2) / heads);
    return emit.transpose(emit.reshape(x, byHead), 0, 2, 1, 3);
  }

  /// `[B, H, T, C/H] → [B, T, C]`.
  private Value merged(Value x) {
    Shape shape = x.type().shape();
    Shape flat = Shape.of(shape.dim(0), shape.dim(2), heads * shape.dim(3));
    return emit.reshape(emit.transpose(x, 0, 2, 1, 3), flat);
  }
}
