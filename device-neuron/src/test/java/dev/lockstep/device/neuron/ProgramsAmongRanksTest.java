package dev.lockstep.device.neuron;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowable;

import dev.lockstep.device.Device;
import dev.lockstep.device.DeviceCollectives;
import dev.lockstep.device.DeviceOptions;
import dev.lockstep.device.DeviceRanks;
import dev.lockstep.device.Program;
import dev.lockstep.device.RankGrid;
import dev.lockstep.device.Stream;
import dev.lockstep.device.Support;
import dev.lockstep.failure.DeviceException;
import dev.lockstep.failure.DeviceLostException;
import dev.lockstep.graph.Graph;
import dev.lockstep.graph.GraphBuilder;
import dev.lockstep.graph.LaneSplit;
import dev.lockstep.graph.Primitive;
import dev.lockstep.graph.Primitive.Add;
import dev.lockstep.graph.Primitive.AllReduce;
import dev.lockstep.graph.ReduceOp;
import dev.lockstep.graph.Value;
import dev.lockstep.graph.ValueType;
import dev.lockstep.memory.Buffer;
import dev.lockstep.memory.MemoryPool;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Shape;
import dev.lockstep.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/// Programs that keep their collectives inside, on stand-ins of several ranks in one process.
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
@Timeout(60)
final class ProgramsAmongRanksTest {
  private static final int MOST_RANKS = 4;
  private static final RankGrid PAIR = line(2);

  private final List<StandIn> standIns = new ArrayList<>();

  ProgramsAmongRanksTest() {
    for (int rank = 0; rank < MOST_RANKS; rank++) {
      standIns.add(StandIn.build());
    }
  }

  @BeforeEach
  void reset() {
    standIns.forEach(StandIn::reset);
  }

  private static RankGrid line(int ranks) {
    return new RankGrid(List.of(new RankGrid.Axis("dp", ranks)));
  }

  private static DeviceRanks ranks(String test, int rank, RankGrid grid, Duration timeout) {
    return new DeviceRanks(grid, rank, true, test + ":4711", timeout);
  }

  /// `x + x`, summed over the ranks.
  private static Graph sum(int ranks) {
    GraphBuilder builder = new GraphBuilder("sum");
    Value x = builder.input("x", ValueType.f32(3));
    Value twice = builder.one(new Add(), x, x);
    Primitive all = new AllReduce("dp", new ReduceOp.Sum(), LaneSplit.onePerRank(ranks));
    builder.output("y", builder.one(all, twice));
    return builder.build();
  }

  /// Runs [#sum] on one rank and returns what it makes of a constant.
  private float run(DeviceRanks ranks, float constant) {
    try (MemoryPool pool = MemoryPool.root("rank " + ranks.rank(), 1 << 20);
        Device device = open(pool, ranks);
        Buffer memory = device.allocate("memory", 24);
        Program program = device.compile(sum(ranks.grid().ranks()));
        Stream stream = device.newStream();
        Arena arena = Arena.ofConfined()) {
      Tensor x = new Tensor(memory, 0, DType.F32, Shape.of(3));
      Tensor y = new Tensor(memory, 12, DType.F32, Shape.of(3));
      MemorySegment host = arena.allocate(ValueLayout.JAVA_FLOAT, 3);
      host.setAtIndex(ValueLayout.JAVA_FLOAT, 1, constant);
      stream.copyIn(x, host);
      stream.run(program.bind(Map.of("x", x, "y", y)));
      stream.synchronize();
      stream.copyOut(host, y);
      return host.getAtIndex(ValueLayout.JAVA_FLOAT, 1);
    }
  }

  private Device open(MemoryPool pool, DeviceRanks ranks) {
    DeviceOptions options = new DeviceOptions(pool, 1, 0).among(Optional.of(ranks));
    return standIns.get(ranks.rank()).provider().open(0, options);
  }

  @ParameterizedTest(name = "ranks={0}")
  @CsvSource({"2, 6", "4, 20"})
  void meetInTheirCollectives(int ranks, float expected) throws Exception {
    try (ExecutorService threads = Executors.newFixedThreadPool(ranks)) {
      List<Future<Float>> all = new ArrayList<>();
      for (int rank = 0; rank < ranks; rank++) {
        DeviceRanks place = ranks("meet" + ranks, rank, line(ranks), Duration.ofSeconds(30));
        all.add(threads.submit(() -> run(place, place.rank() + 1)));
      }
      for (Future<Float> each : all) {
        assertThat(each.get()).isEqualTo(expected);
      }
    }
    standIns.forEach(standIn -> assertThat(standIn.used()).isZero());
  }

