package dev.lockstep.device.neuron.hlo;

import dev.lockstep.device.RankGrid;
import dev.lockstep.graph.Closeness;
import dev.lockstep.graph.CompositeCases;
import dev.lockstep.graph.GraphBuilder;
import dev.lockstep.graph.LaneSplit;
import dev.lockstep.graph.OpCase;
import dev.lockstep.graph.Primitive;
import dev.lockstep.graph.PrimitiveCases;
import dev.lockstep.graph.ReduceOp;
import dev.lockstep.graph.Value;
import dev.lockstep.graph.ValueType;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/// Ops compiled and executed by XLA, many in one module, against the float64 reference.
@Tag("long")
@Timeout(300)
final class XlaOpsTest {
  // F32 sums of some thousand terms, and functions one after another.
  private static final double TOLERANCE = 5e-5;

  @TempDir private Path folder;

  @Test
  void everyPrimitiveIsExecuted() throws Exception {
    List<OpCase> cases = new ArrayList<>(PrimitiveCases.all());
    cases.addAll(PrimitiveCases.ofOtherTypes());
    execute(cases);
  }

  @Test
  void everyCompositeIsExecuted() throws Exception {
    execute(CompositeCases.all());
  }

  @Test
  void collectivesAreExecutedOnFourReplicas() throws Exception {
    RankGrid grid = new RankGrid(List.of(new RankGrid.Axis("dp", 2), new RankGrid.Axis("tp", 2)));
    LaneSplit pair = LaneSplit.onePerRank(2);
    GraphBuilder builder = new GraphBuilder("collectives");
    Value x = builder.input("x", ValueType.f32(4, 2));
    Primitive sum = new Primitive.AllReduce("dp", new ReduceOp.Sum(), pair);
    builder.output("sum", builder.one(sum, x));
    Primitive scattered = new Primitive.ReduceScatter("tp", new ReduceOp.Avg(), pair, 0);
    builder.output("scattered", builder.one(scattered, x));
    builder.output("gathered", builder.one(new Primitive.AllGather("tp", 2, 1), x));
    builder.output("from", builder.one(new Primitive.BroadcastFrom("dp", 1), x));
    ValueType wide = ValueType.f32(Collectives.SPLIT_ELEMENTS + 1);
    LaneSplit four = LaneSplit.contiguous(12, 4);
    RankGrid line = CollectivesTest.line(4);
    GraphBuilder all = new GraphBuilder("wide");
    Value a = all.input("a", wide);
    Value b = all.input("b", wide);
    Primitive.AllReduce ofAll = new Primitive.AllReduce("dp", new ReduceOp.Sum(), four);
    all.output("sum", all.apply(ofAll, List.of(a, b)).getFirst());
    XlaJudge xla = XlaJudge.find(folder);
    List<Map<String, double[]>> inputs = new ArrayList<>();
    for (int rank = 0; rank < 4; rank++) {
      double[] many = new double[(int) wide.shape().elements()];
      double[] few = new double[8];
      for (int i = 0; i < many.length; i++) {
        many[i] = rank + i % 1000;
        few[i % few.length] = 10 * rank + i % few.length;
      }
      inputs.add(Map.of("x", few, "a", many, "b", many));
    }
    List<Emitted> modules = new ArrayList<>();
    for (SumOrder order : SumOrder.values()) {
      modules.add(Emitted.of(builder.build(), grid, order));
      if (order == SumOrder.LANE_TREE) {
        modules.add(Emitted.of(all.build(), line, order));
      }
    }
    for (Emitted module : modules) {
      xla.add(module, inputs);
    }
    List<List<Map<String, double[]>>> found = xla.run();
    for (int i = 0; i < modules.size(); i++) {
      List<Map<String, double[]>> expected = modules.get(i).interpreted(inputs);
      for (int rank = 0; rank < 4; rank++) {
        Map<String, double[]> own = found.get(i).get(rank);
        expected
            .get(rank)
            .forEach(
                (name, elements) -> Closeness.assertClose(Emitted.numbers(own, name), elements, 0));
      }
    }
  }

  private void execute(List<OpCase> cases) throws Exception {
    XlaJudge xla = XlaJudge.find(folder);
    ManyCases all = ManyCases.of(cases);
    xla.add(Emitted.of(all.graph()), List.of(all.inputs()));
    Map<String, double[]> found = xla.run().getFirst().getFirst();
    all.expected()
        .forEach(
            (name, elements) -> {
              try {
                Closeness.assertClose(Emitted.numbers(found, name), elements, TOLERANCE);
              } catch (AssertionError e) {
                throw new AssertionError(
                    name + " of " + all.caseOf().get(name) + ": " + e.getMessage(), e);
              }
            });
  }
}
