package dev.lockstep.train.autodiff;

import dev.lockstep.graph.Composite;
import dev.lockstep.graph.Composite.AdamW;
import dev.lockstep.graph.Composite.CausalAttention;
import dev.lockstep.graph.Composite.CausalAttentionGrad;
import dev.lockstep.graph.Composite.CrossEntropy;
import dev.lockstep.graph.Composite.CrossEntropyGrad;
import dev.lockstep.graph.Composite.Dropout;
import dev.lockstep.graph.Composite.Gelu;
import dev.lockstep.graph.Composite.GeluGrad;
import dev.lockstep.graph.Composite.GroupedAttention;
import dev.lockstep.graph.Composite.GroupedAttentionGrad;
import dev.lockstep.graph.Composite.LayerNorm;
import dev.lockstep.graph.Composite.LayerNormGrad;
import dev.lockstep.graph.Composite.Linear;
import dev.lockstep.graph.Composite.RmsNorm;
import dev.lockstep.graph.Composite.RmsNormGrad;
import dev.lockstep.graph.Composite.Rotary;
import dev.lockstep.graph.Composite.Silu;
import dev.lockstep.graph.Composite.SiluGrad;
import dev.lockstep.graph.Composite.SquaredNorm;
import dev.lockstep.graph.Composite.SwiGlu;
import dev.lockstep.graph.Composite.SwiGluGrad;
import dev.lockstep.graph.Decomposition;
import dev.lockstep.graph.GraphBuilder;
import dev.lockstep.graph.Node;
import dev.lockstep.graph.Primitive.ReduceSum;
import dev.lockstep.graph.Value;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.IntStream;

/// Gradients of composites: by a gradient composite where there is one and only its usual results
/// are used, else through the decomposition.
final class CompositeGradients {
  private final GraphBuilder builder;
  private final GradientBlocks blocks;
  private final NodeGradients node;
  private final Differentiator differentiator;

  CompositeGradients(
      GraphBuilder builder,
      GradientBlocks blocks,
      NodeGradients node,
      Differentiator differentiator) {
    this.builder = builder;
    this.blocks = blocks;
    this.node = node;
    this.differentiator = differentiator;
  }

  void differentiate(Composite composite) {
    switch (composite) {
      case Linear linear -> linear(linear);
      case Gelu _ -> node.give(0, builder.one(new GeluGrad(), node.gradient(), node.operand(0)));
      case Silu _ -> node.give(0, builder.one(new SiluGrad(), node.gradient(), node.operand(0)));
      case Dropout _ ->
          node.give(0, builder.one(composite, node.gradient(), node.operand(1), node.operand(2)));
      case SwiGlu _ -> swiGlu();
      case LayerNorm _ -> layerNorm(composite);
      case RmsNorm _ -> rmsNorm(composite);
      case Rotary(int size, float base, long first, boolean inverse) ->
          node.give(0, builder.one(new Rotary(size, base, first, !inverse), node.gradient()));
      case GroupedAttention attention -> groupedAttention(attention);
      case CausalAttention(int heads) -> attention(composite, heads);
      case CrossEntropy _ -> crossEntropy(composite);
      case GeluGrad _, LayerNormGrad _, CausalAttentionGrad _, CrossEntropyGrad _ ->
          throughDecomposition(composite);
      case SiluGrad _, SwiGluGrad _, RmsNormGrad _, GroupedAttentionGrad _ ->
          throughDecomposition(composite);
      case SquaredNorm _, AdamW _ -> throughDecomposition(composite);
    }
  }

  private void linear(Linear linear) {
    new ProductGradients(builder, blocks, node).withWeight(linear.transposeWeight());
    if (node.needs(2)) {
      Value dy = node.gradient();
      List<Integer> rows = IntStream.range(0, dy.type().shape().rank() - 1).boxed().toList();
      node.give(2, builder.one(new ReduceSum(rows, blocks.tokens()), dy));
    }
  }

  private void layerNorm(Composite composite) {
    if (node.gradient(1).isPresent() || node.gradient(2).isPresent()) {
      throughDecomposition(composite);
      return;
    }
    List<Value> operands =
        List.of(node.gradient(), node.operand(0), node.operand(1), node.result(1), node.result(2));
    giveAll(new LayerNormGrad(blocks.tokens()), operands);
  }

  private void swiGlu() {
    giveAll(new SwiGluGrad(), List.of(node.gradient(), node.operand(0), node.operand(1)));
  }

  private void rmsNorm(Composite composite) {
    if (node.gradient(1).isPresent()) {
      throughDecomposition(composite);
      return;
    }
    giveAll(
        new RmsNormGrad(blocks.tokens()),
        List.of(node.gradient(), node.operand(0), node.operand(1), node.result(1)));
  }

  private void groupedAttention(GroupedAttention op) {
    if (node.gradient(1).isPresent()) {
      throughDecomposition(op);
      return;
    }
    List<Value> operands = new ArrayList<>();
    operands.add(node.gradient());
    operands.addAll(node.operands());
    operands.add(node.result(0));
    operands.add(node.result(1));
    giveAll(
        new GroupedAttentionGrad(op.heads(), op.keyValueHeads(), op.firstQuery(), blocks.queries()),
        operands);
  }

  /// Gives each operand the result of its number.
  private void giveAll(Composite gradient, List<Value> operands) {
    List<Value> gradients = builder.apply(gradient, operands);
    for (int i = 0; i < gradients.size(); i++) {
      node.give(i, gradients.get(i));
    }
  }

  private void attention(Composite composite, int heads) {
    if (node.gradient(1).isPresent()) {
      throughDecomposition(composite);
      return;
    }
    CausalAttentionGrad gradient = new CausalAttentionGrad(heads, blocks.queries());
    node.give(
        0, builder.one(gradient, node.gradient(), node.operand(0), node.result(0), node.result(1)));
  }

  private void crossEntropy(Composite composite) {
    if (node.gradient(2).isPresent()) {
      throughDecomposition(composite);
      return;
    }
    // The count of rows does not change with the logits: its gradient ends here.
    node.gradient(0)
        .ifPresent(
            dloss ->
                node.give(
                    0,
                    builder.one(
                        new CrossEntropyGrad(),
                        dloss,
                        node.operand(0),
                        node.operand(1),
                        node.result(2))));
  }

  /// Appends the composite's primitives once more and differentiates them.
  private void throughDecomposition(Composite composite) {
    // What is computed again comes first: its gradient is found on the way back through itself.
    List<Value> operands = node.operands();
    int before = builder.build().nodes().size();
    List<Value> results = Decomposition.apply(builder, composite, operands);
    List<Node> all = builder.build().nodes();
    Map<Value, Value> seeds = new HashMap<>();
    for (int i = 0; i < results.size(); i++) {
      Value result = results.get(i);
      node.gradient(i).ifPresent(gradient -> seeds.put(result, gradient));
    }
    Set<Value> wrt = new HashSet<>();
    IntStream.range(0, operands.size()).filter(node::needs).forEach(i -> wrt.add(operands.get(i)));
    Map<Value, Value> found = differentiator.backward(all.subList(before, all.size()), seeds, wrt);
    for (int i = 0; i < operands.size(); i++) {
      // A value that is two operands at once has its whole gradient at the first.
      Value gradient = found.remove(operands.get(i));
      if (gradient != null) {
        node.give(i, gradient);
      }
    }
  }
}
