package dev.lockstep.device.cpu;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.params.provider.Arguments.arguments;

import dev.lockstep.device.Device;
import dev.lockstep.graph.Blocks;
import dev.lockstep.graph.Composite;
import dev.lockstep.graph.OpCase;
import dev.lockstep.graph.Samples;
import dev.lockstep.graph.ValueType;
import dev.lockstep.tensor.Shape;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/// A row, or a sequence, has the same bits alone as among others, whatever kernel does it.
@Timeout(60)
class RowIndependenceTest {
  private static final int ROWS = 21;
  private static final int SEQUENCES = 5;

  private static Samples rows() {
    return new Samples(11).normal(ROWS, 70);
  }

  /// Ops, and how many of their operands have rows of their own.
  static Stream<Arguments> ops() {
    Composite linear = new Composite.Linear(false, new Blocks(1, 4));
    return Stream.of(
        arguments(rows().normal(70, 33).normal(33).of(linear), 1),
        arguments(rows().of(new Composite.Gelu()), 1),
        arguments(rows().normal(ROWS, 70).of(new Composite.SwiGlu()), 2),
        arguments(rows().normal(70).normal(70).of(new Composite.LayerNorm(1e-5f)), 1),
        arguments(rows().normal(70).of(new Composite.RmsNorm(1e-5f)), 1),
        arguments(
            new Samples(12).normal(SEQUENCES, 9, 3 * 34).of(new Composite.CausalAttention(2)), 1),
        arguments(
            new Samples(13)
                .normal(SEQUENCES, 9, 4 * 17)
                .normal(SEQUENCES, 9, 2 * 17)
                .normal(SEQUENCES, 9, 2 * 17)
                .of(new Composite.GroupedAttention(4, 2, 0)),
            3));
  }

  @ParameterizedTest(name = "{0}")
  @MethodSource("ops")
  void aRowHasTheSameBitsAlone(OpCase all, int cut) {
    int rows = (int) all.types().getFirst().shape().dim(0);
    for (int threads : new int[] {1, 3}) {
      for (int bits : new int[] {KernelSet.SCALAR_BITS, 0}) {
        try (Device device = GraphRun.device(threads, bits)) {
          double[] together = run(device, all);
          int each = together.length / rows;
          for (int row = 0; row < rows; row++) {
            double[] among = Arrays.copyOfRange(together, row * each, (row + 1) * each);
            assertThat(run(device, alone(all, cut, row)))
                .as("row %d, %s", row, device.info())
                .containsExactly(among);
          }
        }
      }
    }
  }

  private static double[] run(Device device, OpCase op) {
    try (GraphRun run = new GraphRun(device, op.graph())) {
      return run.run(op.inputs()).getFirst();
    }
  }

  private static OpCase alone(OpCase all, int cut, int row) {
    List<ValueType> types = new ArrayList<>(all.types());
    List<double[]> operands = new ArrayList<>(all.operands());
    for (int i = 0; i < cut; i++) {
      long[] dims = types.get(i).shape().dims().clone();
      int each = operands.get(i).length / (int) dims[0];
      dims[0] = 1;
      types.set(i, new ValueType(types.get(i).dtype(), Shape.of(dims)));
      operands.set(i, Arrays.copyOfRange(operands.get(i), row * each, (row + 1) * each));
    }
    return new OpCase(all.op(), types, operands);
  }
}
