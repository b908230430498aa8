package dev.lockstep.graph;

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
import dev.lockstep.graph.Composite.Split;
import dev.lockstep.graph.Composite.SquaredNorm;
import dev.lockstep.graph.Composite.SwiGlu;
import dev.lockstep.graph.Composite.SwiGluGrad;
import dev.lockstep.tensor.Shape;
import java.util.ArrayList;
import java.util.List;
import java.util.function.BiPredicate;

/// Composites as primitives: what a device without a fused kernel runs, and what fused kernels are
/// checked against.
public final class Decomposition {
  private static final double GELU_SCALE = Math.sqrt(2 / Math.PI);
  private static final double GELU_CUBIC = 0.044715;

  private final Emitter emit;
  private final List<Value> in;

  private Decomposition(GraphBuilder builder, List<Value> in) {
    this.emit = new Emitter(builder);
    this.in = in;
  }

  /// Appends the primitives of `op` to `builder` and returns its results.
  ///
  /// @throws IllegalArgumentException if the operands do not fit
  public static List<Value> apply(GraphBuilder builder, Composite op, List<Value> operands) {
    ShapeInference.infer(op, operands.stream().map(Value::type).toList());
    return new Decomposition(builder, operands).decompose(op);
  }

  /// Returns the graph of `op` on operands of these types: inputs and outputs are called `0`, `1`,
  /// …
  ///
  /// @throws IllegalArgumentException if the operands do not fit
  public static Graph of(Composite op, List<ValueType> operands) {
    GraphBuilder builder = new GraphBuilder(op.label());
    List<Value> inputs = new ArrayList<>();
    for (ValueType type : operands) {
      inputs.add(builder.input(Integer.toString(inputs.size()), type));
    }
    List<Value> results = apply(builder, op, inputs);
    for (int i = 0; i < results.size(); i++) {
      builder.output(Integer.toString(i), results.get(i));
    }
    return builder.build();
  }

  /// Returns the graph with every composite decomposed, save those that `kept` accepts by op and
  /// operand types. Values are numbered anew; names and aliases stay.
  public static Graph expand(Graph graph, BiPredicate<Composite, List<ValueType>> kept) {
    GraphBuilder builder = new GraphBuilder(graph.name());
    Value[] mapped = new Value[graph.valueCount()];
    for (Graph.Named input : graph.inputs()) {
      mapped[input.value().id()] = builder.input(input.name(), input.value().type());
    }
    for (Node node : graph.nodes()) {
      List<Value> operands = node.inputs().stream().map(value -> mapped[value.id()]).toList();
      List<Value> results =
          switch (node.op()) {
            case Primitive primitive -> builder.apply(primitive, operands);
            case Composite composite ->
                kept.test(composite, operands.stream().map(Value::type).toList())
                    ? builder.apply(composite, operands)
                    : apply(builder, composite, operands);
          };
      for (int i = 0; i < results.size(); i++) {
        mapped[node.outputs().get(i).id()] = results.get(i);
      }
    }
    for (Graph.Named output : graph.outputs()) {
      String input = graph.aliases().get(output.name());
      Value value = mapped[output.value().id()];
      if (input == null) {
        builder.output(output.name(), value);
      } else {
        builder.outputInto(output.name(), value, input);
      }
    }
    return builder.build();
  }

