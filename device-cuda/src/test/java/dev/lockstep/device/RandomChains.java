package dev.lockstep.device;

import dev.lockstep.graph.Composite;
import dev.lockstep.graph.Graph;
import dev.lockstep.graph.GraphBuilder;
import dev.lockstep.graph.Op;
import dev.lockstep.graph.Primitive;
import dev.lockstep.graph.Value;
import dev.lockstep.graph.ValueType;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Shape;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;

/// Graphs of element-wise ops, conversions among them, on tensors of one shape, with values that
/// are read elsewhere, by transposes and sums, and results that take an input's place. Numbers stay
/// finite.
public final class RandomChains {
  private static final List<Op> UNARY =
      List.of(
          new Primitive.Neg(),
          new Primitive.Tanh(),
          new Primitive.Tanh(),
          new Composite.Gelu(),
          new Composite.Silu());
  private static final List<Op> BINARY =
      List.of(
          new Primitive.Add(),
          new Primitive.Sub(),
          new Primitive.Max(),
          new Primitive.Min(),
          new Composite.GeluGrad(),
          new Composite.SiluGrad(),
          new Composite.SwiGlu());
  private static final List<DType> NARROW =
      List.of(DType.BF16, DType.BF16, DType.F16, DType.F8_E4M3FN, DType.F8_E4M3, DType.F8_E5M2);

  private final Random random;
  private final Shape shape;
  private final GraphBuilder builder;
  private final List<Value> values = new ArrayList<>();
  private final Map<String, double[]> inputs = new LinkedHashMap<>();

  private RandomChains(long seed, Shape shape) {
    random = new Random(seed);
    this.shape = shape;
    builder = new GraphBuilder("chains " + seed);
  }

  /// A graph and its inputs.
  public record Case(Graph graph, Map<String, double[]> inputs) {
    @Override
    public String toString() {
      return graph.name();
    }
  }

  /// Returns a graph of some dozen ops on matrices of this shape.
  public static Case of(long seed, Shape shape, int ops) {
    return new RandomChains(seed, shape).make(ops);
  }

  private Case make(int ops) {
    for (int i = 0; i < 3; i++) {
      values.add(input("x" + i, new ValueType(DType.F32, shape)));
    }
    Value row = input("row", ValueType.f32(shape.dim(1)));
    Value scalar = input("scalar", ValueType.f32());
    for (int i = 0; i < ops; i++) {
      add(row, scalar);
    }
    for (int i = 0; i < 3; i++) {
      builder.output("y" + i, values.get(random.nextInt(values.size())));
    }
    builder.output("last", values.getLast());
    builder.outputInto("into", values.get(3 + random.nextInt(values.size() - 3)), "x0");
    return new Case(builder.build(), inputs);
  }

  private Value input(String name, ValueType type) {
    double[] numbers = new double[(int) type.shape().elements()];
    for (int i = 0; i < numbers.length; i++) {
      numbers[i] = (float) random.nextGaussian();
    }
    inputs.put(name, numbers);
    return builder.input(name, type);
  }

  /// One of the last few, so that chains get long.
  private Value late() {
    return values.get(random.nextInt(Math.max(0, values.size() - 4), values.size()));
  }

  private static <T> T pick(Random random, List<T> all) {
    return all.get(random.nextInt(all.size()));
  }

  private void add(Value row, Value scalar) {
    Value a = late();
    Value b = late();
    switch (random.nextInt(11)) {
      case 0, 1 -> values.add(builder.one(pick(random, UNARY), a));
      case 2, 3 -> values.add(builder.one(pick(random, BINARY), a, b));
      case 4, 5 -> {
        Value bounded = builder.one(new Primitive.Tanh(), a);
        Value narrow = builder.one(new Primitive.Convert(pick(random, NARROW)), bounded);
        values.add(builder.one(new Primitive.Convert(DType.F32), narrow));
      }
      case 6 -> {
        Value less = builder.one(new Primitive.Less(), a, b);
        values.add(builder.one(new Primitive.Select(), less, b, late()));
        values.add(builder.one(new Primitive.Convert(DType.F32), less));
      }
      case 7 -> {
        Op wide = new Primitive.BroadcastTo(shape, random.nextBoolean() ? List.of(1) : List.of());
        Value narrow = wide.toString().contains("[1]") ? row : scalar;
        values.add(builder.one(new Primitive.Sub(), a, builder.one(wide, narrow)));
      }
      case 8 -> {
        ValueType type = new ValueType(DType.F32, shape);
        Value half = builder.one(new Primitive.Constant(type, 0.1 * random.nextInt(9)));
        values.add(builder.one(new Primitive.Mul(), a, half));
      }
      case 9 -> values.addAll(builder.apply(new Composite.SwiGluGrad(), List.of(a, b, late())));
      default -> {
        Value flat = builder.one(new Primitive.Reshape(Shape.of(shape.elements())), a);
        Value other = builder.one(new Primitive.Neg(), flat);
        values.add(builder.one(new Primitive.Reshape(shape), other));
        Value turned = builder.one(new Primitive.Transpose(List.of(1, 0)), a);
        values.add(builder.one(new Primitive.Transpose(List.of(1, 0)), turned));
      }
    }
  }
}
