package dev.lockstep.device.neuron.hlo;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import dev.lockstep.device.RankGrid;
import dev.lockstep.device.Support;
import dev.lockstep.graph.Graph;
import dev.lockstep.graph.GraphBuilder;
import dev.lockstep.graph.LaneSplit;
import dev.lockstep.graph.Primitive;
import dev.lockstep.graph.Primitive.AllGather;
import dev.lockstep.graph.Primitive.AllReduce;
import dev.lockstep.graph.Primitive.BroadcastFrom;
import dev.lockstep.graph.Primitive.ReduceScatter;
import dev.lockstep.graph.ReduceOp;
import dev.lockstep.graph.SumTree;
import dev.lockstep.graph.Value;
import dev.lockstep.graph.ValueType;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Shape;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

/// Collectives of several replicas: what they compute, in which order, and which are refused.
@Timeout(60)
final class CollectivesTest {
  private static final int WIDE = (int) Collectives.SPLIT_ELEMENTS + 3;

  static RankGrid line(int ranks) {
    return new RankGrid(List.of(new RankGrid.Axis("dp", ranks)));
  }

  /// A sum of `lanes` lanes over `ranks` ranks, as a graph of one rank.
  private static Graph sum(Primitive op, LaneSplit lanes, long... shape) {
    return sumOfRank(0, op, lanes, shape);
  }

  private static Graph sumOfRank(int rank, Primitive op, LaneSplit lanes, long... shape) {
    GraphBuilder builder = new GraphBuilder("sum");
    List<Value> held = new ArrayList<>();
    for (int i = 0; i < lanes.ranks().get(rank).size(); i++) {
      held.add(builder.input("x" + i, ValueType.f32(shape)));
    }
    builder.output("y", builder.apply(op, held).getFirst());
    return builder.build();
  }

  /// The elements of a lane: numbers whose sum depends on the order in which they are added.
  private static double lane(int lane, int element) {
    return Math.scalb(1.0 + element % 7, 50 * (lane % 3)) * (lane % 2 == 0 ? 1 : -1);
  }

  /// What the tree makes of a subtree of lanes.
  private static double tree(int first, int size, int element) {
    if (size == 1) {
      return lane(first, element);
    }
    int left = SumTree.left(size);
    return tree(first, left, element) + tree(first + left, size - left, element);
  }

  private static List<Map<String, double[]>> inputs(LaneSplit lanes, int size) {
    List<Map<String, double[]>> inputs = new ArrayList<>();
    for (List<SumTree.Subtree> held : lanes.ranks()) {
      Map<String, double[]> own = new HashMap<>();
      for (SumTree.Subtree subtree : held) {
        double[] elements = new double[size];
        for (int i = 0; i < size; i++) {
          elements[i] = tree(subtree.first(), subtree.size(), i);
        }
        own.put("x" + own.size(), elements);
      }
      inputs.add(own);
    }
    return inputs;
  }

  private static final String GATHER = "all-gather";
  private static final String SWAP = "collective-permute";

  @ParameterizedTest(name = "lanes={0}, ranks={1}, elements={2}")
  @CsvSource({
    "2, 2, 5, " + SWAP,
    "3, 2, 5, " + SWAP,
    "8, 2, 5, " + SWAP,
    "6, 2, 5, " + GATHER,
    "4, 4, 5, " + GATHER,
    "8, 4, 5, " + GATHER,
    "12, 4, 1, " + GATHER
  })
  void addsByTheTreeOfTheLanes(int lanes, int ranks, int size, String exchange) {
    Emitted emitted = addsByTheTree(LaneSplit.contiguous(lanes, ranks), size);
    assertThat(exchanges(emitted)).containsOnly(exchange);
  }

  /// What ranks send each other.
  private static List<String> exchanges(Emitted emitted) {
    return HloProgram.read(emitted.module().proto()).main().instructions().stream()
        .map(HloProgram.Instruction::opcode)
        .filter(HloReplicas::isCollective)
        .toList();
  }