  private List<Value> decompose(Composite composite) {
    return switch (composite) {
      case Linear linear -> List.of(linear(linear));
      case Gelu _ -> List.of(gelu());
      case GeluGrad _ -> List.of(geluGrad());
      case LayerNorm(float epsilon) -> layerNorm(epsilon);
      case LayerNormGrad(Blocks tokens) -> layerNormGrad(tokens);
      case Silu _ -> List.of(silu(in.get(0)));
      case SiluGrad _ -> List.of(emit.mul(in.get(0), siluSlope(in.get(1))));
      case SwiGlu _ -> List.of(emit.mul(silu(in.get(0)), in.get(1)));
      case SwiGluGrad _ ->
          List.of(
              emit.mul(emit.mul(in.get(0), in.get(2)), siluSlope(in.get(1))),
              emit.mul(in.get(0), silu(in.get(1))));
      case Dropout dropout -> List.of(dropout(dropout));
      case RmsNorm(float epsilon) -> rmsNorm(epsilon);
      case RmsNormGrad(Blocks tokens) -> rmsNormGrad(tokens);
      case Rotary rotary -> List.of(new RotaryDecomposition(emit, rotary).apply(in.get(0)));
      case CausalAttention(int heads) -> new AttentionDecomposition(emit, heads).forward(in.get(0));
      case CausalAttentionGrad(int heads, Blocks queries) ->
          List.of(
              new AttentionDecomposition(emit, heads)
                  .backward(in.get(0), in.get(1), in.get(2), in.get(3), queries));
      case GroupedAttention(int heads, int groups, long firstQuery) ->
          new AttentionDecomposition(emit, heads, groups, firstQuery)
              .forward(in.get(0), in.get(1), in.get(2));
      case GroupedAttentionGrad(int heads, int groups, long firstQuery, Blocks queries) ->
          new AttentionDecomposition(emit, heads, groups, firstQuery)
              .backward(in.get(0), in.subList(1, 4), in.get(4), in.get(5), queries);
      case CrossEntropy(Blocks tokens, Blocks vocabulary) -> crossEntropy(tokens, vocabulary);
      case CrossEntropyGrad _ -> List.of(crossEntropyGrad());
      case SquaredNorm(List<Split> splits) -> List.of(squaredNorm(splits));
      case AdamW adamW -> adamW(adamW);
    };
  }

  private Value linear(Linear linear) {
    Value product =
        emit.matMul(in.get(0), false, in.get(1), linear.transposeWeight(), linear.contraction());
    return emit.add(product, emit.overRows(in.get(2), product.type().shape()));
  }

  /// `sqrt(2/π)(x + 0.044715 x³)` through tanh.
  private Value geluTanh(Value x, Value square) {
    Value inner = emit.add(emit.mul(emit.mul(square, x), GELU_CUBIC), x);
    return emit.tanh(emit.mul(inner, GELU_SCALE));
  }

  private Value gelu() {
    Value x = in.get(0);
    Value tanh = geluTanh(x, emit.mul(x, x));
    return emit.mul(emit.mul(x, 0.5), emit.add(tanh, 1));
  }

  private Value geluGrad() {
    Value x = in.get(1);
    Value square = emit.mul(x, x);
    Value tanh = geluTanh(x, square);
    Value sech2 = emit.sub(emit.constant(x, 1), emit.mul(tanh, tanh));
    Value inner = emit.mul(emit.add(emit.mul(square, 3 * GELU_CUBIC), 1), GELU_SCALE);
    Value slope =
        emit.add(
            emit.mul(emit.add(tanh, 1), 0.5), emit.mul(emit.mul(x, 0.5), emit.mul(sech2, inner)));
    return emit.mul(in.get(0), slope);
  }

  /// `1 / (1 + e^-x)`.
  private Value sigmoid(Value x) {
    return emit.div(emit.constant(x, 1), emit.add(emit.exp(emit.neg(x)), 1));
  }

  private Value silu(Value x) {
    return emit.mul(x, sigmoid(x));
  }

  /// `s + x s (1 - s)` with the sigmoid `s`.
  private Value siluSlope(Value x) {
    Value s = sigmoid(x);
    return emit.add(emit.mul(emit.mul(x, s), emit.sub(emit.constant(x, 1), s)), s);
  }

  private Value dropout(Dropout op) {
    Value x = in.get(0);
    Value random = emit.uniform(op.random(), in.get(1), in.get(2));
    Value falls = emit.less(random, emit.constant(x, op.rate()));
    return emit.select(falls, emit.constant(x, 0), emit.mul(x, op.scale()));
  }

