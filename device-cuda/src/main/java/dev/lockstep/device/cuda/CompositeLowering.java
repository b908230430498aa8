package dev.lockstep.device.cuda;

import dev.lockstep.graph.Blocks;
import dev.lockstep.graph.Composite;
import dev.lockstep.graph.Value;
import dev.lockstep.tensor.Shape;
import java.util.List;

/// Composites as fused kernels.
final class CompositeLowering {
  private static final int SUM_THREADS = 256;

  /// Threads that share a row of a norm: `LS_TEAM` of `sums.cuh`.
  private static final int TEAM = 16;

  /// Widths of rows that a team keeps in registers: below, a first-level cache holds all rows at
  /// work; above, registers spill.
  private static final int LEAST_KEPT = 256;

  private static final int MOST_KEPT = 768;

  private final CudaUnit unit;
  private final Emission emit;
  private final List<Value> in;
  private final List<Value> reads;
  private final List<Value> out;
  private final boolean isExact;

  /// @param isExact whether sums keep the CPU's order
  CompositeLowering(CudaUnit unit, Emission emit, boolean isExact) {
    this.unit = unit;
    this.emit = emit;
    this.isExact = isExact;
    this.in = unit.node().inputs();
    this.reads = unit.reads();
    this.out = unit.writes();
  }

  void lower(Composite composite) {
    switch (composite) {
      case Composite.Linear _ -> throw new IllegalStateException("a product is lowered elsewhere");
      case Composite.Gelu _ -> elementWise("gelu_f32");
      case Composite.GeluGrad _ -> elementWise("gelu_grad_f32");
      case Composite.Silu _ -> elementWise("silu_f32");
      case Composite.SiluGrad _ -> elementWise("silu_grad_f32");
      case Composite.SwiGlu _ -> elementWise("swiglu_f32");
      case Composite.SwiGluGrad _ -> elementWise("swiglu_grad_f32");
      case Composite.Dropout dropout ->
          new RandomLowering(emit).dropout(dropout, in, out.getFirst());
      case Composite.LayerNorm(float epsilon) -> norm("layer_norm", epsilon);
      case Composite.RmsNorm(float epsilon) -> norm("rms_norm", epsilon);
      case Composite.LayerNormGrad(Blocks tokens) -> layerNormGrad(tokens);
      case Composite.RmsNormGrad(Blocks tokens) -> rmsNormGrad(tokens);
      case Composite.Rotary rotary -> rotary(rotary);
      case Composite.CausalAttention _, Composite.GroupedAttention _ -> attention();
      case Composite.CausalAttentionGrad(int _, Blocks queries) -> attentionGrad(queries);
      case Composite.GroupedAttentionGrad(int _, int _, long _, Blocks queries) ->
          attentionGrad(queries);
      case Composite.CrossEntropy(Blocks tokens, Blocks vocabulary) ->
          crossEntropy(tokens, vocabulary);
      case Composite.CrossEntropyGrad _ -> crossEntropyGrad();
      case Composite.SquaredNorm(List<Composite.Split> splits) ->
          new SquaredNormLowering(emit, in, splits).lower(out.getFirst());
      case Composite.AdamW adamW -> adamW(adamW);
    }
  }

  private Shape shape(int operand) {
    return in.get(operand).type().shape();
  }

  private void elementWise(String kernel) {
    long n = shape(0).elements();
    LaunchBuilder launch = LaunchBuilder.of("elements.cu", kernel);
    in.forEach(launch::at);
    out.forEach(launch::at);
    emit.elements(launch.wide(n), n);
  }

  private void norm(String norm, float epsilon) {
    int rows = Sizes.rows(shape(0));
    if (rows == 0) {
      return;
    }
    LaunchBuilder launch = alongRows(norm, "_" + name(out.getFirst()), Sizes.last(shape(0)));
    in.forEach(launch::at);
    out.forEach(launch::at);
    emit.add(
        launch
            .word(rows)
            .word(Sizes.last(shape(0)))
            .real(epsilon)
            .grid(ReduceLowering.rowGrid(rows), ReduceLowering.ROW_THREADS));
  }

