package dev.lockstep.graph;

import java.util.List;

/// Ops that carry their decomposition into primitives (`Decomposition`): the decomposition is the
/// oracle; a device claims those that it has fused kernels for and gets the primitives of the rest.
///
/// Shapes: `N` rows (all leading dimensions together), `C` features, `B` sequences, `T` positions,
/// `H` heads, `V` vocabulary.
public sealed interface Composite extends Op {
  /// `(x […, K], w [K, N] (or [N, K] if transposed), bias [N]) → […, N]`: `x·w + bias`, the bias
  /// added after the joined sum.
  record Linear(boolean transposeWeight, Blocks contraction) implements Composite {}

  /// `x → 0.5 x (1 + tanh(sqrt(2/π)(x + 0.044715 x³)))`, GPT-2's GELU.
  record Gelu() implements Composite {}

  /// `(dy, x) → dx` of [Gelu].
  record GeluGrad() implements Composite {}

  /// `x → x / (1 + e^-x)`, the sigmoid linear unit.
  record Silu() implements Composite {}

  /// `(dy, x) → dx` of [Silu].
  record SiluGrad() implements Composite {}

  /// `(gate, up) → silu(gate) · up`: what stands between the products of Llama's MLP.
  record SwiGlu() implements Composite {}

  /// `(dy, gate, up) → (dgate, dup)` of [SwiGlu].
  record SwiGluGrad() implements Composite {}

  /// `(x, step I32 [], lane I32 []) → y`: each element 0 with probability `rate`, else `x / (1 -
  /// rate)`. What falls is where [Primitive.Uniform] is below the rate; the gradient is the same op
  /// on the gradient, so no mask is ever kept.
  ///
  /// @param rate in [0, 1)
  /// @param random its part has the shape of `x`
  record Dropout(float rate, Primitive.Uniform random) implements Composite {
    /// Checks the rate.
    public Dropout {
      if (!(rate >= 0 && rate < 1)) {
        throw new IllegalArgumentException("rate must be in [0, 1): rate=" + rate);
      }
    }

    /// What is kept is multiplied by this.
    public float scale() {
      return 1 / (1 - rate);
    }
  }

  /// `(x […, C], gain [C]) → (y […, C], rstd […])`: `y = (x · rstd) · gain` with `rstd = 1 /
  /// sqrt(mean x² + epsilon)`.
  record RmsNorm(float epsilon) implements Composite {}

  /// `(dy, x, gain, rstd) → (dx, dgain [C])`; the sum over rows follows `tokens`.
  record RmsNormGrad(Blocks tokens) implements Composite {}

  /// `x [B, T, heads · size] → [B, T, heads · size]`: turns the pair of features `(i, i + size/2)`
  /// of each head by the angle `position · base^(-2i / size)`, rotary position embedding as Llama
  /// has it. `inverse` turns back, which is the gradient.
  ///
  /// @param size features of a head; even
  /// @param base 10,000 in Llama
  /// @param firstPosition position of `x[:, 0]`
  /// @param inverse whether the angles are negative
  record Rotary(int size, float base, long firstPosition, boolean inverse) implements Composite {}

  /// `(x […, C], gain [C], bias [C]) → (y […, C], mean […], rstd […])`; variance is the mean of
  /// squared deviations.
  record LayerNorm(float epsilon) implements Composite {}

  /// `(dy, x, gain, mean, rstd) → (dx, dgain [C], dbias [C])`; the two sums over rows follow
  /// `tokens`.
  record LayerNormGrad(Blocks tokens) implements Composite {}

  /// `(qkv [B, T, 3C]) → (out [B, T, C], logSumExp [B, H, T])`: causal softmax attention, scale
  /// `1/sqrt(C/H)`; qkv holds q, k, v side by side, each as heads × head size.
  ///
  /// How sums over keys are ordered is the device's own, but it follows from where a key stands
  /// alone: a query's results have the same bits with whichever other queries, heads and sequences
  /// a program computes it. The CPU device adds weighted values in one ascending chain, and weights
  /// to 16 partial sums, the key's position modulo 16, joined by halves; its gradients' sums over
  /// keys are ascending chains.
  record CausalAttention(int heads) implements Composite {}

  /// `(dout, qkv, out, logSumExp) → dqkv`; the sums over queries (dK, dV) follow `queries`.
  record CausalAttentionGrad(int heads, Blocks queries) implements Composite {}

  /// `(q [B, T, heads · size], k [B, K, keyValueHeads · size], v as k) → (out as q, logSumExp [B,
  /// heads, T])`: causal softmax attention, scale `1/sqrt(size)`, in which each head of keys and
  /// values serves `heads / keyValueHeads` heads of queries that stand side by side. Query `i` sees
  /// the keys up to `firstQuery + i`. Sums over keys are as of [CausalAttention].
  ///
  /// @param heads heads of queries
  /// @param keyValueHeads heads of keys and values; divides `heads`
  /// @param firstQuery position of the first query among the keys; 0 where `T = K`
  record GroupedAttention(int heads, int keyValueHeads, long firstQuery) implements Composite {}

  /// `(dout, q, k, v, out, logSumExp) → (dq, dk, dv)`; a sum over queries (dK, dV) takes, in each
  /// block of `queries`, the heads of the group in order and each head's queries ascending.
  record GroupedAttentionGrad(int heads, int keyValueHeads, long firstQuery, Blocks queries)
      implements Composite {}

  /// `(logits […, V], targets I32 […]) → (lossSum [], count [], logSumExp […])`: sum over the rows
  /// of `logSumExp - logits[target]`, and the number of rows, both F32. A negative target is left
  /// out of both. Sums over rows follow `tokens`, over the vocabulary `vocabulary`.
  record CrossEntropy(Blocks tokens, Blocks vocabulary) implements Composite {}

  /// `(dlossSum [], logits, targets, logSumExp) → dlogits`: `(softmax - onehot) · dlossSum`, 0
  /// where the target is negative.
  record CrossEntropyGrad() implements Composite {}

  /// `(x₁, …, xₙ) → []`: the sum of all squares. Leaves are (operand, block of its split dimension,
  /// chunk of 65,536 elements of the block in row-major order), in that order, joined by [SumTree];
  /// within a chunk 16 strided partial sums.
  ///
  /// @param splits for each operand where tensor parallelism may cut it
  record SquaredNorm(List<Split> splits) implements Composite {
    /// Number of elements of a leaf.
    public static final int CHUNK = 65_536;

    /// Copies the list.
    public SquaredNorm {
      splits = List.copyOf(splits);
    }
  }

  /// How tensor parallelism may cut an operand: dimension `dim` by `blocks`; `Split.NONE` cuts
  /// nothing.
  ///
  /// @param dim the dimension
  /// @param blocks how it is cut
  record Split(int dim, Blocks blocks) {
    /// No cut.
    public static final Split NONE = new Split(0, Blocks.WHOLE);
  }

  /// `(param, grad, m, v, learningRate [], step [], gradScale []) → (param, m, v)`, all F32,
  /// updated in place: AdamW with decoupled decay. With `g = grad·gradScale`: `m = β₁m + (1-β₁)g`,
  /// `v = β₂v + (1-β₂)g²`, `p = p - lr·weightDecay·p - lr·(m/(1-β₁^step)) / (sqrt(v/(1-β₂^step)) +
  /// ε)`. `step` is the 1-based number of the update, as F32.
  record AdamW(float beta1, float beta2, float epsilon, float weightDecay) implements Composite {}
}
