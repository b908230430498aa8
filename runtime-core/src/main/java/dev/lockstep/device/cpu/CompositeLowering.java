package dev.lockstep.device.cpu;

import dev.lockstep.device.cpu.AttentionStep.Inputs;
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
      case Composite.Silu _ -> ElementStep.of(Unary.SILU, id(0), out(0), elements(0));
      case Composite.SiluGrad _ ->
          ElementStep.of(Binary.SILU_GRAD, id(0), id(1), out(0), elements(0));
      case Composite.SwiGlu _ -> ElementStep.of(Binary.SWIGLU, id(0), id(1), out(0), elements(0));
      case Composite.SwiGluGrad _ ->
          new GateStep(new GateStep.Values(id(0), id(1), id(2), out(0), out(1)), elements(0));
      case Composite.Dropout dropout ->
          new RandomStep(new Counters(dropout), new RandomStep.Values(id(1), id(2), id(0), out(0)));
      case Composite.RmsNorm(float epsilon) ->
          new NormStep.RmsForward(
              norms(shape(0), epsilon, Blocks.WHOLE), id(0), id(1), out(0), out(1));
      case Composite.RmsNormGrad(Blocks tokens) ->
          new NormStep.RmsBackward(
              norms(shape(1), 0f, tokens),
              new NormStep.RmsBackwardValues(id(0), id(1), id(2), id(3), out(0), out(1)));
      case Composite.Rotary rotary -> rotary(rotary);
      case Composite.CausalAttention(int heads) ->
          new AttentionStep.Forward(
              packed(shape(0), heads, 1),
              Inputs.packed(id(0)),
              out(0),
              out(1),
              kernels.attention());
      case Composite.CausalAttentionGrad(int heads, Blocks queries) ->
          new AttentionStep.Backward(
              packed(shape(1), heads, queries.count()),
              new AttentionStep.BackwardValues(
                  id(0), Inputs.packed(id(1)), id(2), id(3), Inputs.packed(out(0))),
              kernels.attention());
      case Composite.GroupedAttention(int heads, int groups, long firstQuery) ->
          new AttentionStep.Forward(
              grouped(0, heads, groups, firstQuery, 1),
              new Inputs(id(0), id(1), id(2)),
              out(0),
              out(1),
              kernels.attention());
      case Composite.GroupedAttentionGrad(int heads, int groups, long firstQuery, Blocks queries) ->
          new AttentionStep.Backward(
              grouped(1, heads, groups, firstQuery, queries.count()),
              new AttentionStep.BackwardValues(
                  id(0),
                  new Inputs(id(1), id(2), id(3)),
                  id(4),
                  id(5),
                  new Inputs(out(0), out(1), out(2))),
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
            unit.operands().get(0).id(),
            unit.operands().get(1).id(),
            bias,
            residual == null ? -1 : residual.id(),
            unit.writes().getFirst().id(),
            unit.isNarrow(0),
            unit.isNarrow(1));
    Chain chain = unit.chain().isEmpty() ? null : Links.chain(unit, kernels);
    return GemmStep.of(
        a.type().shape(),
        b.type().shape(),
        transposeA,
        transposeB,
        blocks,
        values,
        chain,
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
    LayerNorms call = norms(shape(0), epsilon, Blocks.WHOLE);
    return new NormStep.Forward(
        call, new NormStep.ForwardValues(id(0), id(1), id(2), out(0), out(1), out(2)));
  }

  private Step layerNormGrad(Blocks tokens) {
    LayerNorms call = norms(shape(1), 0f, tokens);
    return new NormStep.Backward(
        call,
        new NormStep.BackwardValues(id(0), id(1), id(2), id(3), id(4), out(0), out(1), out(2)));
  }

  private static LayerNorms norms(Shape x, float epsilon, Blocks tokens) {
    int rows = Extents.rows(x);
    return new LayerNorms(rows, Extents.last(x), epsilon, Extents.outer(tokens), tokens.count());
  }

  private Step rotary(Composite.Rotary op) {
    int batch = Extents.of(shape(0).dim(0));
    int tokens = Extents.of(shape(0).dim(1));
    int heads = Extents.of(shape(0).dim(2) / op.size());
    return new RotationStep(new Rotation(batch, tokens, heads, op), id(0), out(0));
  }

  /// Attention on operands `first` (queries) and `first + 1` (keys).
  private Attention grouped(int first, int heads, int groups, long firstQuery, int queryBlocks) {
    Shape q = shape(first);
    int keys = Extents.of(shape(first + 1).dim(1));
    return Attention.grouped(
        Extents.of(q.dim(0)),
        new Attention.Span(Extents.of(q.dim(1)), keys, Extents.of(firstQuery)),
        new Attention.Heads(heads, groups, Extents.of(q.dim(2) / heads)),
        queryBlocks);
  }

  private static Attention packed(Shape qkv, int heads, int queryBlocks) {
    return Attention.packed(
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