  @Test
  void ranksOfEachGroupOfTwoSwap() {
    RankGrid grid = new RankGrid(List.of(new RankGrid.Axis("dp", 2), new RankGrid.Axis("tp", 2)));
    AllReduce op = new AllReduce("dp", new ReduceOp.Sum(), LaneSplit.onePerRank(2));
    Emitted emitted = Emitted.of(sum(op, op.lanes(), 1), grid, SumOrder.LANE_TREE);
    assertThat(exchanges(emitted)).containsExactly(SWAP);
    List<Map<String, double[]>> inputs = new ArrayList<>();
    for (int rank = 0; rank < 4; rank++) {
      inputs.add(Map.of("x0", new double[] {Math.scalb(1.0, 8 * rank)}));
    }
    List<Map<String, double[]>> found = emitted.interpreted(inputs);
    assertThat(found)
        .extracting(each -> Emitted.numbers(each, "y")[0])
        .containsExactly(0x1p0 + 0x1p16, 0x1p8 + 0x1p24, 0x1p0 + 0x1p16, 0x1p8 + 0x1p24);
  }

  /// Which zero is the least of a positive and a negative one may depend on their order.
  @Test
  void leastAndGreatestAreGathered() {
    for (ReduceOp least : List.of(new ReduceOp.Min(), new ReduceOp.Max())) {
      AllReduce op = new AllReduce("dp", least, LaneSplit.onePerRank(2));
      Emitted emitted = Emitted.of(sum(op, op.lanes(), 2), line(2), SumOrder.LANE_TREE);
      assertThat(exchanges(emitted)).containsExactly(GATHER);
    }
  }

  @Test
  void addsWideSumsInPartsByTheTreeOfTheLanes() {
    Emitted emitted = addsByTheTree(LaneSplit.contiguous(4, 4), WIDE);
    assertThat(exchanges(emitted)).containsExactly("all-to-all", GATHER);
  }

  private static Emitted addsByTheTree(LaneSplit lanes, int size) {
    AllReduce op = new AllReduce("dp", new ReduceOp.Sum(), lanes);
    Emitted emitted =
        Emitted.of(sum(op, lanes, size), line(lanes.ranks().size()), SumOrder.LANE_TREE);
    for (Map<String, double[]> found : emitted.interpreted(inputs(lanes, size))) {
      for (int i = 0; i < size; i += Math.max(1, size / 5)) {
        assertThat(Emitted.numbers(found, "y")[i]).isEqualTo(tree(0, lanes.lanes(), i));
      }
    }
    return emitted;
  }

  @ParameterizedTest
  @EnumSource(SumOrder.class)
  void scattersSums(SumOrder order) {
    LaneSplit lanes = LaneSplit.onePerRank(4);
    ReduceScatter op = new ReduceScatter("dp", new ReduceOp.Avg(), lanes, 1);
    Emitted emitted = Emitted.of(sum(op, lanes, 2, 8), line(4), order);
    List<Map<String, double[]>> inputs = new ArrayList<>();
    for (int rank = 0; rank < 4; rank++) {
      double[] own = new double[16];
      for (int i = 0; i < own.length; i++) {
        own[i] = i + 100 * rank;
      }
      inputs.add(Map.of("x0", own));
    }
    List<Map<String, double[]>> found = emitted.interpreted(inputs);
    for (int rank = 0; rank < 4; rank++) {
      assertThat(found.get(rank).get("y"))
          .containsExactly(150 + 2 * rank, 151 + 2 * rank, 158 + 2 * rank, 159 + 2 * rank);
    }
  }

  @ParameterizedTest
  @EnumSource(SumOrder.class)
  void averagesAreThoseOfTheLanes(SumOrder order) {
    LaneSplit lanes = LaneSplit.contiguous(4, 2);
    AllReduce op = new AllReduce("dp", new ReduceOp.Avg(), lanes);
    Emitted emitted = Emitted.of(sum(op, lanes, 1), line(2), order);
    // Each rank brings the sum of two lanes.
    List<Map<String, double[]>> found =
        emitted.interpreted(
            List.of(Map.of("x0", new double[] {6}), Map.of("x0", new double[] {4})));
    assertThat(found.get(0).get("y")).containsExactly(2.5);
    assertThat(found.get(1).get("y")).containsExactly(2.5);
  }

