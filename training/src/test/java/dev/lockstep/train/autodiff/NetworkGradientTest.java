package dev.lockstep.train.autodiff;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.graph.Blocks;
import dev.lockstep.graph.Composite.CausalAttention;
import dev.lockstep.graph.Composite.CrossEntropy;
import dev.lockstep.graph.Composite.Gelu;
import dev.lockstep.graph.Composite.LayerNorm;
import dev.lockstep.graph.Composite.Linear;
import dev.lockstep.graph.GraphBuilder;
import dev.lockstep.graph.Primitive.Add;
import dev.lockstep.graph.Primitive.BroadcastTo;
import dev.lockstep.graph.Primitive.Gather;
import dev.lockstep.graph.Primitive.MatMul;
import dev.lockstep.graph.Value;
import dev.lockstep.graph.ValueType;
import dev.lockstep.tensor.Shape;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;

/// Whole networks against central differences.
class NetworkGradientTest {
  private static final int BATCH = 2;
  private static final int POSITIONS = 5;
  private static final int WIDTH = 8;
  private static final int VOCABULARY = 11;
  private static final Blocks TENSOR = new Blocks(1, 2);

  private final GraphBuilder builder = new GraphBuilder("network");
  private final Map<String, double[]> inputs = new HashMap<>();
  private final List<String> parameters = new ArrayList<>();
  private final Map<Value, Blocks> columns = new HashMap<>();
  private final SplittableRandom random = new SplittableRandom(7);

  private Value parameter(String name, long... dims) {
    parameters.add(name);
    return numbers(name, dims);
  }

  private Value numbers(String name, long... dims) {
    ValueType type = ValueType.f32(dims);
    double[] elements = new double[(int) type.shape().elements()];
    for (int i = 0; i < elements.length; i++) {
      elements[i] = random.nextGaussian() / 2;
    }
    inputs.put(name, elements);
    return builder.input(name, type);
  }

  private Value ids(String name, int bound, long... dims) {
    ValueType type = ValueType.i32(dims);
    inputs.put(name, random.ints(type.shape().elements(), 0, bound).asDoubleStream().toArray());
    return builder.input(name, type);
  }

  private Value linear(String name, Value x, long from, long to, Blocks in, Blocks out) {
    Value weight = parameter(name + ".weight", from, to);
    columns.put(weight, out);
    return builder.one(new Linear(false, in), x, weight, parameter(name + ".bias", to));
  }

  private Value norm(String name, Value x) {
    List<Value> operands =
        List.of(x, parameter(name + ".gain", WIDTH), parameter(name + ".bias", WIDTH));
    return builder.apply(new LayerNorm(1e-5f), operands).getFirst();
  }

  private Value add(Value a, Value b) {
    return builder.one(new Add(), a, b);
  }

  private void check(Value loss) {
    GradientBlocks blocks = new GradientBlocks(BATCH, 2, columns);
    GradientCheck check = new GradientCheck(builder, loss, inputs, parameters, blocks);
    for (double[] gradient : check.gradients()) {
      assertThat(Arrays.stream(gradient).filter(x -> x != 0).count()).isPositive();
    }
    check.run();
  }

  @Test
  void multilayerPerceptron() {
    Value x = numbers("x", 6, WIDTH);
    Value targets = ids("targets", VOCABULARY, 6);
    Value hidden = linear("up", x, WIDTH, 16, Blocks.WHOLE, TENSOR);
    Value out =
        linear("down", builder.one(new Gelu(), hidden), 16, VOCABULARY, TENSOR, Blocks.WHOLE);
    CrossEntropy loss = new CrossEntropy(new Blocks(BATCH, 2), TENSOR);
    check(builder.apply(loss, List.of(out, targets)).getFirst());
  }

  @Test
  void transformerBlockWithATiedHead() {
    Value tokens = ids("tokens", VOCABULARY, BATCH, POSITIONS);
    Value targets = ids("targets", VOCABULARY, BATCH, POSITIONS);
    Shape shape = Shape.of(BATCH, POSITIONS, WIDTH);
    Value words = builder.one(new Gather(), parameter("wte", VOCABULARY, WIDTH), tokens);
    Value positions =
        builder.one(new BroadcastTo(shape, List.of(1, 2)), parameter("wpe", POSITIONS, WIDTH));
    Value x = add(words, positions);
    Value qkv = linear("qkv", norm("ln1", x), WIDTH, 3 * WIDTH, Blocks.WHOLE, new Blocks(3, 2));
    Value attended = builder.apply(new CausalAttention(2), List.of(qkv)).getFirst();
    x = add(x, linear("proj", attended, WIDTH, WIDTH, TENSOR, Blocks.WHOLE));
    Value hidden = linear("up", norm("ln2", x), WIDTH, 4 * WIDTH, Blocks.WHOLE, TENSOR);
    Value mlp =
        linear("down", builder.one(new Gelu(), hidden), 4 * WIDTH, WIDTH, TENSOR, Blocks.WHOLE);
    Value last = norm("ln3", add(x, mlp));
    Value head = parameter("head", VOCABULARY, WIDTH);
    columns.put(head, TENSOR);
    Value logits = builder.one(new MatMul(false, true, Blocks.WHOLE), last, head);
    CrossEntropy loss = new CrossEntropy(new Blocks(BATCH, 2), TENSOR);
    check(builder.apply(loss, List.of(logits, targets)).getFirst());
  }
}
