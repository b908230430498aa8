package dev.lockstep.train.model;

import dev.lockstep.graph.Blocks;
import dev.lockstep.graph.Composite.Split;
import dev.lockstep.graph.Primitive;
import dev.lockstep.graph.Value;
import dev.lockstep.tensor.Shape;
import dev.lockstep.train.nn.Initializer;
import dev.lockstep.train.nn.ModelTrace;
import dev.lockstep.train.nn.Parameter;
import java.util.List;

/// Where a language model begins and ends: the table of the tokens' features, and the one by which
/// features say how likely each token is. A tied head is the same table.
final class Vocabulary {
  private final Blocks blocks;
  private final boolean isTied;
  private final Parameter embedding;
  private final Parameter head;

  /// Lays out the tables.
  ///
  /// @param tensorBlocks into how many blocks sums over the vocabulary are cut
  /// @param embedding name of the first table
  /// @param head name of the second, if the head is not tied
  Vocabulary(ModelShape shape, int tensorBlocks, String embedding, String head) {
    this.blocks = new Blocks(1, tensorBlocks);
    this.isTied = shape.tiedHead();
    this.embedding = table(embedding, shape);
    this.head = isTied ? this.embedding : table(head, shape);
  }

  private Parameter table(String name, ModelShape shape) {
    return new Parameter(
        name,
        Shape.of(shape.vocabulary(), shape.width()),
        new Initializer.Normal(GptModel.DEVIATION),
        new Split(0, blocks));
  }

  /// Returns how sums over the vocabulary are cut.
  Blocks blocks() {
    return blocks;
  }

  /// Returns the table of the tokens' features.
  Parameter embedding() {
    return embedding;
  }

  /// Adds the head to a model's parameters, of which it is the last; a tied one is none of its own.
  void addHead(List<Parameter> parameters) {
    if (!isTied) {
      parameters.add(head);
    }
  }

  /// Adds how likely each token is to follow.
  ///
  /// @param x `[B, T, C]`
  /// @return logits `[B, T, V]`
  Value logits(ModelTrace trace, Value x) {
    Value narrow = trace.narrowed(x);
    Value weight = isTied ? trace.parameter(head, "head") : trace.parameter(head);
    trace.splitColumns(weight, blocks);
    return trace.narrowedOnTheWayBack(
        trace.one(new Primitive.MatMul(false, true, Blocks.WHOLE), narrow, weight));
  }
}
