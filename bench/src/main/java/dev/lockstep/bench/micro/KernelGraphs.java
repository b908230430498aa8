package dev.lockstep.bench.micro;

import dev.lockstep.graph.Blocks;
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
import java.util.List;

/// The graphs that [KernelBenchmark] runs, each a kernel by itself.
final class KernelGraphs {
  private static final int VOCABULARY = 256;

  private KernelGraphs() {}

  /// Returns the graph of a kernel on a shape: sequences, positions, features and heads.
  static Graph of(String kernel, String shape) {
    String[] sizes = shape.split("x", -1);
    long b = Long.parseLong(sizes[0]);
    long t = Long.parseLong(sizes[1]);
    long c = Long.parseLong(sizes[2]);
    if (kernel.equals("softmax")) {
      return softmax(ValueType.f32(b, t, VOCABULARY));
    }
    Call call = call(kernel, b, t, c, Integer.parseInt(sizes[3]));
    GraphBuilder builder = new GraphBuilder(kernel);
    List<Value> operands = new ArrayList<>();
    for (ValueType type : call.operands()) {
      operands.add(builder.input("in" + operands.size(), type));
    }
    for (Value result : builder.apply(call.op(), operands)) {
      builder.output("out" + result.id(), result);
    }
    return builder.build();
  }

  /// As routing to experts has it: of primitives, for which there is no kernel of one's own.
  private static Graph softmax(ValueType type) {
    GraphBuilder builder = new GraphBuilder("softmax");
    Value x = builder.input("in0", type);
    Value max = builder.one(new Primitive.ReduceMax(List.of(2)), x);
    var over = new Primitive.BroadcastTo(type.shape(), List.of(0, 1));
    Value shifted = builder.one(new Primitive.Sub(), x, builder.one(over, max));
    Value exps = builder.one(new Primitive.Exp(), shifted);
    Value sum = builder.one(new Primitive.ReduceSum(List.of(2), Blocks.WHOLE), exps);
    builder.output("out", builder.one(new Primitive.Div(), exps, builder.one(over, sum)));
    return builder.build();
  }

  /// An op and what it works on.
  private record Call(Op op, List<ValueType> operands) {
    static Call of(Op op, ValueType... operands) {
      return new Call(op, List.of(operands));
    }
  }

  private static Call call(String kernel, long b, long t, long c, int heads) {
    ValueType x = ValueType.f32(b, t, c);
    ValueType row = ValueType.f32(b, t);
    ValueType feature = ValueType.f32(c);
    ValueType logits = ValueType.f32(b, t, VOCABULARY);
    ValueType targets = ValueType.i32(b, t);
    ValueType lse = ValueType.f32(b, heads, t);
    ValueType qkv = ValueType.f32(b, t, 3 * c);
    ValueType one = ValueType.f32();
    ValueType weights = ValueType.f32(c, 4 * c);
    Blocks tokens = new Blocks(b, 1);
    return switch (kernel) {
      case "copy" -> Call.of(new Primitive.Concat(0), x, x);
      case "product" -> Call.of(new Primitive.MatMul(false, false, Blocks.WHOLE), x, weights);
      case "attention" -> Call.of(new Composite.CausalAttention(heads), qkv);
      case "attentionGrad" ->
          Call.of(new Composite.CausalAttentionGrad(heads, Blocks.WHOLE), x, qkv, x, lse);
      case "layerNorm" -> Call.of(new Composite.LayerNorm(1e-5f), x, feature, feature);
      case "layerNormGrad" -> Call.of(new Composite.LayerNormGrad(tokens), x, x, feature, row, row);
      case "gelu" -> Call.of(new Composite.Gelu(), x);
      case "geluGrad" -> Call.of(new Composite.GeluGrad(), x, x);
      case "crossEntropy" ->
          Call.of(new Composite.CrossEntropy(tokens, new Blocks(1, 4)), logits, targets);
      case "crossEntropyGrad" ->
          Call.of(new Composite.CrossEntropyGrad(), one, logits, targets, row);
      case "columnSum" -> Call.of(new Primitive.ReduceSum(List.of(0, 1), tokens), x);
      case "adamW" ->
          Call.of(
              new Composite.AdamW(0.9f, 0.99f, 1e-8f, 0.1f),
              weights,
              weights,
              weights,
              weights,
              one,
              one,
              one);
      default -> newer(kernel, x, heads);
    };
  }