  /// `(dy, x, gain, mean, rstd) → (dx, dgain, dbias)`: the sums first, since `dx` may lie where
  /// `dy` lies.
  private void layerNormGrad(Blocks ofTokens) {
    int rows = Sizes.rows(shape(1));
    int width = Sizes.last(shape(1));
    if (!isExact && WideColumns.fits(width)) {
      WideColumns sums = new WideColumns(emit, rows, width);
      Ref gains = sums.parts(Emission.at(out.get(1)));
      Ref biases = sums.parts(Emission.at(out.get(2)));
      sums.launch(
          LaunchBuilder.of("wide_columns.cu", "wide_layer_norm_param_grad_" + name(reads.get(0)))
              .at(reads.get(0))
              .at(in.get(1))
              .at(in.get(3))
              .at(in.get(4))
              .at(gains)
              .at(biases));
      sums.join(gains, Emission.at(out.get(1)));
      sums.join(biases, Emission.at(out.get(2)));
      normGrad("layer_norm", rows, width);
      return;
    }
    Blocks tokens = ReduceLowering.columnBlocks(ofTokens, rows, isExact);
    boolean isWhole = tokens.count() == 1;
    long partBytes = 4L * tokens.count() * width;
    Ref gain = isWhole ? Emission.at(out.get(1)) : emit.scratch(partBytes);
    Ref bias = isWhole ? Emission.at(out.get(2)) : emit.scratch(partBytes);
    emit.add(
        LaunchBuilder.of("layer_norm.cu", "layer_norm_param_grad_" + name(reads.get(0)))
            .at(reads.get(0))
            .at(in.get(1))
            .at(in.get(3))
            .at(in.get(4))
            .at(gain)
            .at(bias)
            .word(rows)
            .word(width)
            .word(Sizes.outer(tokens))
            .word(tokens.count())
            .grid(Math.ceilDiv(width, ReduceLowering.COLUMNS), tokens.count(), 1, SUM_THREADS, 0));
    if (!isWhole) {
      emit.join(gain, Emission.at(out.get(1)), 1, width, width, tokens.count());
      emit.join(bias, Emission.at(out.get(2)), 1, width, width, tokens.count());
    }
    normGrad("layer_norm", rows, width);
  }

  /// `(dy, x, gain, rstd) → (dx, dgain)`.
  private void rmsNormGrad(Blocks ofTokens) {
    int rows = Sizes.rows(shape(1));
    Blocks tokens = ReduceLowering.columnBlocks(ofTokens, rows, isExact);
    int width = Sizes.last(shape(1));
    ReduceLowering.columnSums(
        emit,
        new ReduceLowering.ColumnSums(1, width, tokens.count()),
        Emission.at(out.get(1)),
        (parts, grid) ->
            LaunchBuilder.of("rms_norm.cu", "rms_norm_gain_grad_" + name(reads.get(0)))
                .at(reads.get(0))
                .at(in.get(1))
                .at(in.get(3))
                .at(parts)
                .word(rows)
                .word(width)
                .word(Sizes.outer(tokens))
                .word(tokens.count())
                .grid(grid, tokens.count(), 1, SUM_THREADS, 0));
    normGrad("rms_norm", rows, width);
  }

  private void normGrad(String norm, int rows, int width) {
    if (rows > 0) {
      LaunchBuilder launch = alongRows(norm, "_grad_" + name(reads.getFirst()), width);
      reads.subList(0, in.size()).forEach(launch::at);
      emit.add(
          launch
              .at(out.getFirst())
              .at(unit.addend().map(Emission::at).orElse(Ref.NOTHING))
              .at(unit.rounded().map(Emission::at).orElse(Ref.NOTHING))
              .word(rows)
              .word(width)
              .grid(ReduceLowering.rowGrid(rows), ReduceLowering.ROW_THREADS));
    }
  }

  /// The launch of a norm's kernel, which keeps rows of some widths in registers.
  private static LaunchBuilder alongRows(String norm, String kernel, int width) {
    boolean isKept = width % TEAM == 0 && width >= LEAST_KEPT && width <= MOST_KEPT;
    List<String> defines = isKept ? List.of("WIDTH=" + width) : List.of();
    return new LaunchBuilder(new Kernels.Source(norm + ".cu", defines), norm + kernel);
  }

