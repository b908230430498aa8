package dev.lockstep.train.autodiff;

import dev.lockstep.graph.Blocks;
import dev.lockstep.graph.Value;
import java.util.Map;

/// How the sums that differentiation adds are cut, so that no layout changes a bit of them.
///
/// Sums over the tokens of a lane (weight, bias, gain and embedding gradients) are seen as
/// `[microBatch, positions]` and cut by positions; attention's sums over queries are cut alike. The
/// input gradient of a product is a sum over the product's columns, which tensor parallelism may
/// split.
///
/// @param microBatch sequences of a lane; the rows of every product with a weight are a multiple
/// @param tokenBlocks blocks of a sum over tokens
/// @param columns for a weight (right operand of a `Linear` or `MatMul`) how its columns may be
///   split; a weight that is not listed has one block
public record GradientBlocks(long microBatch, int tokenBlocks, Map<Value, Blocks> columns) {
  /// Checks the counts and copies the map.
  public GradientBlocks {
    if (microBatch < 1 || tokenBlocks < 1) {
      throw new IllegalArgumentException(
          "gradient blocks must be at least 1: microBatch="
              + microBatch
              + ", tokenBlocks="
              + tokenBlocks);
    }
    columns = Map.copyOf(columns);
  }

  /// Returns how a sum over all tokens is cut.
  public Blocks tokens() {
    return new Blocks(microBatch, tokenBlocks);
  }

  /// Returns how a sum over the positions of one sequence is cut.
  public Blocks queries() {
    return new Blocks(1, tokenBlocks);
  }

  /// Returns how a sum over the columns of a product with `weight` is cut.
  public Blocks columns(Value weight) {
    return columns.getOrDefault(weight, Blocks.WHOLE);
  }

  /// Returns [#tokens] for an extent that holds whole sequences, else one block.
  Blocks tokensIfWhole(long extent) {
    return extent % microBatch == 0 ? tokens() : Blocks.WHOLE;
  }
}
