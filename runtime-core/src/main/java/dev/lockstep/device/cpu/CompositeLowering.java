package dev.lockstep.device.cpu;

import dev.lockstep.device.cpu.ElementKernels.Binary;
import dev.lockstep.device.cpu.ElementKernels.Unary;
import dev.lockstep.graph.Blocks;
import dev.lockstep.graph.Composite;
import dev.lockstep.graph.Value;
import dev.lockstep.tensor.Shape;
import java.util.List;

/// Composites as fused kernels.
final class CompositeLowering {
  private final Unit unit;
  private final KernelSet kernels;
  private final int threads;
  private final List<Value> in;

  CompositeLowering(Unit unit, KernelSet kernels, int threads) {
    this.unit = unit;
    this.kernels = kernels;
    this.threads = threads;
    this.in = unit.node().inputs();
  }

  Step step(Composite composite) {
    return switch (composite) {
      case Composite.Linear(boolean transposed, Blocks contraction) ->
          gemm(unit, false, transposed, contraction, id(2), kernels, threads);
      case Composite.Gelu _ -> ElementStep.of(Unary.GELU, id(0), out(0), elements(0));
      case Composite.GeluGrad _ ->
          ElementStep.of(Binary.GELU_GRAD, id(0), id(1), out(0), elements(0));
      case Composite.LayerNorm(float epsilon) -> layerNorm(epsilon);
      case Composite.LayerNormGrad(Blocks tokens) -> layerNormGrad(tokens);
      case Composite.CausalAttention(int heads) ->
          new AttentionStep.Forward(
              attention(shape(0), heads, 1), id(0), out(0), out(1), kernels.attention());
      case Composite.CausalAttentionGrad(int heads, Blocks queries) ->
          new AttentionStep.Backward(
              attention(shape(1), heads, queries.count()),
              new int[] {id(0), id(1), id(2), id(3), out(0)},
              kernels.attention());
      case Composite.CrossEntropy(Blocks tokens, Blocks vocabulary) ->
          new LossStep.Forward(
              crossEntropy(shape(0), tokens, vocabulary), id(0), id(1), out(0), out(1), out(2));
      case Composite.CrossEntropyGrad _ ->
          new LossStep.Backward(
              crossEntropy(shape(1), Blocks.WHOLE, Blocks.WHOLE),
              id(0),
              id(1),
              id(2),
              id(3),
              out(0));
      case Composite.SquaredNorm(List<Composite.Split> splits) ->
          new SquaredNormStep(
              in.stream().mapToInt(Value::id).toArray(),
              in.stream().map(value -> value.type().shape()).toList(),
              splits,
              out(0));
      case Composite.AdamW adamW -> adamW(adamW);
    };
  }

  /// The step of a matrix product with what is added on the way; `bias` is a value's id or -1.
  static Step gemm(
      Unit unit,
      boolean transposeA,
      boolean transposeB,
      Blocks blocks,
      int bias,
      KernelSet kernels,
      int threads) {
    Value a = unit.node().inputs().get(0);
    Value b = unit.node().inputs().get(1);
    Value residual = unit.residual();
    var values =
        new GemmStep.Operands(
            a.id(),
            b.id(),
            bias,
            residual == null ? -1 : residual.id(),
            unit.writes().getFirst().id());
    return GemmStep.of(
        a.type().shape(),
        b.type().shape(),
        transposeA,
        transposeB,
        blocks,
        values,
        kernels.gemm(),
        threads);
  }

  private int id(int operand) {
    return in.get(operand).id();
  }

  private int out(int result) {
    return unit.writes().get(result).id();
  }

  private Shape shape(int operand) {
    return in.get(operand).type().shape();
  }

  private long elements(int operand) {
    return shape(operand).elements();
  }

  private Step layerNorm(float epsilon) {
    LayerNorms call = new LayerNorms(Extents.rows(shape(0)), Extents.last(shape(0)), epsilon, 1, 1);
    return new NormStep.Forward(
        call, new NormStep.ForwardValues(id(0), id(1), id(2), out(0), out(1), out(2)));
  }

  private Step layerNormGrad(Blocks tokens) {
    LayerNorms call =
        new LayerNorms(
            Extents.rows(shape(1)),
            Extents.last(shape(1)),
            0f,
            Extents.outer(tokens),
            tokens.count());
    return new NormStep.Backward(
        call,
        new NormStep.BackwardValues(id(0), id(1), id(2), id(3), id(4), out(0), out(1), out(2)));
  }

  private static Attention attention(Shape qkv, int heads, int queryBlocks) {
    return new Attention(
        Extents.of(qkv.dim(0)),
        Extents.of(qkv.dim(1)),
        heads,
        Extents.of(qkv.dim(2) / 3 / heads),
        queryBlocks);
  }

  private static CrossEntropies crossEntropy(Shape logits, Blocks tokens, Blocks vocabulary) {
    return new CrossEntropies(
        Extents.rows(logits),
        Extents.last(logits),
        Extents.outer(vocabulary),
        vocabulary.count(),
        Extents.outer(tokens),
        tokens.count());
  }

  private Step adamW(Composite.AdamW op) {
    var update = new AdamWUpdate(op.beta1(), op.beta2(), op.epsilon(), op.weightDecay());
    var values =
        new AdamWStep.Values(
            id(0), id(1), id(2), id(3), id(4), id(5), id(6), out(0), out(1), out(2));
    return new AdamWStep(update, values, elements(0));
  }
}
