package dev.lockstep.train;

import dev.lockstep.graph.Graph;
import dev.lockstep.graph.LaneSplit;
import dev.lockstep.tensor.Shape;
import dev.lockstep.train.model.ModelPrograms;
import dev.lockstep.train.nn.ModelTrace;
import dev.lockstep.train.nn.Parameter;
import dev.lockstep.train.nn.ParameterUse;
import dev.lockstep.train.optim.StagePlace;
import dev.lockstep.train.optim.StateShards;
import dev.lockstep.train.optim.StepPlace;
import dev.lockstep.train.placement.AxisLayout;
import dev.lockstep.train.placement.AxisPlace;
import dev.lockstep.train.placement.AxisWishes;
import dev.lockstep.train.placement.InnerCollectives;
import dev.lockstep.train.placement.Placement;
import dev.lockstep.train.placement.TokenSplit;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/// Where one rank stands in its layout, and what it holds of a model.
///
/// @param data place on the axis that lanes are spread over
/// @param tensor place on the axis that features are spread over
/// @param pipeline place on the axis that layers are spread over
/// @param context place on the axis that positions are spread over
/// @param zero what the ranks of the data axis share out
/// @param isSequence whether the ranks of the tensor axis share out positions too
record Grid(
    AxisPlace data,
    AxisPlace tensor,
    AxisPlace pipeline,
    AxisPlace context,
    int zero,
    boolean isSequence) {
  private static final String GRADIENT_OF_BORDER = ParameterUse.gradientName(ModelTrace.BORDER);

  /// Returns the place of a rank.
  static Grid of(Layout layout, int rank, int worldSize) {
    Layout whole = layout.over(worldSize);
    AxisPlace data = whole.place(Layout.DATA, rank);
    int zero = data.ranks() == 1 ? 0 : layout.zero();
    return new Grid(
        data,
        whole.place(Layout.TENSOR, rank),
        whole.place(Layout.PIPELINE, rank),
        whole.place(Layout.CONTEXT, rank),
        zero,
        layout.sequenceParallel());
  }

  /// Returns the place of a rank that holds everything.
  static Grid alone() {
    return new Grid(
        new AxisPlace(Layout.DATA, 1, 0),
        new AxisPlace(Layout.TENSOR, 1, 0),
        new AxisPlace(Layout.PIPELINE, 1, 0),
        new AxisPlace(Layout.CONTEXT, 1, 0),
        0,
        false);
  }

  /// Whether ranks hold different parts of the model or of its optimizer's state.
  boolean holdsParts() {
    return isSplit() || isSharded() || isStaged();
  }

  /// Whether ranks hold different layers of the model.
  boolean isStaged() {
    return pipeline.ranks() > 1;
  }

  /// Whether ranks hold different parts of layers.
  boolean isSplit() {
    return tensor.ranks() > 1;
  }

  /// Whether ranks hold different parts of the optimizer's state.
  boolean isSharded() {
    return zero > 0;
  }

  /// Whether ranks hold different parts of the parameters, which are gathered to be used.
  boolean isGathered() {
    return zero == 3;
  }

  /// Returns how the optimizer's state is cut over the data axis; one shard without ZeRO.
  StateShards shards(List<Parameter> parameters) {
    StepPlace place = stepPlace(LaneSplit.onePerRank(data.ranks()), null);
    if (!isSharded()) {
      return StateShards.whole(parameters, place);
    }
    return isGathered()
        ? StateShards.cutUnits(ParameterUnits.of(parameters), place, data.ranks())
        : StateShards.cut(parameters, place, data.ranks());
  }

  /// Returns how a parameter lies over the tensor axis.
  Placement placement(Parameter parameter) {
    return isSplit() ? Placement.of(parameter.split()) : Placement.replicate();
  }

  /// Returns the shape of what this rank holds of a parameter.
  Shape localShape(Parameter parameter) {
    return placement(parameter).localShape(parameter.shape(), tensor.ranks());
  }

  /// Returns the place of this rank in a step program of some lanes.
  StepPlace stepPlace(LaneSplit lanes, @Nullable StagePlace stage) {
    return new StepPlace(lanes, data.rank(), tensor, stage, context);
  }

  /// Returns the program of this rank for a program of one device: first the positions are spread
  /// over ranks, then the features.
  Graph lay(ModelPrograms.Traced traced) {
    Graph graph = traced.graph();
    if (context.ranks() == 1 && !isSplit()) {
      return graph;
    }
    int blocks = traced.tokenBlocks();
    if (context.ranks() > 1) {
      Set<String> cut = Set.of(ModelPrograms.TOKENS, ModelPrograms.TARGETS);
      Optional<TokenSplit> tokens = Optional.of(tokens(graph, blocks, 1, cut));
      AxisWishes wishes = new AxisWishes(Map.of(), Map.of(), asTheyLie(graph), tokens);
      graph = AxisLayout.lay(graph, context, wishes).graph();
    }
    if (isSplit()) {
      int parts = context.ranks();
      Optional<TokenSplit> tokens =
          isSequence
              ? Optional.of(tokens(graph, blocks / parts, parts, Set.of()))
              : Optional.empty();
      graph = AxisLayout.lay(graph, tensor, wishes(traced, graph, tokens)).graph();
    }
    return InnerCollectives.lower(graph);
  }

  /// How tokens are spread of which the rank has one part of several already.
  private static TokenSplit tokens(Graph graph, int blocks, int parts, Set<String> cut) {
    Shape all = graph.input(ModelPrograms.TOKENS).type().shape();
    Shape held = all.with(1, all.dim(1) / parts);
    return new TokenSplit(held, blocks, cut, ModelPrograms.LOSS_SUM);
  }

  private AxisWishes wishes(ModelPrograms.Traced traced, Graph graph, Optional<TokenSplit> tokens) {
    Map<String, Placement> inputs = new HashMap<>();
    Map<String, Placement> outputs = new HashMap<>();
    for (ParameterUse use : traced.uses()) {
      inputs.put(use.inputName(), placement(use.parameter()));
      outputs.put(use.gradientName(), placement(use.parameter()));
    }
    return new AxisWishes(inputs, outputs, asTheyLie(graph), tokens);
  }

  /// What goes from stage to stage does so as it lies.
  private static Set<String> asTheyLie(Graph graph) {
    return graph.outputs().stream()
        .map(Graph.Named::name)
        .filter(name -> name.startsWith(ModelTrace.BORDER) || name.startsWith(GRADIENT_OF_BORDER))
        .collect(Collectors.toSet());
  }
}
