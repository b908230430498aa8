package dev.lockstep.device;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.graph.Blocks;
import dev.lockstep.graph.Closeness;
import dev.lockstep.graph.Composite;
import dev.lockstep.graph.Graph;
import dev.lockstep.graph.GraphBuilder;
import dev.lockstep.graph.Primitive.BroadcastTo;
import dev.lockstep.graph.Primitive.Convert;
import dev.lockstep.graph.Primitive.MatMul;
import dev.lockstep.graph.Primitive.Mul;
import dev.lockstep.graph.ReferenceInterpreter;
import dev.lockstep.graph.Samples;
import dev.lockstep.graph.Value;
import dev.lockstep.graph.ValueType;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Shape;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/// What every device must make of products of 8-bit floats: a graph widens them to float32, maybe
/// multiplies them by a number each, and multiplies. A device may read them as they are.
public abstract class EightBitProductContractTest extends DeviceContract {
  // As sums of float32 elsewhere.
  private static final double EXACT_TOLERANCE = 2e-6;

  /// Returns how far results may be from the float64 reference, relative to the greatest: tensor
  /// cores keep shorter sums than float32.
  protected double tolerance() {
    return EXACT_TOLERANCE;
  }

  /// How a graph shows what 8-bit floats stand for.
  enum Scaling {
    NONE,
    OPERANDS,
    RESULT,
    LEFT_AND_RESULT,
    ALL
  }

  /// A graph under construction and its operands.
  private static final class Draft {
    final GraphBuilder builder = new GraphBuilder("eight bits");
    final Map<String, double[]> inputs = new LinkedHashMap<>();
    private long seed = 1;

    Value input(String name, DType dtype, long... dims) {
      Samples samples = new Samples(seed++).of(dtype, dims);
      double[] elements = samples.of(new Convert(DType.F32)).operands().getFirst();
      for (int i = 0; i < elements.length; i += 2) {
        elements[i] = -elements[i];
      }
      inputs.put(name, elements);
      return builder.input(name, new ValueType(dtype, Shape.of(dims)));
    }

    Value wide(String name, DType dtype, boolean isScaled, long... dims) {
      Value wide = builder.one(new Convert(DType.F32), input(name, dtype, dims));
      return isScaled ? scaled("scale of " + name, wide) : wide;
    }

    Value scaled(String name, Value value) {
      inputs.put(name, new double[] {0.0078125f * (1 + seed++)});
      Value scale = builder.input(name, ValueType.f32());
      Value all = builder.one(new BroadcastTo(value.type().shape(), List.of()), scale);
      return builder.one(new Mul(), value, all);
    }
  }

  private void compare(Draft draft, double tolerance) {
    Graph graph = draft.builder.build();
    List<double[]> expected = ReferenceInterpreter.run(graph, draft.inputs);
    List<byte[]> bits = DeviceRunner.bits(device(), graph, draft.inputs);
    List<double[]> found = DeviceRunner.run(device(), graph, draft.inputs);
    for (int i = 0; i < expected.size(); i++) {
      Closeness.assertClose(found.get(i), expected.get(i), tolerance);
    }
    for (Device other : devices().subList(1, devices().size())) {
      List<byte[]> others = DeviceRunner.bits(other, graph, draft.inputs);
      for (int i = 0; i < bits.size(); i++) {
        assertThat(others.get(i)).as("%s", other.info()).isEqualTo(bits.get(i));
      }
    }
  }

