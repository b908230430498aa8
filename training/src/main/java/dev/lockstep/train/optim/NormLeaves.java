package dev.lockstep.train.optim;

import dev.lockstep.graph.Blocks;
import dev.lockstep.graph.Composite.Split;
import dev.lockstep.graph.Composite.SquaredNorm;
import dev.lockstep.graph.GraphBuilder;
import dev.lockstep.graph.Primitive;
import dev.lockstep.graph.Value;
import dev.lockstep.tensor.Shape;
import dev.lockstep.train.nn.Parameter;
import dev.lockstep.train.placement.Placement;
import dev.lockstep.train.placement.Slices;
import java.util.ArrayList;
import java.util.List;

/// The leaves of the global norm's tree that one rank of the tensor axis computes: a sum of squares
/// for each chunk of each of its blocks, in the order of [SquaredNorm].
///
/// Every rank has as many leaves; gathered in rank order, [#order] says where the tree's leaves are
/// among them. Parameters that all ranks hold whole are taken from rank 0.
public final class NormLeaves {
  private final List<Parameter> parameters;
  private final StepPlace place;
  private int perRank;
  private final List<Integer> order = new ArrayList<>();

  /// Lays out the leaves of parameters, in program order.
  public NormLeaves(List<Parameter> parameters, StepPlace place) {
    this.parameters = List.copyOf(parameters);
    this.place = place;
    parameters.forEach(parameter -> perRank += localBlocks(parameter) * chunks(parameter));
    int offset = 0;
    for (Parameter parameter : parameters) {
      int local = localBlocks(parameter);
      int chunks = chunks(parameter);
      for (int block = 0; block < parameter.split().blocks().count(); block++) {
        for (int chunk = 0; chunk < chunks; chunk++) {
          order.add(block / local * perRank + offset + block % local * chunks + chunk);
        }
      }
      offset += local * chunks;
    }
  }

  private int localBlocks(Parameter parameter) {
    int blocks = parameter.split().blocks().count();
    return place.placement(parameter) instanceof Placement.Shard
        ? blocks / place.tensor().ranks()
        : blocks;
  }

  private static int chunks(Parameter parameter) {
    long elements = parameter.shape().elements() / parameter.split().blocks().count();
    return Math.toIntExact(Math.ceilDiv(elements, (long) SquaredNorm.CHUNK));
  }

  /// Returns for each leaf of the tree, in order, its index among the gathered leaves of all ranks.
  public int[] order() {
    return order.stream().mapToInt(Integer::intValue).toArray();
  }

  /// Adds this rank's leaves of the parameters' gradients: `[leaves]`.
  Value add(GraphBuilder builder, List<Value> gradients) {
    List<Value> leaves = new ArrayList<>();
    for (int i = 0; i < parameters.size(); i++) {
      Parameter parameter = parameters.get(i);
      for (int block = 0; block < localBlocks(parameter); block++) {
        addChunks(builder, block(builder, gradients.get(i), parameter, block), leaves);
      }
    }
    return builder.apply(new Primitive.Concat(0), leaves).getFirst();
  }

  private Value block(GraphBuilder builder, Value gradient, Parameter parameter, int block) {
    Split split = parameter.split();
    if (split.equals(Split.NONE)) {
      return gradient;
    }
    Shape shape = gradient.type().shape();
    long extent = shape.dim(split.dim());
    long outer = split.blocks().outer();
    Blocks local = new Blocks(outer, localBlocks(parameter));
    List<Value> slices = new ArrayList<>();
    for (long i = 0; i < outer; i++) {
      long start = i * (extent / outer);
      slices.add(
          builder.one(
              Slices.along(
                  shape,
                  split.dim(),
                  start + local.start(block, extent),
                  start + local.start(block + 1, extent)),
              gradient));
    }
    return slices.size() == 1
        ? slices.getFirst()
        : builder.apply(new Primitive.Concat(split.dim()), slices).getFirst();
  }

  private static void addChunks(GraphBuilder builder, Value block, List<Value> leaves) {
    long elements = block.type().shape().elements();
    Value flat = builder.one(new Primitive.Reshape(Shape.of(elements)), block);
    for (long start = 0; start < elements; start += SquaredNorm.CHUNK) {
      long limit = Math.min(start + SquaredNorm.CHUNK, elements);
      Value chunk =
          start == 0 && limit == elements
              ? flat
              : builder.one(Slices.along(flat.type().shape(), 0, start, limit), flat);
      Value sum = builder.one(new SquaredNorm(List.of(Split.NONE)), chunk);
      leaves.add(builder.one(new Primitive.Reshape(Shape.of(1)), sum));
    }
  }
}
