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
import dev.lockstep.graph.Primitive.Part;
import dev.lockstep.graph.Primitive.Uniform;
import dev.lockstep.tensor.Shape;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/// Every composite on odd shapes.
public final class CompositeCases {
  private static final Blocks TOKENS = new Blocks(2, 3);

  private final List<OpCase> cases = new ArrayList<>();
  private final long firstSeed;

  /// Starts without cases; each draws its operands from a seed of its own, from `firstSeed` on.
  CompositeCases(long firstSeed) {
    this.firstSeed = firstSeed;
  }

  /// Returns the cases; operands of gradients are consistent with a forward pass.
  public static List<OpCase> all() {
    CompositeCases made = new CompositeCases(1_000);
    made.linear();
    made.gelu();
    made.gates();
    made.layerNorm();
    made.rmsNorm();
    made.rotary();
    made.dropout();
    made.attention();
    made.groupedAttention();
    made.crossEntropy();
    made.squaredNorm();
    made.adamW();
    return made.made();
  }

  /// Returns the cases made so far.
  List<OpCase> made() {
    return List.copyOf(cases);
  }

  /// Operands drawn anew for each case.
  private Samples samples() {
    return new Samples(firstSeed + cases.size());
  }

  private void linear() {
    cases.add(samples().normal(3, 5).normal(5, 7).normal(7).of(linear(false, Blocks.WHOLE)));
    cases.add(samples().normal(3, 5).normal(7, 5).normal(7).of(linear(true, Blocks.WHOLE)));
    cases.add(
        samples().normal(2, 17, 24).normal(24, 33).normal(33).of(linear(false, new Blocks(1, 4))));
    cases.add(
        samples().normal(2, 3, 24).normal(48, 24).normal(48).of(linear(true, new Blocks(3, 4))));
    cases.add(samples().normal(0, 5).normal(5, 7).normal(7).of(linear(false, Blocks.WHOLE)));
  }

  private static Linear linear(boolean transposed, Blocks contraction) {
    return new Linear(transposed, contraction);
  }

  private void gelu() {
    for (long[] shape : List.of(new long[] {17}, new long[] {3, 65}, new long[] {0, 4})) {
      cases.add(samples().normal(shape).of(new Gelu()));
      cases.add(samples().wide(shape).of(new Gelu()));
      cases.add(samples().normal(shape).normal(shape).of(new GeluGrad()));
      cases.add(samples().normal(shape).wide(shape).of(new GeluGrad()));
    }
  }

  private void gates() {
    for (long[] shape : List.of(new long[] {17}, new long[] {3, 65}, new long[] {0, 4})) {
      cases.add(samples().normal(shape).of(new Silu()));
      cases.add(samples().wide(shape).of(new Silu()));
      cases.add(samples().normal(shape).wide(shape).of(new SiluGrad()));
      cases.add(samples().normal(shape).normal(shape).of(new SwiGlu()));
      cases.add(samples().normal(shape).normal(shape).normal(shape).of(new SwiGluGrad()));
    }
  }

  private void rmsNorm() {
    rmsNorm(new long[] {4, 6, 5}, TOKENS);
    rmsNorm(new long[] {6, 33}, TOKENS);
    rmsNorm(new long[] {2, 9, 130}, TOKENS);
    rmsNorm(new long[] {3, 1}, Blocks.WHOLE);
    rmsNorm(new long[] {0, 7}, Blocks.WHOLE);
  }

  void rmsNorm(long[] shape, Blocks tokens) {
    long width = shape[shape.length - 1];
    // With one feature the curve is as sharp as epsilon is small: too sharp for differences.
    float epsilon = width == 1 ? 0.5f : 1e-5f;
    OpCase forward = samples().normal(shape).normal(width).of(new RmsNorm(epsilon));
    cases.add(forward);
    ValueType rstd = ShapeInference.infer(forward.op(), forward.types()).get(1);
    cases.add(
        samples()
            .normal(shape)
            .given(forward.types().get(0), forward.operands().get(0))
            .given(forward.types().get(1), forward.operands().get(1))
            .given(rstd, forward.expected().get(1))
            .of(new RmsNormGrad(tokens)));
  }