  private List<Value> rmsNorm(float epsilon) {
    Value x = in.get(0);
    Shape shape = x.type().shape();
    Value rstd = emit.rsqrt(emit.add(meanOfRows(emit.mul(x, x)), epsilon));
    Value normal = emit.mul(x, emit.overColumns(rstd, shape));
    return List.of(emit.mul(normal, emit.overRows(in.get(1), shape)), rstd);
  }

  private List<Value> rmsNormGrad(Blocks tokens) {
    Value dy = in.get(0);
    Shape shape = dy.type().shape();
    Value rstd = emit.overColumns(in.get(3), shape);
    Value normal = emit.mul(in.get(1), rstd);
    Value scaled = emit.mul(dy, emit.overRows(in.get(2), shape));
    Value along = emit.overColumns(meanOfRows(emit.mul(scaled, normal)), shape);
    return List.of(
        emit.mul(emit.sub(scaled, emit.mul(normal, along)), rstd),
        emit.sumColumns(emit.mul(dy, normal), tokens));
  }

  private Value meanOfRows(Value x) {
    Value sum = emit.sumRows(x, Blocks.WHOLE);
    return emit.div(sum, emit.constant(sum, (double) x.type().shape().dim(-1)));
  }

  private List<Value> layerNorm(float epsilon) {
    Value x = in.get(0);
    Shape shape = x.type().shape();
    Value mean = meanOfRows(x);
    Value centred = emit.sub(x, emit.overColumns(mean, shape));
    Value variance = meanOfRows(emit.mul(centred, centred));
    Value rstd = emit.rsqrt(emit.add(variance, epsilon));
    Value normal = emit.mul(centred, emit.overColumns(rstd, shape));
    Value scaled = emit.mul(normal, emit.overRows(in.get(1), shape));
    return List.of(emit.add(scaled, emit.overRows(in.get(2), shape)), mean, rstd);
  }

  private List<Value> layerNormGrad(Blocks tokens) {
    Value dy = in.get(0);
    Shape shape = dy.type().shape();
    Value rstd = emit.overColumns(in.get(4), shape);
    Value normal = emit.mul(emit.sub(in.get(1), emit.overColumns(in.get(3), shape)), rstd);
    Value scaled = emit.mul(dy, emit.overRows(in.get(2), shape));
    Value alongOnes = emit.overColumns(meanOfRows(scaled), shape);
    Value alongNormal = emit.overColumns(meanOfRows(emit.mul(scaled, normal)), shape);
    Value projected = emit.sub(emit.sub(scaled, alongOnes), emit.mul(normal, alongNormal));
    return List.of(
        emit.mul(projected, rstd),
        emit.sumColumns(emit.mul(dy, normal), tokens),
        emit.sumColumns(dy, tokens));
  }

  private List<Value> crossEntropy(Blocks tokens, Blocks vocabulary) {
    Value logits = in.get(0);
    Value targets = in.get(1);
    Shape shape = logits.type().shape();
    Value max = emit.maxRows(logits);
    Value sum = emit.sumRows(emit.exp(emit.sub(logits, emit.overColumns(max, shape))), vocabulary);
    Value logSumExp = emit.add(emit.log(sum), max);
    Value chosen =
        emit.sumRows(
            emit.select(oneHot(targets, shape), logits, emit.constant(logits, 0)), Blocks.WHOLE);
    Value ignored = emit.less(targets, emit.constant(targets, 0));
    Value zero = emit.constant(logSumExp, 0);
    Value loss = emit.select(ignored, zero, emit.sub(logSumExp, chosen));
    Value counted = emit.select(ignored, zero, emit.constant(logSumExp, 1));
    return List.of(emit.sum(loss, tokens), emit.sum(counted, tokens), logSumExp);
  }

