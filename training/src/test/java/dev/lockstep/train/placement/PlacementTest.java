package dev.lockstep.train.placement;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lockstep.graph.Blocks;
import dev.lockstep.graph.Composite;
import dev.lockstep.graph.Graph;
import dev.lockstep.graph.GraphBuilder;
import dev.lockstep.graph.LaneSplit;
import dev.lockstep.graph.Primitive;
import dev.lockstep.graph.ReduceOp;
import dev.lockstep.graph.Value;
import dev.lockstep.graph.ValueType;
import dev.lockstep.tensor.Shape;
import dev.lockstep.train.model.GptModel;
import dev.lockstep.train.model.GptShape;
import dev.lockstep.train.model.ModelPrograms;
import dev.lockstep.train.model.MoeModel;
import dev.lockstep.train.model.MoeShape;
import dev.lockstep.train.nn.ParameterUse;
import dev.lockstep.train.placement.CollectiveMutants.Mutant;
import dev.lockstep.train.placement.Placement.Partial;
import dev.lockstep.train.placement.Placement.Shard;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import org.junit.jupiter.api.Test;

/// A program laid out over ranks is typed: a collective that is missing, doubled or elsewhere does
/// not build.
class PlacementTest {
  private static final AxisPlace AXIS = new AxisPlace("tp", 2, 1);

  private static PlacedGraph lane() {
    ModelPrograms.Traced traced = traced(1);
    return AxisLayout.lay(traced.graph(), AXIS, wishes(traced, Optional.empty()));
  }

  private static ModelPrograms.Traced traced(int tokenBlocks) {
    GptModel model = new GptModel(new GptShape(2, 2, 8, 8, 16, true), 4);
    return new ModelPrograms(model, tokenBlocks).lane(2);
  }

  private static AxisWishes wishes(ModelPrograms.Traced traced, Optional<TokenSplit> tokens) {
    Map<String, Placement> inputs = new HashMap<>();
    Map<String, Placement> outputs = new HashMap<>();
    for (ParameterUse use : traced.uses()) {
      inputs.put(use.inputName(), Placement.of(use.parameter().split()));
      outputs.put(use.gradientName(), Placement.of(use.parameter().split()));
    }
    return new AxisWishes(inputs, outputs, Set.of(), Map.of(), tokens);
  }

  private static TokenSplit tokens() {
    return new TokenSplit(Shape.of(2, 8), 4, ModelPrograms.LOSS_SUM);
  }

  /// The lane program over an axis whose ranks share out features, and positions elsewhere.
  private static PlacedGraph sequenceLane() {
    ModelPrograms.Traced traced = traced(4);
    return AxisLayout.lay(traced.graph(), AXIS, wishes(traced, Optional.of(tokens())));
  }

  /// The lane program over an axis whose ranks share out positions everywhere.
  private static PlacedGraph contextLane() {
    return AxisLayout.lay(traced(4).graph(), new AxisPlace("cp", 2, 1), positions());
  }

  private static AxisWishes positions() {
    Shard part = tokens().shard();
    Map<String, Shard> cut = Map.of(ModelPrograms.TOKENS, part, ModelPrograms.TARGETS, part);
    return new AxisWishes(Map.of(), Map.of(), Set.of(), cut, Optional.of(tokens()));
  }

  /// The lane program of a model with experts over the axis that deals them out.
  private static PlacedGraph expertLane() {
    ModelPrograms.Traced traced = tracedWithExperts();
    Map<String, Placement> experts = experts(traced);
    AxisPlace axis = new AxisPlace("ep", 2, 1);
    return AxisLayout.lay(traced.graph(), axis, AxisWishes.of(experts, experts));
  }

  /// The same over an axis whose ranks share out positions wherever they do not share out experts.
  private static PlacedGraph expertAndContextLane() {
    ModelPrograms.Traced traced = tracedWithExperts();
    Map<String, Placement> experts = experts(traced);
    AxisWishes positions = positions();
    AxisWishes wishes =
        new AxisWishes(experts, experts, Set.of(), positions.cut(), positions.tokens());
    return AxisLayout.lay(traced.graph(), new AxisPlace("ep", 2, 1), wishes);
  }

  private static ModelPrograms.Traced tracedWithExperts() {
    MoeModel model = new MoeModel(new MoeShape(2, 2, 8, 6, 4, 2, 100, 10, 8, 16, true), 4);
    return new ModelPrograms(model, 4).lane(2);
  }