  static List<ReduceOp> reduceOps() {
    return List.of(
        new ReduceOp.Sum(),
        new ReduceOp.Prod(),
        new ReduceOp.Min(),
        new ReduceOp.Max(),
        new ReduceOp.Avg(),
        new ReduceOp.PreMulSum(0.5));
  }

  @ParameterizedTest
  @EnumSource(SumOrder.class)
  void joinsByEveryReduceOp(SumOrder order) {
    LaneSplit lanes = LaneSplit.onePerRank(2);
    double[][] expected = {{5, 1}, {6, -12}, {2, -3}, {3, 4}, {2.5, 0.5}, {2.5, 0.5}};
    for (int i = 0; i < reduceOps().size(); i++) {
      AllReduce op = new AllReduce("dp", reduceOps().get(i), lanes);
      Emitted emitted = Emitted.of(sum(op, lanes, 2), line(2), order);
      List<Map<String, double[]>> found =
          emitted.interpreted(
              List.of(Map.of("x0", new double[] {2, 4}), Map.of("x0", new double[] {3, -3})));
      assertThat(found.get(0).get("y")).as("%s", op).isEqualTo(expected[i]);
      assertThat(found.get(1).get("y")).as("%s", op).isEqualTo(expected[i]);
    }
  }

  /// BF16 has neither 257 nor a third; 0.99609375 and 0.83203125 are nearest to the quotients.
  @ParameterizedTest
  @EnumSource(SumOrder.class)
  void narrowFloatsAreScaledByTheNumberItself(SumOrder order) {
    assertThat(narrow(new ReduceOp.Avg(), LaneSplit.contiguous(257, 1), order, 256))
        .isEqualTo(0.99609375);
    assertThat(narrow(new ReduceOp.PreMulSum(1 / 3.0), LaneSplit.onePerRank(1), order, 2.5))
        .isEqualTo(0.83203125);
  }

  /// What becomes of a number of one rank, in BF16.
  private static double narrow(ReduceOp reduce, LaneSplit lanes, SumOrder order, double number) {
    AllReduce op = new AllReduce("dp", reduce, lanes);
    GraphBuilder builder = new GraphBuilder("narrow");
    List<Value> held = new ArrayList<>();
    Map<String, double[]> inputs = new HashMap<>();
    for (int i = 0; i < lanes.ranks().getFirst().size(); i++) {
      String name = "x" + i;
      held.add(builder.input(name, new ValueType(DType.BF16, Shape.of(1))));
      inputs.put(name, new double[] {i == 0 ? number : 0});
    }
    builder.output("y", builder.apply(op, held).getFirst());
    Emitted emitted = Emitted.of(builder.build(), line(1), order);
    return Emitted.numbers(emitted.interpreted(List.of(inputs)).getFirst(), "y")[0];
  }

  @Test
  void joinsBitsAndTruthOfIntegers() {
    LaneSplit lanes = LaneSplit.onePerRank(2);
    List<ReduceOp> ops =
        List.of(
            new ReduceOp.BitAnd(),
            new ReduceOp.BitOr(),
            new ReduceOp.BitXor(),
            new ReduceOp.LogicalAnd(),
            new ReduceOp.LogicalOr(),
            new ReduceOp.LogicalXor());
    double[][] expected = {{4, 0}, {7, 2}, {3, 2}, {1, 0}, {1, 1}, {0, 1}};
    for (int i = 0; i < ops.size(); i++) {
      GraphBuilder builder = new GraphBuilder("bits");
      Value x = builder.input("x", ValueType.i32(2));
      builder.output("y", builder.one(new AllReduce("dp", ops.get(i), lanes), x));
      Emitted emitted = Emitted.of(builder.build(), line(2), SumOrder.COMPILER);
      List<Map<String, double[]>> found =
          emitted.interpreted(
              List.of(Map.of("x", new double[] {6, 0}), Map.of("x", new double[] {5, 2})));
      assertThat(found.get(1).get("y")).as("%s", ops.get(i)).isEqualTo(expected[i]);
    }
  }

