package dev.lockstep.train.placement;

import dev.lockstep.graph.Primitive;
import dev.lockstep.graph.Value;
import dev.lockstep.tensor.Shape;
import dev.lockstep.train.placement.Placement.Partial;
import dev.lockstep.train.placement.Placement.Shard;
import java.util.ArrayList;
import java.util.List;

/// The ways from one placement to another, as ops of a program in the making.
final class PartMoves {
  private final PlacedBuilder out;
  private final AxisPlace axis;

  PartMoves(PlacedBuilder out) {
    this.out = out;
    this.axis = out.axis();
  }

  /// Joins terms of a sum on every rank; what is no sum stays as it is.
  Value reduced(Value terms) {
    return out.placement(terms) instanceof Partial(var op, var lanes)
        ? out.one(new Primitive.AllReduce(axis.name(), op, lanes), terms)
        : terms;
  }

  /// Joins terms of a sum, of which each rank gets its part.
  Value scattered(Value terms, Shard shard) {
    Partial partial = (Partial) out.placement(terms);
    Primitive scatter =
        new Primitive.ReduceScatter(axis.name(), partial.op(), partial.lanes(), shard.dim());
    return out.declare(out.one(scatter, terms), shard);
  }

  /// Gathers parts.
  Value gathered(Value part, Shard shard) {
    Shape shape = part.type().shape();
    long outer = shard.blocks().outer();
    int dim = shard.dim();
    if (outer == 1) {
      return out.one(new Primitive.AllGather(axis.name(), axis.ranks(), dim), part);
    }
    // The outer slices become a dimension of their own, before that of the parts.
    long[] dims = new long[shape.rank() + 1];
    for (int i = 0; i < shape.rank(); i++) {
      dims[i < dim ? i : i + 1] = shape.dim(i);
    }
    dims[dim] = outer;
    dims[dim + 1] = shape.dim(dim) / outer;
    Value apart = out.one(new Primitive.Reshape(Shape.of(dims)), part);
    Value all = out.one(new Primitive.AllGather(axis.name(), axis.ranks(), dim + 1), apart);
    return out.one(new Primitive.Reshape(shape.with(dim, shape.dim(dim) * axis.ranks())), all);
  }

  /// This rank's part of a whole value.
  Value part(Value all, Shard shard) {
    Shape shape = all.type().shape();
    long outer = shard.blocks().outer();
    long slice = shape.dim(shard.dim()) / outer;
    long inner = slice / axis.ranks();
    List<Value> parts = new ArrayList<>();
    for (long i = 0; i < outer; i++) {
      long start = i * slice + axis.rank() * inner;
      Value cut = out.one(Slices.along(shape, shard.dim(), start, start + inner), all);
      parts.add(out.declare(cut, Placement.perRank()));
    }
    Value joined =
        parts.size() == 1
            ? parts.getFirst()
            : out.apply(new Primitive.Concat(shard.dim()), parts).getFirst();
    return out.declare(joined, shard);
  }
}
