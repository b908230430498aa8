package dev.lockstep.device.cpu;

import dev.lockstep.device.Device;
import dev.lockstep.graph.Composite;
import dev.lockstep.graph.CompositeCases;
import dev.lockstep.graph.Decomposition;
import dev.lockstep.graph.Graph;
import dev.lockstep.graph.Op;
import dev.lockstep.graph.OpCase;
import dev.lockstep.graph.Primitive;
import dev.lockstep.graph.PrimitiveCases;
import dev.lockstep.graph.ReferenceInterpreter;
import dev.lockstep.graph.ShapeInference;
import dev.lockstep.graph.ValueType;
import dev.lockstep.tensor.DType;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/// What is not a number or not finite goes where IEEE arithmetic takes it by the definition of each
/// op, from whichever operand it comes, into whichever result, and nowhere else.
@Timeout(60)
class SpecialNumbersTest {
  private static final double[] SPECIALS = {
    Double.NaN, Double.POSITIVE_INFINITY, Double.NEGATIVE_INFINITY
  };

  /// Operands of more elements get a number that is not finite in one place only.
  private static final int MANY = 20_000;

  private static final List<Device> DEVICES = new ArrayList<>();

  @BeforeAll
  static void open() {
    DEVICES.add(GraphRun.device(1, KernelSet.SCALAR_BITS));
    DEVICES.add(GraphRun.device(1, 0));
  }

  @AfterAll
  static void close() {
    DEVICES.forEach(Device::close);
  }

  static Stream<OpCase> everything() {
    return Stream.of(PrimitiveCases.all(), CompositeCases.all())
        .flatMap(List::stream)
        .filter(op -> IntStream.range(0, op.types().size()).anyMatch(i -> takes(op, i)));
  }

  /// Whether an operand has elements that may be other than finite.
  private static boolean takes(OpCase op, int operand) {
    return op.types().get(operand).dtype() == DType.F32 && op.operands().get(operand).length > 0;
  }

  @ParameterizedTest
  @MethodSource("everything")
  void whatIsNotFiniteComesThroughAsDefined(OpCase op) {
    List<GraphRun> runs = DEVICES.stream().map(each -> new GraphRun(each, op.graph())).toList();
    for (int operand = 0; operand < op.types().size(); operand++) {
      if (takes(op, operand)) {
        int elements = op.operands().get(operand).length;
        for (double special : SPECIALS) {
          int[] places = {elements / 2, elements - 1};
          for (int at : elements > MANY ? new int[] {elements - 1} : places) {
            compare(op, runs, operand, at, special);
          }
        }
      }
    }
    runs.forEach(GraphRun::close);
  }

  private static void compare(OpCase op, List<GraphRun> runs, int operand, int at, double special) {
    List<double[]> operands = new ArrayList<>(op.operands());
    double[] poisoned = operands.get(operand).clone();
    poisoned[at] = special;
    operands.set(operand, poisoned);
    OpCase with = new OpCase(op.op(), op.types(), operands);
    List<double[]> wanted = rounded(with, with.expected());
    String what = "operand=%d, element=%d, number=%s, %s".formatted(operand, at, special, op);
    for (GraphRun run : runs) {
      List<double[]> found = run.run(with.inputs());
      if (mismatch(op.op(), found, wanted).isPresent()) {
        // Composites may also be what their primitives make of it, in another order.
        Graph primitives = Decomposition.expand(op.graph(), (_, _) -> false);
        wanted = rounded(with, ReferenceInterpreter.run(primitives, with.inputs()));
        Optional<String> wrong = mismatch(op.op(), found, wanted);
        if (wrong.isPresent()) {
          throw new AssertionError(wrong.get() + what);
        }
      }
    }
  }

  private static List<double[]> rounded(OpCase op, List<double[]> results) {
    List<ValueType> types = ShapeInference.infer(op.op(), op.types());
    return IntStream.range(0, results.size())
        .mapToObj(
            i ->
                types.get(i).dtype() == DType.F32
                    ? Arrays.stream(results.get(i)).map(x -> (float) x).toArray()
                    : results.get(i))
        .toList();
  }

  /// What the first number that is of another kind than the wanted one is, if there is one.
  private static Optional<String> mismatch(Op op, List<double[]> found, List<double[]> wanted) {
    for (int i = 0; i < found.size(); i++) {
      for (int e = 0; e < found.get(i).length; e++) {
        if (!isAsWanted(op, found.get(i)[e], wanted.get(i)[e])) {
          return Optional.of(
              "number is of another kind: result=%d, element=%d, found=%s, wanted=%s, "
                  .formatted(i, e, found.get(i)[e], wanted.get(i)[e]));
        }
      }
    }
    return Optional.empty();
  }

  private static boolean isAsWanted(Op op, double found, double wanted) {
    return switch (op) {
      // Whole numbers are finite: NaN becomes 0, infinity the greatest of them, as in Java.
      case Primitive.Convert(DType to) when to.isInteger() -> found == (int) wanted;
      // What the weight of a query's only key multiplies is a difference of equal numbers: 0 in
      // float64, what rounding leaves of it in float32, so infinity times it is NaN or infinity.
      case Composite.CausalAttentionGrad _, Composite.GroupedAttentionGrad _
          when Double.isNaN(wanted) ->
          !Double.isFinite(found);
      default -> Double.compare(kind(found), kind(wanted)) == 0;
    };
  }

  /// The number, or 0 if it is finite.
  private static double kind(double x) {
    return Double.isFinite(x) ? 0 : x;
  }
}