  private void rotary(Composite.Rotary op) {
    int batch = Sizes.of(shape(0).dim(0));
    int tokens = Sizes.of(shape(0).dim(1));
    int heads = Sizes.of(shape(0).dim(2) / op.size());
    long pairs = (long) tokens * op.size() / 2;
    Ref table = emit.scratch(8 * pairs);
    emit.elements(
        LaunchBuilder.of("rotary.cu", "rotary_table_f32")
            .at(table)
            .real64(op.base())
            .word(op.size())
            .word(tokens)
            .wide(op.firstPosition())
            .word(op.inverse() ? 1 : 0),
        pairs);
    emit.elements(
        LaunchBuilder.of("rotary.cu", "rotary_f32")
            .at(in.getFirst())
            .at(table)
            .at(out.getFirst())
            .word(batch)
            .word(tokens)
            .word(heads)
            .word(op.size()),
        (long) batch * heads * pairs);
  }

  private void attention() {
    AttentionCall call = AttentionCall.of(unit.node()).orElseThrow();
    if (!isExact && TensorAttention.serves(call)) {
      new TensorAttention(emit, reads, out, call).forward();
    } else {
      new AttentionLowering(emit, in, out, call).forward();
    }
  }

  private void attentionGrad(Blocks queries) {
    AttentionCall call = AttentionCall.of(unit.node()).orElseThrow();
    if (!isExact && TensorAttention.serves(call)) {
      new TensorAttention(emit, reads, out, call).backward();
    } else {
      new AttentionLowering(emit, in, out, call).backward(queries.count());
    }
  }

  private void crossEntropy(Blocks tokens, Blocks vocabulary) {
    int rows = Sizes.rows(shape(0));
    Ref rowLoss = emit.scratch(4L * Math.max(1, rows));
    if (rows > 0) {
      // A block of threads per row on a device with an order of its own, else a team.
      String kernel = isExact ? "cross_entropy_rows_" : "cross_entropy_long_rows_";
      LaunchBuilder launch =
          LaunchBuilder.of("cross_entropy.cu", kernel + name(reads.get(0)))
              .at(reads.get(0))
              .at(in.get(1))
              .at(out.get(2))
              .at(rowLoss)
              .at(Ref.FAULT)
              .word(Sizes.last(shape(0)));
      emit.add(
          isExact
              ? launch
                  .word(rows)
                  .word(Sizes.outer(vocabulary))
                  .word(vocabulary.count())
                  .grid(ReduceLowering.rowGrid(rows), ReduceLowering.ROW_THREADS)
              : launch.grid(rows, SUM_THREADS));
    }
    emit.add(
        LaunchBuilder.of("cross_entropy.cu", "cross_entropy_sum_f32")
            .at(rowLoss)
            .at(in.get(1))
            .at(out.get(0))
            .at(out.get(1))
            .word(rows)
            .word(Sizes.outer(tokens))
            .word(tokens.count())
            .grid(1, SUM_THREADS));
  }

  private static String name(Value value) {
    return Lowering.name(value.type().dtype());
  }

  private void crossEntropyGrad() {
    int rows = Sizes.rows(shape(1));
    int vocabulary = Sizes.last(shape(1));
    if (rows == 0 || vocabulary == 0) {
      return;
    }
    String kernel = "cross_entropy_grad_" + name(reads.get(1)) + "_" + name(out.getFirst());
    LaunchBuilder launch = LaunchBuilder.of("cross_entropy.cu", kernel);
    reads.forEach(launch::at);
    emit.add(
        launch
            .at(out.getFirst())
            .word(rows)
            .word(vocabulary)
            .grid(
                Emission.columnBlocks(vocabulary),
                Math.min(rows, Emission.MOST_GRID),
                1,
                SUM_THREADS,
                0));
  }

  private void adamW(Composite.AdamW op) {
    long n = shape(0).elements();
    LaunchBuilder launch = LaunchBuilder.of("adamw.cu", "adamw_f32");
    in.forEach(launch::at);
    out.forEach(launch::at);
    emit.elements(
        launch.real(op.beta1()).real(op.beta2()).real(op.epsilon()).real(op.weightDecay()).wide(n),
        n);
  }
}