  private void rotary() {
    cases.add(samples().normal(2, 5, 12).of(new Rotary(4, 10_000, 0, false)));
    cases.add(samples().normal(1, 7, 66).of(new Rotary(66, 10_000, 3, true)));
    cases.add(samples().normal(3, 4, 40).of(new Rotary(2, 500, 0, false)));
    cases.add(samples().normal(0, 4, 8).of(new Rotary(8, 10_000, 0, false)));
    cases.add(samples().normal(2, 0, 8).of(new Rotary(8, 10_000, 0, false)));
  }

  private void dropout() {
    dropout(0.3f, Part.all(Shape.of(3, 65)), 1, 2);
    dropout(0f, Part.all(Shape.of(130)), 7, 0);
    dropout(0.5f, new Part(Shape.of(4, 5, 130), List.of(1L, 2L, 33L), Shape.of(2, 3, 70)), 9, 3);
    dropout(0.9f, new Part(Shape.of(8, 70), List.of(3L, 0L), Shape.of(4, 70)), 0, 1);
    dropout(0.5f, Part.all(Shape.of(0, 4)), 1, 1);
  }

  void dropout(float rate, Part part, int step, int lane) {
    Uniform random = new Uniform(part, 0x1234_5678_9ABC_DEF0L, 40_000);
    cases.add(
        samples()
            .normal(part.shape().dims())
            .integers(step, step + 1)
            .integers(lane, lane + 1)
            .of(new Dropout(rate, random)));
  }

  private void layerNorm() {
    layerNorm(new long[] {4, 6, 5}, TOKENS);
    layerNorm(new long[] {6, 33}, TOKENS);
    layerNorm(new long[] {2, 9, 128}, TOKENS);
    layerNorm(new long[] {3, 1}, Blocks.WHOLE);
    layerNorm(new long[] {0, 7}, Blocks.WHOLE);
  }

  void layerNorm(long[] shape, Blocks tokens) {
    long width = shape[shape.length - 1];
    OpCase forward = samples().normal(shape).normal(width).normal(width).of(new LayerNorm(1e-5f));
    cases.add(forward);
    List<double[]> results = forward.expected();
    List<ValueType> types = ShapeInference.infer(forward.op(), forward.types());
    cases.add(
        samples()
            .normal(shape)
            .given(forward.types().get(0), forward.operands().get(0))
            .given(forward.types().get(1), forward.operands().get(1))
            .given(types.get(1), results.get(1))
            .given(types.get(2), results.get(2))
            .of(new LayerNormGrad(tokens)));
  }

  private void attention() {
    attention(1, 1, 3, 1);
    attention(2, 5, 6, 2);
    attention(2, 7, 20, 4);
    attention(1, 65, 16, 2);
    attention(1, 130, 33, 1);
    attention(0, 5, 6, 2);
  }

  void attention(long batch, long positions, long features, int heads) {
    OpCase forward =
        samples().normal(batch, positions, 3 * features).of(new CausalAttention(heads));
    cases.add(forward);
    List<double[]> results = forward.expected();
    List<ValueType> types = ShapeInference.infer(forward.op(), forward.types());
    cases.add(
        samples()
            .normal(batch, positions, features)
            .given(forward.types().getFirst(), forward.operands().getFirst())
            .given(types.get(0), results.get(0))
            .given(types.get(1), results.get(1))
            .of(new CausalAttentionGrad(heads, new Blocks(1, 3))));
  }

