package dev.lockstep.device.neuron;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lockstep.device.AheadOfTime;
import dev.lockstep.device.RankGrid;
import dev.lockstep.failure.DeviceException;
import dev.lockstep.graph.Blocks;
import dev.lockstep.graph.Graph;
import dev.lockstep.graph.GraphBuilder;
import dev.lockstep.graph.LaneSplit;
import dev.lockstep.graph.Primitive.Add;
import dev.lockstep.graph.Primitive.AllReduce;
import dev.lockstep.graph.Primitive.ScatterAdd;
import dev.lockstep.graph.ReduceOp;
import dev.lockstep.graph.Value;
import dev.lockstep.graph.ValueType;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.ServiceLoader;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/// What `lockstep compile` gets.
@Timeout(60)
final class NeuronAheadOfTimeTest {
  private final Map<String, byte[]> written = new LinkedHashMap<>();
  private final List<String> said = new ArrayList<>();

  private AheadOfTime.Build build(Graph graph, int ranks, String form) {
    RankGrid grid = new RankGrid(List.of(new RankGrid.Axis("dp", ranks)));
    return new AheadOfTime.Build(
        Map.of("program", List.of(graph)), grid, true, form, "trn2", written::put, said::add);
  }

  private static Graph sum() {
    GraphBuilder builder = new GraphBuilder("sum");
    Value x = builder.input("x\"y", ValueType.f32(2, 3));
    Value all = builder.one(new AllReduce("dp", new ReduceOp.Sum(), LaneSplit.onePerRank(2)), x);
    builder.outputInto("into", builder.one(new Add(), all, x), "x\"y");
    return builder.build();
  }

  @Test
  void writesModulesAndWhatTheyTake() {
    new NeuronAheadOfTime(Map.of()).write(build(sum(), 2, "hlo"));
    assertThat(written).containsOnlyKeys("program.hlo.pb", "program.json");
    assertThat(written.get("program.hlo.pb")).isNotEmpty();
    assertThat(text("program.json"))
        .isEqualTo(
            """
            {
              "name": "sum",
              "replicas": 2,
              "parameters": [
                {"name": "x_y", "graphName": "x\\"y", "dtype": "F32", "shape": [2, 3]}
              ],
              "results": [
                {"name": "into", "graphName": "into", "dtype": "F32", "shape": [2, 3]}
              ]
            }
            """);
    assertThat(said)
        .hasSize(1)
        .first()
        .asString()
        .startsWith("program.hlo.pb: 1 parameters, 1 results, ");
  }

  private String text(String file) {
    return new String(Objects.requireNonNull(written.get(file), file), StandardCharsets.UTF_8);
  }

  @Test
  void refusesCollectivesThatTheRanksDoNotFit() {
    assertThatThrownBy(() -> new NeuronAheadOfTime(Map.of()).write(build(sum(), 4, "hlo")))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("ranks=2, axisRanks=4");
  }

  @Test
  void saysThatThereIsNoCompiler() {
    NeuronAheadOfTime compiler = new NeuronAheadOfTime(Map.of("PATH", "/nowhere"));
    assertThatThrownBy(() -> compiler.write(build(sum(), 2, "neff")))
        .isInstanceOf(DeviceException.class)
        .hasMessageStartingWith("neuronx-cc is not on PATH");
  }

  @Test
  void isFoundByTheServiceLoader() {
    assertThat(ServiceLoader.load(AheadOfTime.class))
        .anySatisfy(
            found -> {
              assertThat(found.device()).isEqualTo("neuron");
              assertThat(found.forms()).containsExactly("neff", "hlo");
              assertThat(found.keepsCollectives("hlo")).isTrue();
              assertThat(found.targets()).containsExactly("trn2", "trn1", "trn3");
            });
  }

  @Test
  void leavesCollectivesToTheHostWhereTheUserSaysSo() {
    assertThat(new NeuronAheadOfTime(Map.of()).keepsCollectives("neff")).isTrue();
    NeuronAheadOfTime byHost = new NeuronAheadOfTime(Map.of(NeuronHost.COLLECTIVES, "host"));
    assertThat(byHost.keepsCollectives("neff")).isFalse();
    assertThat(byHost.keepsCollectives("hlo")).isTrue();
  }

  @Test
  void ranksWhoseGraphsDifferInMoreThanNumbersHaveModulesOfTheirOwn() {
    List<Graph> graphs = new ArrayList<>();
    for (long elements : new long[] {3, 5, 3}) {
      GraphBuilder builder = new GraphBuilder("shard");
      Value x = builder.input("x", ValueType.f32(elements));
      builder.output("y", builder.one(new Add(), x, x));
      graphs.add(builder.build());
    }
    RankGrid grid = new RankGrid(List.of(new RankGrid.Axis("dp", 3)));
    AheadOfTime.Build build =
        new AheadOfTime.Build(
            Map.of("program", graphs), grid, true, "hlo", "trn2", written::put, said::add);
    new NeuronAheadOfTime(Map.of()).write(build);
    assertThat(written.keySet())
        .containsExactly(
            "program-rank-0.hlo.pb",
            "program-rank-0.json",
            "program-rank-1.hlo.pb",
            "program-rank-1.json");
    assertThat(text("program-rank-0.json")).contains("\"ranks\": [0, 2]");
    assertThat(text("program-rank-1.json")).contains("\"ranks\": [1]");
  }

  @Test
  void refusesWhatTheDeviceWouldRefuse() {
    GraphBuilder builder = new GraphBuilder("counts");
    Value ids = builder.input("ids", ValueType.i32(4));
    Value ones = builder.input("ones", ValueType.i32(4, 1));
    builder.output("sums", builder.one(new ScatterAdd(3, Blocks.WHOLE), ids, ones));
    Graph counts = builder.build();
    assertThatThrownBy(() -> new NeuronAheadOfTime(Map.of()).write(build(counts, 1, "hlo")))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("dtype=I32 (scatter F32) (graph=counts, op=ScatterAdd)");
  }
}
