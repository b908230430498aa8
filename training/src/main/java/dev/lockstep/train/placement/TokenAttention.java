package dev.lockstep.train.placement;

import dev.lockstep.graph.Composite;
import dev.lockstep.graph.Composite.CausalAttention;
import dev.lockstep.graph.Composite.CausalAttentionGrad;
import dev.lockstep.graph.Composite.GroupedAttention;
import dev.lockstep.graph.Composite.GroupedAttentionGrad;
import dev.lockstep.graph.Primitive;
import dev.lockstep.graph.Value;
import dev.lockstep.tensor.Shape;
import dev.lockstep.train.placement.Placement.Shard;
import java.util.List;

/// Attention on packed queries, keys and values of which each rank has some positions: keys and
/// values of all are gathered, and what each rank's queries give to their gradients is reduced. The
/// bits are those of the packed ops: a query adds over the same keys in the same order.
final class TokenAttention {
  private final PlacedBuilder out;
  private final PartMoves moves;
  private final AxisPlace axis;

  TokenAttention(PlacedBuilder out, PartMoves moves) {
    this.out = out;
    this.moves = moves;
    this.axis = out.axis();
  }

  /// Queries `[B, T/R, C]`, and keys and values of all positions.
  private record Parts(Value query, Value key, Value value, long first) {}

  private Parts parts(Value packed, Shard lies) {
    Shape shape = packed.type().shape();
    long positions = shape.dim(1);
    long features = shape.dim(2) / 3;
    Value apart =
        out.one(new Primitive.Reshape(Shape.of(shape.dim(0), positions, 3, features)), packed);
    Value others = out.one(Slices.along(apart.type().shape(), 2, 1, 3), apart);
    Value all = moves.gathered(others, lies);
    return new Parts(part(apart, 0), part(all, 0), part(all, 1), axis.rank() * positions);
  }

  /// Part `index` of dimension 2, which goes away.
  private Value part(Value x, long index) {
    Shape shape = x.type().shape();
    Value one = out.one(Slices.along(shape, 2, index, index + 1), x);
    return out.one(new Primitive.Reshape(Shape.of(shape.dim(0), shape.dim(1), shape.dim(3))), one);
  }

  /// `qkv → (out, logSumExp)`.
  List<Value> forward(CausalAttention op, Value packed) {
    Parts parts = parts(packed, (Shard) out.placement(packed));
    Composite attention = new GroupedAttention(op.heads(), op.heads(), parts.first);
    return out.apply(attention, List.of(parts.query, parts.key, parts.value));
  }

  /// `(dout, qkv, out, logSumExp) → dqkv`.
  Value backward(CausalAttentionGrad op, List<Value> in) {
    Shard lies = (Shard) out.placement(in.get(1));
    Parts parts = parts(in.get(1), lies);
    Composite gradient =
        new GroupedAttentionGrad(
            op.heads(), op.heads(), parts.first, lies.localBlocks(axis.ranks()));
    List<Value> operands =
        List.of(in.get(0), parts.query, parts.key, parts.value, in.get(2), in.get(3));
    List<Value> gradients = out.apply(gradient, operands);
    Value keys = moves.scattered(gradients.get(1), lies);
    Value values = moves.scattered(gradients.get(2), lies);
    Value joined =
        out.apply(new Primitive.Concat(2), List.of(row(gradients.get(0)), row(keys), row(values)))
            .getFirst();
    return out.one(new Primitive.Reshape(in.get(1).type().shape()), joined);
  }

  private Value row(Value x) {
    Shape shape = x.type().shape();
    return out.one(new Primitive.Reshape(Shape.of(shape.dim(0), shape.dim(1), 1, shape.dim(2))), x);
  }
}
