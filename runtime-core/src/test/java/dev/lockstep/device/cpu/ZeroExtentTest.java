package dev.lockstep.device.cpu;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.device.Device;
import dev.lockstep.graph.Closeness;
import dev.lockstep.graph.Composite;
import dev.lockstep.graph.CompositeCases;
import dev.lockstep.graph.OpCase;
import dev.lockstep.graph.PrimitiveCases;
import dev.lockstep.graph.ValueType;
import dev.lockstep.tensor.Shape;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.stream.LongStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/// Every op of no elements, or of sums of no terms, has what its definition says: nothing, zeros,
/// or what is left of the other operands.
@Timeout(60)
class ZeroExtentTest {
  private static final int LEAST_CASES = 100;
  private static final double TOLERANCE = 1e-5;

  /// The same op where every extent of one size is 0, for each size that its operands have; without
  /// those whose shape the op does not take.
  private static Stream<OpCase> withoutOneExtent(OpCase op) {
    return op.types().stream()
        .flatMapToLong(type -> LongStream.of(type.shape().dims()))
        .filter(extent -> extent > 1)
        .distinct()
        .mapToObj(extent -> without(op, extent))
        .flatMap(Optional::stream);
  }

  private static Optional<OpCase> without(OpCase op, long extent) {
    List<ValueType> types = new ArrayList<>();
    List<double[]> operands = new ArrayList<>();
    for (int i = 0; i < op.types().size(); i++) {
      ValueType type = op.types().get(i);
      long[] dims = LongStream.of(type.shape().dims()).map(d -> d == extent ? 0 : d).toArray();
      types.add(new ValueType(type.dtype(), Shape.of(dims)));
      operands.add(Arrays.copyOf(op.operands().get(i), Math.toIntExact(Shape.of(dims).elements())));
    }
    OpCase less = new OpCase(op.op(), types, operands);
    if (op.op() instanceof Composite.CrossEntropyGrad && types.get(1).shape().dim(-1) == 0) {
      return Optional.empty(); // targets in a vocabulary of nothing
    }
    try {
      less.graph();
    } catch (IllegalArgumentException _) {
      return Optional.empty(); // the op itself names the extent, or needs one
    }
    try {
      less.expected();
      return Optional.of(less);
    } catch (IndexOutOfBoundsException _) {
      return Optional.empty(); // indices into a table of no rows
    }
  }

  @Test
  void whatHasNoElementsComputesWhatItsDefinitionSays() {
    List<OpCase> cases =
        Stream.of(PrimitiveCases.all(), CompositeCases.all())
            .flatMap(List::stream)
            .flatMap(ZeroExtentTest::withoutOneExtent)
            .toList();
    assertThat(cases).hasSizeGreaterThan(LEAST_CASES);
    int[] widths = {KernelSet.SCALAR_BITS, 0};
    for (int bits : widths) {
      try (Device device = GraphRun.device(2, bits)) {
        for (OpCase each : cases) {
          try (GraphRun run = new GraphRun(device, each.graph())) {
            List<double[]> found = run.run(each.inputs());
            List<double[]> expected = each.expected();
            for (int i = 0; i < expected.size(); i++) {
              try {
                Closeness.assertClose(found.get(i), expected.get(i), TOLERANCE);
              } catch (AssertionError wrong) {
                throw new AssertionError("result " + i + " of " + each, wrong);
              }
            }
          }
        }
      }
    }
  }
}