  @ParameterizedTest(name = "{0} by {1}, scaled: {2}, {3} x {4} x {5}, {6} {7}")
  @CsvSource({
    "F8_E4M3FN, F8_E4M3FN, NONE, 16, 32, 48, false, true",
    "F8_E4M3FN, F8_E4M3FN, OPERANDS, 37, 29, 75, false, true",
    "F8_E4M3FN, F8_E5M2, RESULT, 32, 16, 64, true, false",
    "F8_E5M2, F8_E4M3FN, LEFT_AND_RESULT, 5, 130, 17, false, false",
    "F8_E4M3FN, F8_E4M3FN, ALL, 70, 65, 33, true, true",
    "F8_E5M2, F8_E5M2, OPERANDS, 16, 16, 16, false, true",
    "F8_E4M3, F8_E4M3FN, NONE, 16, 16, 32, false, true",
    "F8_E4M3FN, F8_E4M3FN, RESULT, 1, 1, 1, false, false"
  })
  void multiplies(
      DType left,
      DType right,
      Scaling scaling,
      long m,
      long n,
      long k,
      boolean transposeA,
      boolean transposeB) {
    Draft draft = new Draft();
    boolean scalesRight = scaling == Scaling.OPERANDS || scaling == Scaling.ALL;
    boolean scalesLeft = scalesRight || scaling == Scaling.LEFT_AND_RESULT;
    Value a = draft.wide("a", left, scalesLeft, transposeA ? k : m, transposeA ? m : k);
    Value b = draft.wide("b", right, scalesRight, transposeB ? n : k, transposeB ? k : n);
    Value product = draft.builder.one(new MatMul(transposeA, transposeB, Blocks.WHOLE), a, b);
    boolean scalesResult = scaling != Scaling.NONE && scaling != Scaling.OPERANDS;
    draft.builder.output("y", scalesResult ? draft.scaled("scale", product) : product);
    compare(draft, tolerance());
  }

  @ParameterizedTest(name = "{0} of {1} x {2} x {3}")
  @CsvSource({"3, 16, 32, 16, true", "2, 9, 20, 31, false"})
  void multipliesBatches(long batch, long m, long n, long k, boolean transposeB) {
    Draft draft = new Draft();
    Value a = draft.wide("a", DType.F8_E4M3FN, true, batch, m, k);
    Value b = draft.wide("b", DType.F8_E5M2, true, batch, transposeB ? n : k, transposeB ? k : n);
    draft.builder.output("y", draft.builder.one(new MatMul(false, transposeB, Blocks.WHOLE), a, b));
    compare(draft, tolerance());
  }

  @ParameterizedTest(name = "{0} x {1} x {2}")
  @CsvSource({"32, 48, 16, true", "10, 21, 33, false"})
  void addsABias(long m, long n, long k, boolean transposed) {
    Draft draft = new Draft();
    Value x = draft.wide("x", DType.F8_E4M3FN, true, 2, m, k);
    Value weight = draft.wide("w", DType.F8_E4M3FN, true, transposed ? n : k, transposed ? k : n);
    Value bias = draft.input("bias", DType.F32, n);
    draft.builder.output(
        "y", draft.builder.one(new Composite.Linear(transposed, Blocks.WHOLE), x, weight, bias));
    compare(draft, tolerance());
  }

  /// Rounding may fall on the other side of a tie where a sum has another order.
  @ParameterizedTest(name = "scaled: {0}")
  @CsvSource({"true", "false"})
  void roundsResultsToBfloat16(boolean isScaled) {
    Draft draft = new Draft();
    Value a = draft.wide("a", DType.F8_E4M3FN, isScaled, 32, 48);
    Value b = draft.wide("b", DType.F8_E4M3FN, false, 48, 16);
    Value product = draft.builder.one(new MatMul(false, false, Blocks.WHOLE), a, b);
    Value result = isScaled ? draft.scaled("scale", product) : product;
    draft.builder.output("y", draft.builder.one(new Convert(DType.BF16), result));
    compare(draft, Math.max(tolerance(), 0x1p-8));
  }

  /// What others read of a widened, scaled operand, or of a result before it is scaled, is there.
  @ParameterizedTest(name = "scaled: {0}")
  @CsvSource({"true", "false"})
  void othersReadWhatAProductReadsAndMakes(boolean isScaled) {
    Draft draft = new Draft();
    Value a = draft.wide("a", DType.F8_E4M3FN, isScaled, 16, 32);
    Value b = draft.wide("b", DType.F8_E4M3FN, isScaled, 16, 32);
    Value product = draft.builder.one(new MatMul(false, true, Blocks.WHOLE), a, b);
    draft.builder.output("a twice", draft.builder.one(new Mul(), a, a));
    draft.builder.output("product", product);
    draft.builder.output("scaled", draft.scaled("scale", product));
    compare(draft, tolerance());
  }
}