  private void groupedAttention() {
    groupedAttention(new long[] {1, 1, 1}, new GroupedAttention(1, 1, 0), 3);
    groupedAttention(new long[] {2, 5, 5}, new GroupedAttention(4, 2, 0), 6);
    groupedAttention(new long[] {2, 7, 7}, new GroupedAttention(3, 1, 0), 5);
    groupedAttention(new long[] {1, 66, 66}, new GroupedAttention(6, 2, 0), 33);
    groupedAttention(new long[] {2, 6, 19}, new GroupedAttention(4, 2, 9), 8);
    groupedAttention(new long[] {0, 5, 5}, new GroupedAttention(4, 2, 0), 6);
  }

  /// `extents` are sequences, queries and keys.
  void groupedAttention(long[] extents, GroupedAttention op, long size) {
    long[] q = {extents[0], extents[1], op.heads() * size};
    long[] k = {extents[0], extents[2], op.keyValueHeads() * size};
    OpCase forward = samples().normal(q).normal(k).normal(k).of(op);
    cases.add(forward);
    List<double[]> results = forward.expected();
    List<ValueType> types = ShapeInference.infer(forward.op(), forward.types());
    Samples backward = samples().normal(q);
    for (int i = 0; i < 3; i++) {
      backward.given(forward.types().get(i), forward.operands().get(i));
    }
    cases.add(
        backward
            .given(types.get(0), results.get(0))
            .given(types.get(1), results.get(1))
            .of(
                new GroupedAttentionGrad(
                    op.heads(), op.keyValueHeads(), op.firstQuery(), new Blocks(1, 3))));
  }

  private void crossEntropy() {
    crossEntropy(11, new long[] {4, 6}, new CrossEntropy(TOKENS, new Blocks(1, 4)));
    crossEntropy(256, new long[] {2, 9}, new CrossEntropy(TOKENS, new Blocks(1, 4)));
    crossEntropy(3, new long[] {5}, new CrossEntropy(Blocks.WHOLE, Blocks.WHOLE));
    crossEntropy(3, new long[] {0}, new CrossEntropy(Blocks.WHOLE, Blocks.WHOLE));
  }

  void crossEntropy(int vocabulary, long[] rows, CrossEntropy op) {
    long[] shape = Arrays.copyOf(rows, rows.length + 1);
    shape[rows.length] = vocabulary;
    OpCase forward = samples().normal(shape).targets(vocabulary, rows).of(op);
    cases.add(forward);
    ValueType logSumExp = ValueType.f32(rows);
    cases.add(
        samples()
            .scalar(0.37)
            .given(forward.types().get(0), forward.operands().get(0))
            .given(forward.types().get(1), forward.operands().get(1))
            .given(logSumExp, forward.expected().get(2))
            .of(new CrossEntropyGrad()));
  }

  private void squaredNorm() {
    cases.add(samples().normal(17).of(new SquaredNorm(List.of(Split.NONE))));
    cases.add(
        samples()
            .normal(4, 12)
            .normal()
            .normal(70_001)
            .normal(8, 3)
            .of(
                new SquaredNorm(
                    List.of(
                        new Split(1, new Blocks(3, 2)),
                        Split.NONE,
                        Split.NONE,
                        new Split(0, new Blocks(1, 4))))));
    cases.add(samples().normal(0, 3).of(new SquaredNorm(List.of(Split.NONE))));
    cases.add(
        samples().normal(300, 700).of(new SquaredNorm(List.of(new Split(1, new Blocks(1, 2))))));
  }

  private void adamW() {
    for (int step : new int[] {1, 2, 1000}) {
      cases.add(
          samples()
              .normal(3, 11)
              .normal(3, 11)
              .normal(3, 11)
              .positive(3, 11)
              .scalar(1e-3f)
              .scalar(step)
              .scalar(0.25)
              .of(new AdamW(0.9f, 0.999f, 1e-8f, 0.1f)));
    }
    cases.add(
        samples()
            .normal(0)
            .normal(0)
            .normal(0)
            .positive(0)
            .scalar(1e-3f)
            .scalar(1)
            .scalar(1)
            .of(new AdamW(0, 0.95f, 1e-8f, 0)));
  }
}