  /// Neuron's collectives compute in float32.
  @Test
  void noCollectiveComputesWithIntegers() {
    LaneSplit lanes = LaneSplit.onePerRank(2);
    GraphBuilder builder = new GraphBuilder("integers");
    Value x = builder.input("x", ValueType.i32(2));
    builder.output("sum", builder.one(new AllReduce("dp", new ReduceOp.Sum(), lanes), x));
    builder.output("part", builder.one(new ReduceScatter("dp", new ReduceOp.Sum(), lanes, 0), x));
    Emitted emitted = Emitted.of(builder.build(), line(2), SumOrder.COMPILER);
    assertThat(exchanges(emitted)).containsExactly(SWAP, "all-to-all");
    List<Map<String, double[]>> found =
        emitted.interpreted(
            List.of(
                Map.of("x", new double[] {(1 << 24) + 1, 3}),
                Map.of("x", new double[] {2, 1 << 24})));
    assertThat(found.get(0).get("sum")).containsExactly((1 << 24) + 3, (1 << 24) + 3);
    assertThat(found.get(1).get("part")).containsExactly((1 << 24) + 3);
  }

  @Test
  void gathersAndBroadcastsAlongEachAxisOfAMesh() {
    RankGrid grid = new RankGrid(List.of(new RankGrid.Axis("dp", 2), new RankGrid.Axis("tp", 2)));
    GraphBuilder builder = new GraphBuilder("gather");
    Value x = builder.input("x", ValueType.f32(2, 1));
    builder.output("dp", builder.one(new AllGather("dp", 2, 1), x));
    builder.output("tp", builder.one(new AllGather("tp", 2, 0), x));
    builder.output("from", builder.one(new BroadcastFrom("tp", 1), x));
    Emitted emitted = Emitted.of(builder.build(), grid, SumOrder.LANE_TREE);
    List<Map<String, double[]>> inputs = new ArrayList<>();
    for (int rank = 0; rank < 4; rank++) {
      inputs.add(Map.of("x", new double[] {rank, 10 + rank}));
    }
    List<Map<String, double[]>> found = emitted.interpreted(inputs);
    assertThat(found.get(3).get("dp")).containsExactly(1, 3, 11, 13);
    assertThat(found.get(3).get("tp")).containsExactly(2, 12, 3, 13);
    assertThat(found.get(0).get("from")).containsExactly(1, 11);
  }

  /// Each rank runs a module of its own, which meets the others' in the same collectives.
  @ParameterizedTest(name = "lanes={0}, ranks={1}, {2}")
  @CsvSource({"9, 2, LANE_TREE", "13, 4, LANE_TREE", "9, 2, COMPILER"})
  void joinsUnevenNumbersOfSubtrees(int lanes, int ranks, SumOrder order) {
    LaneSplit split = LaneSplit.contiguous(lanes, ranks);
    assertThat(split.ranks().stream().map(List::size).distinct().count()).isGreaterThan(1);
    AllReduce op = new AllReduce("dp", new ReduceOp.Sum(), split);
    List<HloProgram> programs = new ArrayList<>();
    List<List<double[]>> parameters = new ArrayList<>();
    List<Map<String, double[]>> inputs = inputs(split, 1);
    List<Graph> graphs = new ArrayList<>();
    for (int rank = 0; rank < ranks; rank++) {
      Graph graph = sumOfRank(rank, op, split, 1);
      Emitted emitted = Emitted.of(graph, line(ranks), order);
      graphs.add(graph);
      programs.add(HloProgram.read(emitted.module().proto()));
      parameters.add(emitted.parameters(rank, inputs.get(rank)));
    }
    assertThat(HloEmitter.areOneProgram(graphs)).isInstanceOf(Support.No.class);
    for (List<double[]> found : HloReplicas.run(programs, parameters)) {
      double expected = tree(0, lanes, 0);
      if (order == SumOrder.LANE_TREE) {
        assertThat(found.getFirst()[0]).isEqualTo(expected);
      } else {
        assertThat(found.getFirst()[0]).isCloseTo(expected, within(Math.scalb(1e-12, 100)));
      }
    }
  }