  @Test
  void aRankWhosePeerDoesNotComeIsToldSo() {
    DeviceRanks alone = ranks("alone", 1, PAIR, Duration.ofSeconds(1));
    List<String> before = variables();
    assertThat(catchThrowable(() -> run(alone, 1)))
        .isInstanceOf(DeviceException.class)
        .isNotInstanceOf(DeviceLostException.class)
        .hasMessageContaining("function=nrt_execute, status=5 TIMEOUT")
        .hasMessageContaining("start the ranks again from the last checkpoint");
    assertThat(standIns.get(1).timeout()).isEqualTo("1");
    assertThat(standIns.get(1).root()).isEqualTo("alone:4711");
    assertThat(variables()).isEqualTo(before);
    assertThat(standIns.get(1).used()).isZero();
  }

  /// What this process itself has set of what a session sets.
  private List<String> variables() {
    StandIn standIn = standIns.get(1);
    return List.of(
        standIn.environment("NEURON_RT_EXEC_TIMEOUT"),
        standIn.environment("NEURON_RT_ROOT_COMM_ID"));
  }

  @Test
  void aFailedLoadNamesTheRanksAndTheirRoot() {
    standIns.getFirst().fail("nrt_load_collectives", 0, 1206);
    DeviceRanks first = ranks("failing", 0, PAIR, Duration.ofSeconds(1));
    assertThat(catchThrowable(() -> run(first, 1)))
        .isInstanceOf(DeviceException.class)
        .hasMessageContaining("function=nrt_load_collectives, status=1206 NETWORK_PROXY_FAILURE")
        .hasMessageContaining("rank=0, ranks=2, root=failing:4711");
    assertThat(standIns.getFirst().used()).isZero();
  }

  @Test
  void collectivesAreKeptOnlyAmongRanksAndWhereTheUserLetsThem() {
    AllReduce overData = new AllReduce("dp", new ReduceOp.Sum(), LaneSplit.onePerRank(2));
    AllReduce elsewhere = new AllReduce("tp", new ReduceOp.Sum(), LaneSplit.onePerRank(2));
    List<ValueType> operand = List.of(ValueType.f32(3));
    DeviceRanks ranks = ranks("kept", 0, PAIR, Duration.ofSeconds(1));
    try (MemoryPool pool = MemoryPool.root("kept", 1 << 20)) {
      DeviceOptions options = new DeviceOptions(pool, 1, 0);
      try (Device among = open(pool, ranks)) {
        assertThat(among.supports(overData, operand)).isEqualTo(new Support.Yes());
        assertThat(among.promisesInPrograms())
            .contains(new DeviceCollectives.Promises(true, false, false, true));
        assertThat(among.supports(elsewhere, operand)).isInstanceOf(Support.No.class);
        assertThat(among.supports(overData, List.of(new ValueType(DType.F64, Shape.of(3)))))
            .isInstanceOf(Support.No.class);
      }
      try (Device alone = standIns.get(1).provider().open(0, options)) {
        assertThat(alone.supports(overData, operand)).isInstanceOf(Support.No.class);
        assertThat(alone.promisesInPrograms()).isEmpty();
      }
      NeuronDeviceProvider byHost =
          standIns.get(2).provider(Map.of(NeuronHost.COLLECTIVES, "host"));
      assertThat(byHost.keepsCollectives()).isFalse();
      try (Device device = byHost.open(0, options.among(Optional.of(ranks)))) {
        assertThat(device.supports(overData, operand)).isInstanceOf(Support.No.class);
      }
    }
  }

  @Test
  void theUsersOwnRootAndTimeoutStay() {
    NeuronHost host =
        new NeuronHost(
            Map.of("NEURON_RT_ROOT_COMM_ID", "10.0.0.1:46820", "NEURON_RT_EXEC_TIMEOUT", "600"),
            standIns.getFirst().devices());
    DeviceRanks ranks = ranks("other", 0, PAIR, Duration.ofSeconds(5));
    assertThat(host.variables(0, Optional.of(ranks)))
        .doesNotContainKeys("NEURON_RT_ROOT_COMM_ID", "NEURON_RT_EXEC_TIMEOUT");
  }
}
