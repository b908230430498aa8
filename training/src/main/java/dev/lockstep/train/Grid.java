package dev.lockstep.train;

import dev.lockstep.graph.Blocks;
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
import dev.lockstep.train.placement.ModelPlace;
import dev.lockstep.train.placement.PlacedGraph;
import dev.lockstep.train.placement.Placement;
import dev.lockstep.train.placement.TokenSplit;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.function.Function;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/// Where one rank stands in its layout, and what it holds of a model.
///
/// @param data place on the axis that lanes are spread over
/// @param model place on the axes that parts of layers are spread over: features and experts
/// @param pipeline place on the axis that layers are spread over
/// @param context place on the axis that positions are spread over
/// @param zero what the ranks of the data axis share out
/// @param isSequence whether the ranks that features are spread over share out positions too
record Grid(
    AxisPlace data,
    ModelPlace model,
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
        new ModelPlace(whole.place(Layout.EXPERT, rank), whole.place(Layout.TENSOR, rank)),
        whole.place(Layout.PIPELINE, rank),
        whole.place(Layout.CONTEXT, rank),
        zero,
        layout.sequenceParallel());
  }

  /// Returns the place of a rank that holds everything.
  static Grid alone() {
    return new Grid(
        new AxisPlace(Layout.DATA, 1, 0),
        ModelPlace.whole(),
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
    return model.isSplit();
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
  ///
  /// @param held what a stage holds, this rank's or another
  StateShards shards(HeldParameters held) {
    StepPlace place = stepPlace(LaneSplit.onePerRank(data.ranks()), null);
    if (!isSharded()) {
      return StateShards.whole(held.parameters(), place);
    }
    List<List<Parameter>> units =
        isGathered()
            ? held.runs().stream().flatMap(run -> ParameterUnits.of(run).stream()).toList()
            : held.runs();
    return StateShards.cut(units, Set.copyOf(held.shared()), place, data.ranks());
  }

  /// Returns how a parameter lies over the ranks that layers are split over.
  Placement placement(Parameter parameter) {
    return model.placement(parameter);
  }

  /// Returns the shape of what this rank holds of a parameter.
  Shape localShape(Parameter parameter) {
    return model.localShape(parameter);
  }

  /// Returns the place of this rank in a step program of some lanes.
  StepPlace stepPlace(LaneSplit lanes, @Nullable StagePlace stage) {
    return new StepPlace(lanes, data.rank(), model, stage, context);
  }

  /// Returns the program of this rank for a program of one device.
  Graph lay(ModelPrograms.Traced traced) {
    List<PlacedGraph> passes = passes(traced);
    return passes.isEmpty() ? traced.graph() : InnerCollectives.lower(passes.getLast().graph());
  }

  /// Returns what each axis makes of a program of one device: first experts are spread over ranks,
  /// then positions, then features. Collectives lie along any dimension yet.
  List<PlacedGraph> passes(ModelPrograms.Traced traced) {
    List<PlacedGraph> passes = new ArrayList<>();
    int parts = 1; // of the positions, of which the program so far has one
    if (model.expert().ranks() > 1) {
      passes.add(AxisLayout.lay(traced.graph(), model.expert(), overExperts(traced)));
      parts = isSequence ? model.expert().ranks() : 1;
    }
    if (context.ranks() > 1) {
      passes.add(AxisLayout.lay(last(traced, passes), context, overPositions(traced)));
      parts *= context.ranks();
    }
    if (model.tensor().ranks() > 1) {
      Optional<TokenSplit> tokens =
          isSequence ? Optional.of(tokens(traced, parts)) : Optional.empty();
      Map<String, Placement.Shard> cut = Map.of();
      AxisWishes wishes = wishes(traced, this::overFeatures, cut, tokens);
      passes.add(AxisLayout.lay(last(traced, passes), model.tensor(), wishes));
    }
    return passes;
  }

  private static Graph last(ModelPrograms.Traced traced, List<PlacedGraph> passes) {
    return passes.isEmpty() ? traced.graph() : passes.getLast().graph();
  }

  /// Every rank has some experts, and all of the rest: of all positions, or of some.
  private AxisWishes overExperts(ModelPrograms.Traced traced) {
    Optional<TokenSplit> tokens = isSequence ? Optional.of(tokens(traced, 1)) : Optional.empty();
    Map<String, Placement.Shard> cut = tokens.map(Grid::cut).orElse(Map.of());
    return wishes(
        traced, p -> p.ofExperts() ? Placement.of(p.split()) : Placement.replicate(), cut, tokens);
  }

  /// How what a place on the axis of experts holds of a parameter lies over that of features.
  private Placement overFeatures(Parameter parameter) {
    if (!parameter.ofExperts()) {
      return Placement.of(parameter.split());
    }
    Blocks blocks = parameter.split().blocks();
    int held = blocks.count() / model.expert().ranks();
    return new Placement.Shard(parameter.split().dim(), new Blocks(blocks.outer(), held));
  }

  /// Every rank has all weights, and some positions of everything but keys and values and what
  /// experts are given. Of experts, which see tokens of all positions, it computes some: if they
  /// are as many, and are not dealt out over features too, whose pass would gather them again.
  private AxisWishes overPositions(ModelPrograms.Traced traced) {
    TokenSplit tokens = tokens(traced, 1);
    Map<String, Placement.Shard> cut = cut(tokens);
    for (ParameterUse use : traced.uses()) {
      if (model.tensor().ranks() == 1
          && use.parameter().ofExperts()
          && overFeatures(use.parameter()) instanceof Placement.Shard experts
          && experts.blocks().count() % context.ranks() == 0) {
        cut.put(use.inputName(), experts);
      }
    }
    return wishes(traced, _ -> Placement.replicate(), cut, Optional.of(tokens));
  }

  /// How tokens are spread of which the rank has one part of several already.
  private static TokenSplit tokens(ModelPrograms.Traced traced, int parts) {
    Shape all = traced.graph().input(ModelPrograms.TOKENS).type().shape();
    Shape held = all.with(1, all.dim(1) / parts);
    return new TokenSplit(held, traced.tokenBlocks() / parts, ModelPrograms.LOSS_SUM);
  }

  /// Every rank reads its positions.
  private static Map<String, Placement.Shard> cut(TokenSplit tokens) {
    Map<String, Placement.Shard> cut = new HashMap<>();
    cut.put(ModelPrograms.TOKENS, tokens.shard());
    cut.put(ModelPrograms.TARGETS, tokens.shard());
    return cut;
  }

  private static AxisWishes wishes(
      ModelPrograms.Traced traced,
      Function<Parameter, Placement> placement,
      Map<String, Placement.Shard> cut,
      Optional<TokenSplit> tokens) {
    Map<String, Placement> inputs = new HashMap<>();
    Map<String, Placement> outputs = new HashMap<>();
    for (ParameterUse use : traced.uses()) {
      inputs.put(use.inputName(), placement.apply(use.parameter()));
      outputs.put(use.gradientName(), placement.apply(use.parameter()));
    }
    return new AxisWishes(inputs, outputs, asTheyLie(traced.graph()), cut, tokens);
  }

  /// What goes from stage to stage does so as it lies.
  private static Set<String> asTheyLie(Graph graph) {
    return graph.outputs().stream()
        .map(Graph.Named::name)
        .filter(name -> name.startsWith(ModelTrace.BORDER) || name.startsWith(GRADIENT_OF_BORDER))
        .collect(Collectors.toSet());
  }
}
