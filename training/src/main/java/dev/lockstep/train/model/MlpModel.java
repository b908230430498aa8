package dev.lockstep.train.model;

import dev.lockstep.graph.Blocks;
import dev.lockstep.graph.Composite;
import dev.lockstep.graph.Primitive;
import dev.lockstep.graph.Value;
import dev.lockstep.graph.ValueType;
import dev.lockstep.tensor.Shape;
import dev.lockstep.train.nn.Initializer;
import dev.lockstep.train.nn.LayerNormLayer;
import dev.lockstep.train.nn.LinearLayer;
import dev.lockstep.train.nn.ModelTrace;
import dev.lockstep.train.nn.Parameter;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;

/// A plain MLP that predicts a token from the embeddings of the last few, side by side (Bengio et
/// al., 2003), before the first token zeros.
final class MlpModel implements LanguageModel {
  private final MlpShape shape;
  private final int tensorBlocks;
  private final Vocabulary vocabulary;
  private final List<Layer> layers = new ArrayList<>();
  private final LayerNormLayer finalNorm;

  /// Lays out a model.
  ///
  /// @param tensorBlocks into how many blocks sums over features and vocabulary are cut
  MlpModel(MlpShape shape, int tensorBlocks) {
    this.shape = shape;
    this.tensorBlocks = tensorBlocks;
    vocabulary = new Vocabulary(shape, tensorBlocks, "embedding.weight", "head.weight");
    for (int i = 0; i < shape.layers(); i++) {
      layers.add(layer("layers." + i, i == 0 ? shape.window() * shape.width() : shape.width()));
    }
    finalNorm = GptModel.norm("norm", shape.width());
  }

  /// One MLP.
  ///
  /// @param norm before it; the first has none
  /// @param hidden column-parallel under tensor parallelism
  /// @param output row-parallel
  private record Layer(LayerNormLayer norm, LinearLayer hidden, LinearLayer output) {
    Value apply(ModelTrace trace, Value x) {
      Value wide = trace.one(new Composite.Gelu(), hidden.apply(trace, x));
      return output.apply(trace, wide);
    }
  }

  private Layer layer(String name, int in) {
    Blocks blocks = new Blocks(1, tensorBlocks);
    Initializer spread = new Initializer.Normal((float) (1 / StrictMath.sqrt(in)));
    Initializer back = new Initializer.Normal((float) (1 / StrictMath.sqrt(shape.hidden())));
    return new Layer(
        GptModel.norm(name + ".norm", shape.width()),
        TransformerBlock.columnParallel(name + ".hidden", in, shape.hidden(), blocks, spread),
        TransformerBlock.rowParallel(
            name + ".output", shape.hidden(), shape.width(), blocks, back));
  }

  @Override
  public MlpShape shape() {
    return shape;
  }

  @Override
  public Blocks vocabularyBlocks() {
    return vocabulary.blocks();
  }

  @Override
  public List<Parameter> parameters() {
    List<Parameter> all = new ArrayList<>(List.of(vocabulary.embedding()));
    for (int i = 0; i < layers.size(); i++) {
      Layer layer = layers.get(i);
      if (i > 0) {
        layer.norm.parameters().forEach(all::add);
      }
      Stream.concat(layer.hidden.parameters(), layer.output.parameters()).forEach(all::add);
    }
    finalNorm.parameters().forEach(all::add);
    vocabulary.addHead(all);
    return List.copyOf(all);
  }

  @Override
  public Value logits(ModelTrace trace, Value tokens, Recompute recompute) {
    Value x = first(trace, windows(trace, trace.rows(vocabulary.embedding(), tokens)), recompute);
    for (int i = 1; i < layers.size(); i++) {
      trace.border(x);
      x = residual(trace, x, i, recompute);
    }
    return vocabulary.logits(trace, finalNorm.apply(trace, x));
  }

  private Value first(ModelTrace trace, Value windows, Recompute recompute) {
    Layer layer = layers.getFirst();
    Value out =
        recompute == Recompute.BLOCK
            ? trace.recomputed(() -> layer.apply(trace, windows))
            : layer.apply(trace, windows);
    return trace.dropout(out, 0);
  }

  private Value residual(ModelTrace trace, Value x, int index, Recompute recompute) {
    return recompute == Recompute.BLOCK
        ? trace.recomputed(() -> residual(trace, x, index))
        : residual(trace, x, index);
  }

  private Value residual(ModelTrace trace, Value x, int index) {
    Layer layer = layers.get(index);
    Value branch = trace.dropout(layer.apply(trace, layer.norm.apply(trace, x)), index);
    return trace.one(new Primitive.Add(), x, branch);
  }

  /// Puts each position's last embeddings side by side, its own first.
  ///
  /// @param x `[B, T, C]`
  /// @return `[B, T, window · C]`
  private Value windows(ModelTrace trace, Value x) {
    Shape all = x.type().shape();
    List<Value> seen = new ArrayList<>(List.of(x));
    for (long back = 1; back < shape.window(); back++) {
      List<Long> limits = List.of(all.dim(0), all.dim(1) - back, all.dim(2));
      Value earlier = trace.one(new Primitive.Slice(List.of(0L, 0L, 0L), limits), x);
      ValueType before = ValueType.f32(all.dim(0), back, all.dim(2));
      Value nothing = trace.one(new Primitive.Constant(before, 0));
      seen.add(trace.one(new Primitive.Concat(1), nothing, earlier));
    }
    return seen.size() == 1
        ? x
        : trace.all(new Primitive.Concat(2), seen.toArray(Value[]::new)).getFirst();
  }
}