  private Value crossEntropyGrad() {
    Value logits = in.get(1);
    Value targets = in.get(2);
    Shape shape = logits.type().shape();
    Value zero = emit.constant(logits, 0);
    Value softmax = emit.exp(emit.sub(logits, emit.overColumns(in.get(3), shape)));
    Value one = emit.select(oneHot(targets, shape), emit.constant(logits, 1), zero);
    Value gradient = emit.mul(emit.sub(softmax, one), emit.fill(in.get(0), shape));
    Value ignored = emit.less(targets, emit.constant(targets, 0));
    return emit.select(emit.overColumns(ignored, shape), zero, gradient);
  }

  /// Where the column's number is the row's target, `[…, V]` of `BOOL`.
  private Value oneHot(Value targets, Shape shape) {
    Value column = emit.iota(Emitter.i32(shape), shape.rank() - 1);
    return emit.equal(column, emit.overColumns(targets, shape));
  }

  private Value squaredNorm(List<Split> splits) {
    List<Value> leaves = new ArrayList<>();
    for (int i = 0; i < in.size(); i++) {
      for (int block = 0; block < splits.get(i).blocks().count(); block++) {
        addChunks(block(in.get(i), splits.get(i), block), leaves);
      }
    }
    return emit.join(leaves, ValueType.f32());
  }

  /// The elements of `x` that lie in block `block` of its split dimension.
  private Value block(Value x, Split split, int block) {
    if (split.equals(Split.NONE)) {
      return x;
    }
    Blocks blocks = split.blocks();
    long extent = x.type().shape().dim(split.dim());
    long inner = extent / blocks.outer();
    List<Value> slices = new ArrayList<>();
    for (long outer = 0; outer < blocks.outer(); outer++) {
      long start = outer * inner + blocks.start(block, extent);
      long limit = outer * inner + blocks.start(block + 1, extent);
      slices.add(emit.slice(x, split.dim(), start, limit));
    }
    return emit.concat(split.dim(), slices);
  }

  private void addChunks(Value x, List<Value> leaves) {
    long elements = x.type().shape().elements();
    Value flat = emit.reshape(x, Shape.of(elements));
    for (long start = 0; start < elements; start += SquaredNorm.CHUNK) {
      Value chunk = emit.slice(flat, 0, start, Math.min(start + SquaredNorm.CHUNK, elements));
      leaves.add(emit.sum(emit.mul(chunk, chunk), Blocks.WHOLE));
    }
  }

  private List<Value> adamW(AdamW adamW) {
    Value parameter = in.get(0);
    Shape shape = parameter.type().shape();
    Value gradient = emit.mul(in.get(1), emit.fill(in.get(6), shape));
    Value m = average(in.get(2), gradient, adamW.beta1());
    Value v = average(in.get(3), emit.mul(gradient, gradient), adamW.beta2());
    Value rate = emit.fill(in.get(4), shape);
    Value meanHat = emit.div(m, emit.fill(correction(adamW.beta1()), shape));
    Value squareHat = emit.div(v, emit.fill(correction(adamW.beta2()), shape));
    Value direction = emit.div(meanHat, emit.add(emit.sqrt(squareHat), adamW.epsilon()));
    Value decayed = emit.sub(parameter, emit.mul(emit.mul(rate, adamW.weightDecay()), parameter));
    return List.of(emit.sub(decayed, emit.mul(rate, direction)), m, v);
  }

  private Value average(Value old, Value sample, double beta) {
    return emit.add(emit.mul(old, beta), emit.mul(sample, 1 - beta));
  }

  /// `1 - β^step`. With `t = tanh(step · ln β / 2)` that is `2t / (t - 1)`, which loses no digits
  /// where β^step is near 1.
  private Value correction(double beta) {
    if (beta == 0) {
      return emit.constant(in.get(5), 1);
    }
    Value tanh = emit.tanh(emit.mul(in.get(5), Math.log(beta) / 2));
    return emit.div(emit.mul(tanh, 2), emit.add(tanh, -1));
  }
}
