package dev.lockstep.device;

import dev.lockstep.graph.Blocks;
import dev.lockstep.graph.Composite.Gelu;
import dev.lockstep.graph.Composite.LayerNorm;
import dev.lockstep.graph.Graph;
import dev.lockstep.graph.GraphBuilder;
import dev.lockstep.graph.Primitive.Add;
import dev.lockstep.graph.Primitive.BroadcastTo;
import dev.lockstep.graph.Primitive.MatMul;
import dev.lockstep.graph.Primitive.Mul;
import dev.lockstep.graph.Primitive.ReduceSum;
import dev.lockstep.graph.Primitive.Reshape;
import dev.lockstep.graph.Primitive.Tanh;
import dev.lockstep.graph.Primitive.Transpose;
import dev.lockstep.graph.Value;
import dev.lockstep.graph.ValueType;
import dev.lockstep.tensor.Shape;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;

/// A graph of some dozens of ops on matrices of one size, with values that live long and short,
/// read once, often or never.
final class RandomGraph {
  private static final int SIZE = 9;
  private static final Shape SQUARE = Shape.of(SIZE, SIZE);

  private final SplittableRandom random;
  private final GraphBuilder builder;
  private final Map<String, double[]> inputs = new LinkedHashMap<>();
  private final List<Value> matrices = new ArrayList<>();

  RandomGraph(long seed) {
    random = new SplittableRandom(seed);
    builder = new GraphBuilder("random " + seed);
    for (int i = 0; i < 3; i++) {
      matrices.add(input("x" + i, SIZE, SIZE));
    }
    Value gain = input("gain", SIZE);
    for (int i = 0; i < 40; i++) {
      matrices.add(next(gain));
    }
    for (int i = 0; i < 4; i++) {
      builder.output("y" + i, any());
    }
    builder.output("last", matrices.getLast());
  }

  Graph graph() {
    return builder.build();
  }

  Map<String, double[]> inputs() {
    return inputs;
  }

  private Value input(String name, long... dims) {
    ValueType type = ValueType.f32(dims);
    double[] numbers = new double[(int) type.shape().elements()];
    for (int i = 0; i < numbers.length; i++) {
      numbers[i] = (float) random.nextDouble(-1, 1);
    }
    inputs.put(name, numbers);
    return builder.input(name, type);
  }

  private Value any() {
    return matrices.get(random.nextInt(matrices.size()));
  }

  /// One more matrix of numbers of about size one.
  private Value next(Value gain) {
    return switch (random.nextInt(8)) {
      case 0 -> builder.one(new Tanh(), builder.one(new Add(), any(), any()));
      case 1 -> builder.one(new Mul(), any(), builder.one(new Tanh(), any()));
      case 2 -> builder.one(new Tanh(), matMul(any(), any()));
      case 3 -> builder.one(new Transpose(List.of(1, 0)), any());
      case 4 -> builder.one(new Gelu(), builder.one(new Tanh(), any()));
      case 5 -> builder.apply(new LayerNorm(0.1f), List.of(any(), gain, gain)).getFirst();
      case 6 -> reshapedTwice(any());
      default -> builder.one(new Tanh(), columnSums(any()));
    };
  }

  private Value matMul(Value a, Value b) {
    return builder.one(new MatMul(false, random.nextInt(2) == 0, new Blocks(1, 2)), a, b);
  }

  private Value reshapedTwice(Value x) {
    Value flat = builder.one(new Reshape(Shape.of(SIZE * SIZE)), x);
    return builder.one(new Reshape(SQUARE), builder.one(new Tanh(), flat));
  }

  private Value columnSums(Value x) {
    Value sums = builder.one(new ReduceSum(List.of(0), Blocks.WHOLE), x);
    return builder.one(new BroadcastTo(SQUARE, List.of(1)), sums);
  }
}