  @Test
  void refusesCollectivesThatTheRanksHaveNot() {
    AllReduce elsewhere = new AllReduce("tp", new ReduceOp.Sum(), LaneSplit.onePerRank(2));
    assertThat(HloEmitter.supports(elsewhere, line(2)))
        .isInstanceOfSatisfying(
            Support.No.class, no -> assertThat(no.reason()).contains("axis=tp"));
    AllGather other = new AllGather("dp", 4, 0);
    assertThat(HloEmitter.supports(other, line(2)))
        .isInstanceOfSatisfying(
            Support.No.class, no -> assertThat(no.reason()).contains("ranks=4, axisRanks=2"));
    Graph graph = sum(elsewhere, elsewhere.lanes(), 4);
    assertThatThrownBy(() -> Emitted.of(graph, line(2), SumOrder.LANE_TREE))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("graph=sum");
  }

  private static Graph constant(double value, Primitive.Slice slice) {
    GraphBuilder builder = new GraphBuilder("own");
    Value x = builder.input("x", ValueType.f32(4));
    Value number = builder.one(new Primitive.Constant(ValueType.f32(2), value));
    builder.output("y", builder.one(new Primitive.Add(), builder.one(slice, x), number));
    return builder.build();
  }

  @Test
  void numbersThatFollowFromTheRankAreReadByIt() {
    List<Graph> graphs =
        List.of(
            constant(-0.5, new Primitive.Slice(List.of(0L), List.of(2L))),
            constant(10, new Primitive.Slice(List.of(2L), List.of(4L))));
    Emitted emitted = Emitted.of(graphs, line(2), SumOrder.LANE_TREE);
    assertThat(emitted.module().readsRank()).isTrue();
    Map<String, double[]> x = Map.of("x", new double[] {1, 2, 3, 4});
    List<Map<String, double[]>> found = emitted.interpreted(List.of(x, x));
    assertThat(found.get(0).get("y")).containsExactly(0.5, 1.5);
    assertThat(found.get(1).get("y")).containsExactly(13, 14);
  }

  /// What `neuronx-cc list-operators` must know.
  @Test
  void modulesHoldTheInstructionsThatTheDocumentationNames() {
    LaneSplit lanes = LaneSplit.onePerRank(2);
    List<Emitted> all = new ArrayList<>();
    HloEmitterTest.cases().map(op -> Emitted.of(op.graph())).forEach(all::add);
    List<Graph> ofEachRank = new ArrayList<>();
    for (int rank = 0; rank < 2; rank++) {
      ofEachRank.add(constant(rank, new Primitive.Slice(List.of(0L), List.of(2L))));
    }
    all.add(Emitted.of(ofEachRank, line(2), SumOrder.LANE_TREE));
    for (SumOrder order : SumOrder.values()) {
      List<Primitive> ops =
          List.of(
              new AllReduce("dp", new ReduceOp.Sum(), lanes),
              new AllReduce("dp", new ReduceOp.Max(), lanes),
              new ReduceScatter("dp", new ReduceOp.Sum(), lanes, 0));
      ops.forEach(op -> all.add(Emitted.of(sum(op, lanes, 4), line(2), order)));
    }
    Set<String> opcodes = new TreeSet<>();
    for (Emitted each : all) {
      HloProgram.read(each.module().proto())
          .main()
          .instructions()
          .forEach(instruction -> opcodes.add(instruction.opcode()));
    }
    assertThat(Path.of(System.getProperty("lockstep.home", ".."), "docs", "operating.md"))
        .content()
        .contains("`" + String.join("`, `", opcodes) + "`");
  }

  @Test
  void graphsThatDifferInMoreAreNotOneProgram() {
    Graph narrow = constant(1, new Primitive.Slice(List.of(0L), List.of(2L)));
    GraphBuilder builder = new GraphBuilder("own");
    Value x = builder.input("x", ValueType.f32(4));
    Value number = builder.one(new Primitive.Constant(ValueType.f32(2), 1));
    Value half = builder.one(new Primitive.Slice(List.of(0L), List.of(2L)), x);
    builder.output("y", builder.one(new Primitive.Mul(), half, number));
    Graph other = builder.build();
    assertThatThrownBy(() -> Emitted.of(List.of(narrow, other), line(2), SumOrder.LANE_TREE))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("graph=own, node=2, rank=0 op=Add, rank=1 op=Mul");
  }
}
