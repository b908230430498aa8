package dev.lockstep.device.cpu;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.device.Device;
import dev.lockstep.graph.Blocks;
import dev.lockstep.graph.Composite;
import dev.lockstep.graph.CompositeCases;
import dev.lockstep.graph.OpCase;
import dev.lockstep.graph.PrimitiveCases;
import dev.lockstep.graph.Samples;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/// A row, or a sequence, has the same bits whatever the others are: alone, among others, and among
/// others that are not numbers; for every op that has rows ([RowCut]), whatever kernel does it.
@Timeout(60)
class RowIndependenceTest {
  private static final int ROWS = 21;
  private static final int SEQUENCES = 5;
  private static final List<Device> DEVICES = new ArrayList<>();

  @BeforeAll
  static void open() {
    DEVICES.add(GraphRun.device(1, KernelSet.SCALAR_BITS));
    DEVICES.add(GraphRun.device(1, 0));
    DEVICES.add(GraphRun.device(3, 0));
  }

  @AfterAll
  static void close() {
    DEVICES.forEach(Device::close);
  }

  private static Samples rows() {
    return new Samples(11).normal(ROWS, 70);
  }

  /// Some on more rows than the cases of every device have: more than go through a kernel together.
  private static Stream<OpCase> larger() {
    Composite linear = new Composite.Linear(false, new Blocks(1, 4));
    return Stream.of(
        rows().normal(70, 33).normal(33).of(linear),
        rows().of(new Composite.Gelu()),
        rows().normal(ROWS, 70).of(new Composite.SwiGlu()),
        rows().normal(70).normal(70).of(new Composite.LayerNorm(1e-5f)),
        rows().normal(70).of(new Composite.RmsNorm(1e-5f)),
        rows().targets(70, ROWS).of(new Composite.CrossEntropy(Blocks.WHOLE, new Blocks(1, 4))),
        new Samples(12).normal(SEQUENCES, 9, 3 * 34).of(new Composite.CausalAttention(2)),
        new Samples(13)
            .normal(SEQUENCES, 9, 4 * 17)
            .normal(SEQUENCES, 9, 2 * 17)
            .normal(SEQUENCES, 9, 2 * 17)
            .of(new Composite.GroupedAttention(4, 2, 0)));
  }

  static Stream<OpCase> ops() {
    return Stream.of(larger(), CompositeCases.all().stream(), PrimitiveCases.all().stream())
        .flatMap(cases -> cases)
        .filter(op -> RowCut.of(op).isPresent());
  }

  @ParameterizedTest(name = "{0}")
  @MethodSource("ops")
  void aRowHasTheSameBitsWhateverTheOthersAre(OpCase op) {
    RowCut cut = RowCut.of(op).orElseThrow();
    int rows = cut.count(op);
    int[] chosen = IntStream.of(0, 1, rows / 2, rows - 2, rows - 1).distinct().sorted().toArray();
    for (Device device : DEVICES) {
      try (GraphRun together = new GraphRun(device, op.graph())) {
        List<double[]> among = together.run(op.inputs());
        OpCase last = cut.alone(op, 0);
        GraphRun alone = new GraphRun(device, last.graph());
        for (int row : chosen) {
          OpCase own = cut.alone(op, row);
          if (!own.op().equals(last.op())) { // random numbers know their place
            alone.close();
            alone = new GraphRun(device, own.graph());
            last = own;
          }
          String where = "row %d, %s".formatted(row, device.info());
          List<double[]> amongNaN = together.run(cut.amongNaN(op, row).inputs());
          List<double[]> found = alone.run(own.inputs());
          for (int result : cut.results()) {
            double[] wanted = RowCut.row(among.get(result), row, rows);
            assertThat(found.get(result)).as("alone: %s", where).containsExactly(wanted);
            assertThat(RowCut.row(amongNaN.get(result), row, rows))
                .as("among NaN: %s", where)
                .containsExactly(wanted);
          }
        }
        alone.close();
      }
    }
  }
}
