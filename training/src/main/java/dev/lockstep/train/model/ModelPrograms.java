package dev.lockstep.train.model;

import dev.lockstep.graph.Blocks;
import dev.lockstep.graph.Composite;
import dev.lockstep.graph.Graph;
import dev.lockstep.graph.GraphBuilder;
import dev.lockstep.graph.Primitive;
import dev.lockstep.graph.Value;
import dev.lockstep.graph.ValueType;
import dev.lockstep.train.autodiff.Differentiator;
import dev.lockstep.train.autodiff.GradientBlocks;
import dev.lockstep.train.nn.DropoutPlan;
import dev.lockstep.train.nn.ModelTrace;
import dev.lockstep.train.nn.ParameterUse;
import dev.lockstep.train.nn.Precision;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/// The programs of a model: one lane's forward and backward pass, its loss alone, and its logits.
public final class ModelPrograms {
  /// Input: I32 `[B, T]`.
  public static final String TOKENS = "tokens";

  /// Input: I32 `[B, T]`, the tokens that follow.
  public static final String TARGETS = "targets";

  /// Output: the sum of the losses of all tokens, in nats.
  public static final String LOSS_SUM = "lossSum";

  /// Output: the number of tokens.
  public static final String COUNT = "count";

  /// Output: F32 `[B, T, V]`.
  public static final String LOGITS = "logits";

  private final LanguageModel model;
  private final int tokenBlocks;
  private final Recompute recompute;
  private final Precision precision;
  private final DropoutPlan dropout;

  /// Makes the programs of a model in float32 that keep all activations.
  ///
  /// @param tokenBlocks into how many blocks sums over a lane's positions are cut
  public ModelPrograms(LanguageModel model, int tokenBlocks) {
    this(model, tokenBlocks, Recompute.NONE, Precision.F32, DropoutPlan.NONE);
  }

  /// Makes the programs of a model.
  ///
  /// @param tokenBlocks into how many blocks sums over a lane's positions are cut
  /// @param recompute which activations the backward pass computes again
  /// @param precision in what floats it computes
  /// @param dropout what falls out while it trains
  public ModelPrograms(
      LanguageModel model,
      int tokenBlocks,
      Recompute recompute,
      Precision precision,
      DropoutPlan dropout) {
    this.model = model;
    this.tokenBlocks = tokenBlocks;
    this.recompute = recompute;
    this.precision = precision;
    this.dropout = dropout;
  }

  /// A program and the parameters that it uses, each an input of the graph.
  ///
  /// @param graph the program
  /// @param uses the parameters' uses, in program order
  /// @param tokenBlocks into how many blocks sums over positions are cut
  public record Traced(Graph graph, List<ParameterUse> uses, int tokenBlocks) {
    /// Copies the list.
    public Traced {
      uses = List.copyOf(uses);
    }
  }

  /// Traces the forward and backward pass of a lane: [#TOKENS] and [#TARGETS] to [#LOSS_SUM],
  /// [#COUNT] and the gradient of [#LOSS_SUM] for each use of a parameter
  /// ([ParameterUse#gradientName]). With dropout it also reads [ModelTrace#STEP] and
  /// [ModelTrace#LANE].
  ///
  /// @param sequences sequences of the lane
  public Traced lane(int sequences) {
    return lane(sequences, false);
  }

  /// Traces what [#lane] does, with the borders at which a pipeline may be cut and the gradients of
  /// those as further outputs ([#border], and [ParameterUse#gradientName] of it). The bits are the
  /// same.
  ///
  /// @param sequences sequences of the lane
  public Traced stagedLane(int sequences) {
    return lane(sequences, true);
  }

  private Traced lane(int sequences, boolean staged) {
    ModelTrace trace = new ModelTrace("lane", precision, dropout);
    GraphBuilder builder = trace.builder();
    Value loss = loss(trace, sequences);
    Map<Value, Value> seeds = new LinkedHashMap<>();
    seeds.put(loss, trace.one(new Primitive.Constant(loss.type(), 1)));
    trace
        .auxiliaries()
        .forEach(
            (value, weight) ->
                seeds.put(value, trace.one(new Primitive.Constant(value.type(), weight))));
    GradientBlocks blocks = new GradientBlocks(sequences, tokenBlocks, trace.columns());
    Map<String, Value> wanted = new LinkedHashMap<>(trace.useValues());
    if (staged) {
      nameBorders(trace);
      for (int i = 0; i < trace.borders().size(); i++) {
        wanted.put(border(i), trace.borders().get(i));
      }
    }
    Differentiator.gradients(builder, seeds, wanted, blocks, trace.wayBack())
        .forEach((use, gradient) -> builder.output(ParameterUse.gradientName(use), gradient));
    return new Traced(builder.build(), trace.uses(), tokenBlocks);
  }

  /// Traces what [#evaluation] does, with the borders as further outputs.
  public Traced stagedEvaluation(int sequences) {
    ModelTrace trace = new ModelTrace("evaluation", precision);
    loss(trace, sequences);
    nameBorders(trace);
    return new Traced(trace.builder().build(), trace.uses(), tokenBlocks);
  }

  private static void nameBorders(ModelTrace trace) {
    for (int i = 0; i < trace.borders().size(); i++) {
      trace.builder().output(border(i), trace.borders().get(i));
    }
  }

  /// Returns what border `index` is called among the outputs of a staged program; there is one
  /// between two blocks.
  public static String border(int index) {
    return ModelTrace.BORDER + index;
  }

  /// Traces the loss of some sequences: [#TOKENS] and [#TARGETS] to [#LOSS_SUM] and [#COUNT].
  public Traced evaluation(int sequences) {
    ModelTrace trace = new ModelTrace("evaluation", precision);
    loss(trace, sequences);
    return new Traced(trace.builder().build(), trace.uses(), tokenBlocks);
  }

  /// Traces the logits of one sequence: [#TOKENS] to [#LOGITS].
  public Traced logits() {
    ModelTrace trace = new ModelTrace("logits", precision);
    Value tokens = trace.builder().input(TOKENS, ids(1));
    trace.builder().output(LOGITS, model.logits(trace, tokens, Recompute.NONE));
    return new Traced(trace.builder().build(), trace.uses(), tokenBlocks);
  }

  private Value loss(ModelTrace trace, int sequences) {
    Value tokens = trace.builder().input(TOKENS, ids(sequences));
    Value targets = trace.builder().input(TARGETS, ids(sequences));
    Value logits = model.logits(trace, tokens, recompute);
    Composite loss =
        new Composite.CrossEntropy(new Blocks(sequences, tokenBlocks), model.vocabularyBlocks());
    List<Value> results = trace.all(loss, logits, targets);
    trace.builder().output(LOSS_SUM, results.get(0));
    trace.builder().output(COUNT, results.get(1));
    return results.get(0);
  }

  private ValueType ids(int sequences) {
    return ValueType.i32(sequences, model.shape().context());
  }
}