  private static Call newer(String kernel, ValueType x, int heads) {
    Shape shape = x.shape();
    ValueType row = ValueType.f32(shape.dim(0), shape.dim(1));
    ValueType feature = ValueType.f32(shape.dim(2));
    ValueType lse = ValueType.f32(shape.dim(0), heads, shape.dim(1));
    int groups = heads / 2;
    ValueType keys = ValueType.f32(shape.dim(0), shape.dim(1), shape.dim(2) / 2);
    ValueType narrow = new ValueType(DType.BF16, shape);
    ValueType count = ValueType.i32();
    return switch (kernel) {
      case "rmsNorm" -> Call.of(new Composite.RmsNorm(1e-5f), x, feature);
      case "rmsNormGrad" ->
          Call.of(new Composite.RmsNormGrad(new Blocks(shape.dim(0), 1)), x, x, feature, row);
      case "swiGlu" -> Call.of(new Composite.SwiGlu(), x, x);
      case "swiGluGrad" -> Call.of(new Composite.SwiGluGrad(), x, x, x);
      case "rotary" ->
          Call.of(new Composite.Rotary((int) shape.dim(2) / heads, 10_000, 0, false), x);
      case "groupedAttention" ->
          Call.of(new Composite.GroupedAttention(heads, groups, 0), x, keys, keys);
      case "groupedAttentionGrad" ->
          Call.of(
              new Composite.GroupedAttentionGrad(heads, groups, 0, Blocks.WHOLE),
              x,
              x,
              keys,
              keys,
              x,
              lse);
      case "dropout" ->
          Call.of(
              new Composite.Dropout(0.1f, new Primitive.Uniform(Primitive.Part.all(shape), 1, 1)),
              x,
              count,
              count);
      case "toBf16" -> Call.of(new Primitive.Convert(DType.BF16), x);
      case "fromBf16" -> Call.of(new Primitive.Convert(DType.F32), narrow);
      default -> lesser(kernel, x);
    };
  }

  private static Call lesser(String kernel, ValueType x) {
    Shape shape = x.shape();
    ValueType ids = ValueType.i32(shape.dim(0), shape.dim(1));
    ValueType table = ValueType.f32(VOCABULARY, shape.dim(2));
    ValueType count = ValueType.i32();
    Blocks tokens = new Blocks(shape.dim(0), 1);
    return switch (kernel) {
      case "toE4M3" -> Call.of(new Primitive.Convert(DType.F8_E4M3FN), x);
      case "fromE4M3" ->
          Call.of(new Primitive.Convert(DType.F32), new ValueType(DType.F8_E4M3FN, shape));
      case "toE5M2" -> Call.of(new Primitive.Convert(DType.F8_E5M2), x);
      case "fromE5M2" ->
          Call.of(new Primitive.Convert(DType.F32), new ValueType(DType.F8_E5M2, shape));
      case "embedding" -> Call.of(new Primitive.Gather(), table, ids);
      case "embeddingGrad" -> Call.of(new Primitive.ScatterAdd(VOCABULARY, tokens), ids, x);
      case "globalNorm" -> Call.of(new Composite.SquaredNorm(List.of(Composite.Split.NONE)), x);
      case "silu" -> Call.of(new Composite.Silu(), x);
      case "siluGrad" -> Call.of(new Composite.SiluGrad(), x, x);
      case "rowSum" -> Call.of(new Primitive.ReduceSum(List.of(2), Blocks.WHOLE), x);
      case "transpose" -> Call.of(new Primitive.Transpose(List.of(0, 2, 1)), x);
      case "uniform" ->
          Call.of(new Primitive.Uniform(Primitive.Part.all(shape), 1, 1), count, count);
      default -> throw new IllegalArgumentException("no such kernel: kernel=" + kernel);
    };
  }
}
