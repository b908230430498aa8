package dev.lockstep.train.optim;

import dev.lockstep.graph.Blocks;
import dev.lockstep.graph.Composite.Split;
import dev.lockstep.graph.Composite.SquaredNorm;
import dev.lockstep.graph.GraphBuilder;
import dev.lockstep.graph.Primitive;
import dev.lockstep.graph.Value;
import dev.lockstep.graph.ValueType;
import dev.lockstep.tensor.Shape;
import dev.lockstep.train.nn.Parameter;
import dev.lockstep.train.optim.StateShards.Piece;
import dev.lockstep.train.placement.ModelPlace;
import dev.lockstep.train.placement.Placement;
import dev.lockstep.train.placement.Slices;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/// The leaves of the global norm's tree that each rank computes: a sum of squares for each chunk of
/// each block of its part of the gradients.
///
/// Every rank's leaves are padded to one length; gathered in rank order, along the data axis first,
/// then along those that layers are split over (features first) and that of stages, [#order] says
/// where the tree's leaves are among them. What several ranks hold alike is taken from the first.
public final class NormLeaves {
  /// What stands behind the leaves of a stage where there are several: see [StepGraph].
  static final int STAGE_NUMBERS = 3;

  private final List<StateShards> stages;
  private final List<Parameter> all;
  private final StateShards shards;
  private final StepPlace place;

  /// A leaf of one rank.
  ///
  /// @param block block among those that the rank holds
  /// @param chunk chunk of the block
  private record Leaf(Parameter parameter, int block, long chunk) {}

  /// Lays out the leaves of a cut.
  public NormLeaves(StateShards shards) {
    this(List.of(shards), shards.parameters(), 0);
  }

  /// Lays out the leaves of the cuts of a pipeline's stages.
  ///
  /// @param stages cuts by stage
  /// @param all the parameters of all stages, in program order
  /// @param stage this rank's stage
  public NormLeaves(List<StateShards> stages, List<Parameter> all, int stage) {
    this.stages = List.copyOf(stages);
    this.all = List.copyOf(all);
    this.shards = stages.get(stage);
    this.place = shards.place();
  }

  /// Returns for each leaf of the tree, in order, its index among the gathered leaves of all ranks.
  public int[] order() {
    Map<Leaf, Integer> index = new HashMap<>();
    int longest = longest();
    for (int stage = 0; stage < stages.size(); stage++) {
      for (int part = 0; part < place.model().ranks(); part++) {
        for (int data = 0; data < shards.ranks(); data++) {
          int at = stage * stageLength() + (part * shards.ranks() + data) * longest;
          for (Leaf leaf : leaves(stages.get(stage), data)) {
            index.putIfAbsent(global(leaf, part), at++);
          }
        }
      }
    }
    List<Integer> order = new ArrayList<>();
    for (Parameter parameter : all) {
      int blocks = parameter.split().blocks().count();
      long chunks = Math.ceilDiv(parameter.shape().elements() / blocks, (long) SquaredNorm.CHUNK);
      for (int block = 0; block < blocks; block++) {
        for (long chunk = 0; chunk < chunks; chunk++) {
          Integer found = index.get(new Leaf(parameter, block, chunk));
          if (found == null) {
            throw new IllegalStateException("no rank has this leaf of the norm: " + parameter);
          }
          order.add(found);
        }
      }
    }
    return order.stream().mapToInt(Integer::intValue).toArray();
  }

  /// Returns this rank's cut.
  StateShards shards() {
    return shards;
  }

  private Leaf global(Leaf leaf, int rank) {
    ModelPlace model = place.model();
    boolean isSplit = model.placement(leaf.parameter) instanceof Placement.Shard;
    int part = isSplit ? model.part(leaf.parameter, rank) : 0;
    int first = part * place.localBlocks(leaf.parameter);
    return new Leaf(leaf.parameter, first + leaf.block, leaf.chunk);
  }

  /// Returns how many numbers a stage contributes: its ranks' leaves, and where there are several
  /// stages [#STAGE_NUMBERS] more.
  int stageLength() {
    int leaves = place.model().ranks() * shards.ranks() * longest();
    return stages.size() == 1 ? leaves : leaves + STAGE_NUMBERS;
  }

  private int longest() {
    int longest = 0;
    for (StateShards stage : stages) {
      for (int rank = 0; rank < stage.ranks(); rank++) {
        longest = Math.max(longest, leaves(stage, rank).size());
      }
    }
    return longest;
  }