  private static Map<String, Placement> experts(ModelPrograms.Traced traced) {
    Map<String, Placement> experts = new HashMap<>();
    for (ParameterUse use : traced.uses()) {
      if (use.parameter().ofExperts()) {
        experts.put(use.inputName(), Placement.of(use.parameter().split()));
        experts.put(use.gradientName(), Placement.of(use.parameter().split()));
      }
    }
    return experts;
  }

  private static Map<String, Integer> kinds(Graph graph) {
    Map<String, Integer> kinds = new TreeMap<>();
    graph.nodes().stream()
        .filter(CollectiveMutants::isCollective)
        .forEach(node -> kinds.merge(node.op().label(), 1, Integer::sum));
    return kinds;
  }

  @Test
  void everyMutantOfEveryCollectiveIsRefused() {
    PlacedGraph lane = lane();
    // Embedding, two per block and pass, greatest, exponentials and target of the loss, head.
    assertThat(kinds(lane.graph())).isEqualTo(Map.of("AllReduce", 1 + 2 * 2 * 2 + 3 + 1));
    assertThat(refusedMutants("features", lane)).isEqualTo(5 * 13);
  }

  @Test
  void everyMutantIsRefusedWherePositionsAreSpreadToo() {
    PlacedGraph lane = sequenceLane();
    // Scattered: embedding, two per block and pass, head. Gathered: operands of two products of a
    // block and of the head, again on the way back, where gradients of two more of a block are, of
    // the embedding and of the positions. Reduced: three of the loss, gains and biases.
    assertThat(kinds(lane.graph()))
        .isEqualTo(
            Map.of(
                "ReduceScatter", 1 + 2 * 2 * 2 + 1,
                "AllGather", 2 * (2 * 2 + 1) + 2 * 2 + 2,
                "AllReduce", 3 + 6 * 2 + 2));
    assertThat(refusedMutants("features and positions", lane)).isEqualTo(6 * 10 + 4 * 16 + 5 * 17);
  }

  @Test
  void everyMutantIsRefusedWherePositionsAreSpreadEverywhere() {
    PlacedGraph lane = contextLane();
    // Keys and values of a block on either way, and their gradients; gradients of the positions;
    // loss, count, and the gradients of all other parameters, of the tied one twice.
    assertThat(kinds(lane.graph()))
        .isEqualTo(
            Map.of(
                "AllGather", 2 * 2 + 1, "ReduceScatter", 2 * 2, "AllReduce", 2 + 12 * 2 + 2 + 2));
    assertThat(refusedMutants("positions", lane)).isEqualTo(4 * 5 + 6 * 4 + 5 * 30);
  }

  @Test
  void everyMutantIsRefusedWhereExpertsAreSpread() {
    PlacedGraph lane = expertLane();
    // What experts give back, and the gradients of what they were given, in each block.
    assertThat(kinds(lane.graph())).isEqualTo(Map.of("AllGather", 2 * 2));
    assertThat(refusedMutants("experts", lane)).isEqualTo(4 * 4);
  }

  @Test
  void everyMutantIsRefusedWhereExpertsAndPositionsAreSpread() {
    PlacedGraph lane = expertAndContextLane();
    // Gathered in a block: keys and values on either way; choices, probabilities, seats and rows on
    // the way forth; seats, weights and gradients of rows on the way back; what experts give back,
    // and the gradients of what they were given; and gradients of the positions. Reduced: loss,
    // count, and the gradients of all parameters but these and experts, of the tied one twice.
    assertThat(kinds(lane.graph()))
        .isEqualTo(
            Map.of(
                "AllGather", 2 * (2 + 4 + 3 + 2) + 1,
                "ReduceScatter", 2 * 2,
                "AllReduce", 2 + 9 * 2 + 2 + 2));
    assertThat(refusedMutants("experts and positions", lane)).isEqualTo(4 * 23 + 6 * 4 + 5 * 24);
  }

  private static int refusedMutants(String what, PlacedGraph lane) {
    Graph graph = lane.graph();
    lane.check(graph);
    int collectives = 0;
    int mutants = 0;
    for (int i = 0; i < graph.nodes().size(); i++) {
      if (CollectiveMutants.isCollective(graph.nodes().get(i))) {
        collectives++;
        List<Mutant> wrong = new ArrayList<>(CollectiveMutants.misplaced(graph, i, List.of("dp")));
        wrong.addAll(CollectiveMutants.misjoined(graph, i));
        for (Mutant mutant : wrong) {
          mutants++;
          assertThatThrownBy(() -> lane.check(mutant.graph()))
              .as(mutant.what())
              .isInstanceOf(IllegalArgumentException.class);
        }
      }
    }
    System.out.printf(
        "placements: %d mutants of the %d collectives of a lane program split by %s refused%n",
        mutants, collectives, what);
    return mutants;
  }

