package dev.lockstep.train.autodiff;

import dev.lockstep.graph.Blocks;
import dev.lockstep.graph.Closeness;
import dev.lockstep.graph.Composite;
import dev.lockstep.graph.CompositeCases;
import dev.lockstep.graph.Decomposition;
import dev.lockstep.graph.Graph;
import dev.lockstep.graph.GraphBuilder;
import dev.lockstep.graph.OpCase;
import dev.lockstep.graph.Primitive.Add;
import dev.lockstep.graph.Primitive.Convert;
import dev.lockstep.graph.Primitive.Mul;
import dev.lockstep.graph.Primitive.ReduceSum;
import dev.lockstep.graph.PrimitiveCases;
import dev.lockstep.graph.Value;
import dev.lockstep.tensor.DType;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/// Every op's gradient against central differences, and gradient composites against the gradient of
/// the decomposition.
class OpGradientTest {
  private static final GradientBlocks BLOCKS = new GradientBlocks(1, 3, Map.of());

  static Stream<OpCase> ops() {
    return Stream.concat(PrimitiveCases.all().stream(), CompositeCases.all().stream())
        .filter(c -> c.types().stream().anyMatch(type -> type.dtype() == DType.F32))
        .filter(c -> !(c.op() instanceof Convert))
        .filter(c -> c.graph().outputs().getFirst().value().type().dtype() == DType.F32);
  }

  static Stream<OpCase> composites() {
    return ops().filter(c -> c.op() instanceof Composite);
  }

  @ParameterizedTest
  @MethodSource("ops")
  void agreesWithCentralDifferences(OpCase op) {
    check(op, op.graph()).run();
  }

  @ParameterizedTest
  @MethodSource("composites")
  void agreesWithTheGradientOfTheDecomposition(OpCase op) {
    List<double[]> fused = check(op, op.graph()).gradients();
    Graph primitives = Decomposition.expand(op.graph(), (_, _) -> false);
    List<double[]> plain = check(op, primitives).gradients();
    for (int i = 0; i < fused.size(); i++) {
      Closeness.assertClose(fused.get(i), plain.get(i), 1e-11);
    }
  }

  /// The loss is a sum of all F32 results, each element with a weight of its own. For layer norm,
  /// attention and cross-entropy it takes the first result only, as models do.
  private static GradientCheck check(OpCase op, Graph graph) {
    GraphBuilder builder = new GraphBuilder("loss");
    Map<String, double[]> inputs = new HashMap<>(op.inputs());
    List<Value> operands = new ArrayList<>();
    graph.inputs().forEach(in -> operands.add(builder.input(in.name(), in.value().type())));
    List<Value> results = inline(builder, graph, operands);
    boolean firstOnly =
        op.op() instanceof Composite.LayerNorm
            || op.op() instanceof Composite.RmsNorm
            || op.op() instanceof Composite.CausalAttention
            || op.op() instanceof Composite.GroupedAttention
            || op.op() instanceof Composite.CrossEntropy;
    List<Value> sums = new ArrayList<>();
    for (int i = 0; i < (firstOnly ? 1 : results.size()); i++) {
      Value result = results.get(i);
      Value weights = builder.input("weights" + i, result.type());
      SplittableRandom random = new SplittableRandom(i);
      inputs.put("weights" + i, random.doubles(result.type().shape().elements(), -1, 1).toArray());
      Value weighted = builder.one(new Mul(), result, weights);
      List<Integer> dims = IntStream.range(0, result.type().shape().rank()).boxed().toList();
      sums.add(builder.one(new ReduceSum(dims, Blocks.WHOLE), weighted));
    }
    Value loss = sums.stream().reduce((a, b) -> builder.one(new Add(), a, b)).orElseThrow();
    List<String> wrt =
        graph.inputs().stream()
            .filter(in -> in.value().type().dtype() == DType.F32)
            .map(Graph.Named::name)
            .toList();
    return new GradientCheck(builder, loss, inputs, wrt, BLOCKS);
  }

  private static List<Value> inline(GraphBuilder builder, Graph graph, List<Value> operands) {
    Map<Integer, Value> values = new HashMap<>();
    for (int i = 0; i < operands.size(); i++) {
      values.put(graph.inputs().get(i).value().id(), operands.get(i));
    }
    graph
        .nodes()
        .forEach(
            node -> {
              List<Value> in = node.inputs().stream().map(v -> values.get(v.id())).toList();
              List<Value> out = builder.apply(node.op(), in);
              IntStream.range(0, out.size())
                  .forEach(i -> values.put(node.outputs().get(i).id(), out.get(i)));
            });
    return graph.outputs().stream().map(out -> values.get(out.value().id())).toList();
  }
}