  private List<Leaf> leaves(StateShards stage, int rank) {
    List<Leaf> leaves = new ArrayList<>();
    for (Piece piece : stage.pieces(rank)) {
      for (Run run : runs(piece)) {
        for (long done = 0; done < run.elements; done += SquaredNorm.CHUNK) {
          long chunk = run.firstChunk + done / SquaredNorm.CHUNK;
          leaves.add(new Leaf(piece.parameter(), run.block, chunk));
        }
      }
    }
    return leaves;
  }

  /// What a piece has of one block: whole chunks from `firstChunk` on.
  ///
  /// @param start where it starts in the piece, if its elements lie side by side
  private record Run(int block, long firstChunk, long start, long elements) {}

  private List<Run> runs(Piece piece) {
    Parameter parameter = piece.parameter();
    int blocks = place.localBlocks(parameter);
    long whole = place.localShape(parameter).elements();
    List<Run> runs = new ArrayList<>();
    if (StateShards.isContiguous(parameter.split())) {
      long perBlock = whole / blocks;
      for (long at = piece.start(); at < piece.end(); ) {
        long end = Math.min(piece.end(), (at / perBlock + 1) * perBlock);
        long chunk = at % perBlock / SquaredNorm.CHUNK;
        runs.add(new Run((int) (at / perBlock), chunk, at - piece.start(), end - at));
        at = end;
      }
      return runs;
    }
    for (int block = 0; block < blocks; block++) {
      long chunk = piece.start() / blocks / SquaredNorm.CHUNK;
      runs.add(new Run(block, chunk, -1, piece.elements() / blocks));
    }
    return runs;
  }

  /// Adds a rank's leaves of its pieces' gradients, padded: `[leaves]`.
  ///
  /// @param gradients of the rank's pieces, each of as many elements
  Value add(GraphBuilder builder, int rank, List<Value> gradients) {
    List<Value> leaves = new ArrayList<>();
    List<Piece> pieces = shards.pieces(rank);
    for (int i = 0; i < pieces.size(); i++) {
      for (Run run : runs(pieces.get(i))) {
        Value flat = flat(builder, gradients.get(i));
        addChunks(
            builder,
            run.start >= 0
                ? cut(builder, flat, 0, run.start, run.start + run.elements)
                : block(builder, flat, pieces.get(i).parameter(), run.block),
            leaves);
      }
    }
    int missing = longest() - leaves.size();
    if (missing > 0) {
      leaves.add(builder.one(new Primitive.Constant(ValueType.f32(missing), 0)));
    }
    return builder.apply(new Primitive.Concat(0), leaves).getFirst();
  }

  /// A block of some rows, of which a range of columns belongs to it.
  private Value block(GraphBuilder builder, Value flat, Parameter parameter, int block) {
    Split split = parameter.split();
    Shape shape = place.localShape(parameter);
    long extent = shape.dim(split.dim());
    long after = 1;
    for (int dim = split.dim() + 1; dim < shape.rank(); dim++) {
      after *= shape.dim(dim);
    }
    long rows = flat.type().shape().elements() / (extent * after);
    Value table = builder.one(new Primitive.Reshape(Shape.of(rows, extent, after)), flat);
    long outer = split.blocks().outer();
    Blocks local = new Blocks(outer, place.localBlocks(parameter));
    List<Value> slices = new ArrayList<>();
    for (long i = 0; i < outer; i++) {
      long start = i * (extent / outer);
      long from = start + local.start(block, extent);
      slices.add(cut(builder, table, 1, from, start + local.start(block + 1, extent)));
    }
    return flat(
        builder,
        slices.size() == 1
            ? slices.getFirst()
            : builder.apply(new Primitive.Concat(1), slices).getFirst());
  }

  private static Value flat(GraphBuilder builder, Value value) {
    Shape shape = value.type().shape();
    return shape.rank() == 1
        ? value
        : builder.one(new Primitive.Reshape(Shape.of(shape.elements())), value);
  }

  private static Value cut(GraphBuilder builder, Value value, int dim, long start, long limit) {
    Shape shape = value.type().shape();
    return start == 0 && limit == shape.dim(dim)
        ? value
        : builder.one(Slices.along(shape, dim, start, limit), value);
  }

  private static void addChunks(GraphBuilder builder, Value run, List<Value> leaves) {
    long elements = run.type().shape().elements();
    for (long start = 0; start < elements; start += SquaredNorm.CHUNK) {
      long limit = Math.min(start + SquaredNorm.CHUNK, elements);
      Value chunk = cut(builder, run, 0, start, limit);
      Value sum = builder.one(new SquaredNorm(List.of(Split.NONE)), chunk);
      leaves.add(builder.one(new Primitive.Reshape(Shape.of(1)), sum));
    }
  }
}