  @Test
  void theSentenceNamesTheOpAndThePlacements() {
    PlacementRules rules = new PlacementRules(AXIS);
    ValueType type = ValueType.f32(2, 3);
    List<Value> operands = List.of(new Value(0, type), new Value(1, type));
    Placement terms = new Partial(new ReduceOp.Sum(), LaneSplit.contiguous(4, 2));
    Placement half = new Shard(1, new Blocks(1, 4));
    assertThatThrownBy(() -> rules.infer(new Primitive.Add(), operands, List.of(terms, half)))
        .hasMessage(
            "op does not take these placements: op=Add[], axis=tp, placements=[Partial(sum over 4),"
                + " Shard(dim=1, blocks=1x4)] (operands must lie alike and be no partial sums)");
    assertThatThrownBy(
            () ->
                rules.infer(
                    new Composite.LayerNorm(1e-5f),
                    List.of(operands.getFirst(), operands.getFirst(), operands.getFirst()),
                    List.of(half, Placement.replicate(), Placement.replicate())))
        .hasMessageContaining("op=LayerNorm")
        .hasMessageContaining("[Shard(dim=1, blocks=1x4), Replicate, Replicate]");
  }

  @Test
  void aSumIsSplitWhereEachBlockHasItsRangeOfEverySlice() {
    PlacementRules rules = new PlacementRules(AXIS);
    Placement half = new Shard(1, new Blocks(1, 4));
    Primitive sum = new Primitive.ReduceSum(List.of(0, 1), new Blocks(1, 2));
    Value row = new Value(0, ValueType.f32(1, 4));
    Value rows = new Value(0, ValueType.f32(2, 4));
    assertThat(rules.infer(sum, List.of(row), List.of(half)))
        .isEqualTo(List.of(new Partial(new ReduceOp.Sum(), LaneSplit.contiguous(4, 2))));
    assertThatThrownBy(() -> rules.infer(sum, List.of(rows), List.of(half)))
        .hasMessageContaining("a sum over the split dimension is cut as the dimension is");
    Primitive ofSlices = new Primitive.ReduceSum(List.of(0, 1), new Blocks(2, 2));
    assertThat(rules.infer(ofSlices, List.of(rows), List.of(half)))
        .isEqualTo(List.of(new Partial(new ReduceOp.Sum(), LaneSplit.contiguous(4, 2))));
  }

  @Test
  void anotherAxisGathersNoDimensionThatThisOneSplits() {
    PlacementRules rules = new PlacementRules(AXIS);
    List<Value> operands = List.of(new Value(0, ValueType.f32(2, 4)));
    List<Placement> rows = List.of(new Shard(0, new Blocks(1, 4)));
    assertThat(rules.infer(new Primitive.AllGather("ep", 2, 1), operands, rows)).isEqualTo(rows);
    assertThatThrownBy(() -> rules.infer(new Primitive.AllGather("ep", 2, 0), operands, rows))
        .hasMessageContaining("cuts the split dimension");
  }

  @Test
  void aSumThatIsNotCutAsItsOperandIsSplitIsGivenItWhole() {
    GraphBuilder builder = new GraphBuilder("sums");
    Value x = builder.input("x", ValueType.f32(2, 4));
    Value weight = builder.input("weight", ValueType.f32(4, 3));
    Primitive sum = new Primitive.ReduceSum(List.of(1), Blocks.WHOLE);
    builder.output("sum", builder.one(sum, x));
    Primitive product = new Primitive.MatMul(false, false, Blocks.WHOLE);
    builder.output("product", builder.one(product, x, weight));
    Map<String, Placement> inputs =
        Map.of("x", new Shard(1, new Blocks(1, 2)), "weight", new Shard(0, new Blocks(1, 2)));
    Graph laid = AxisLayout.lay(builder.build(), AXIS, AxisWishes.of(inputs, Map.of())).graph();
    assertThat(kinds(laid)).isEqualTo(Map.of("AllGather", 2));
  }

  @Test
  void everyRankHoldsWholeBlocks() {
    GptModel model = new GptModel(new GptShape(1, 2, 6, 6, 16, true), 4);
    ModelPrograms.Traced traced = new ModelPrograms(model, 1).lane(2);
    Map<String, Placement> inputs = new HashMap<>();
    traced
        .uses()
        .forEach(use -> inputs.put(use.inputName(), Placement.of(use.parameter().split())));
    AxisWishes wishes = AxisWishes.of(inputs, Map.of());
    assertThatThrownBy(() -> AxisLayout.lay(traced.graph(), AXIS, wishes))
        .hasMessageContaining("ranks do not hold whole blocks: axis=tp, ranks=2");
  }
}
