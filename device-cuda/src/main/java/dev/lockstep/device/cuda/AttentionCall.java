package dev.lockstep.device.cuda;

import dev.lockstep.graph.Composite;
import dev.lockstep.graph.Node;
import dev.lockstep.graph.Primitive;
import dev.lockstep.tensor.Shape;
import java.util.Optional;

/// What attends to what.
///
/// @param packed whether q, k and v lie side by side in one value
/// @param batch sequences
/// @param queries of each sequence
/// @param keys of each sequence
/// @param firstQuery position of the first query among the keys
/// @param heads of queries
/// @param groups heads of keys and values
/// @param size of a head
record AttentionCall(
    boolean packed,
    int batch,
    int queries,
    int keys,
    int firstQuery,
    int heads,
    int groups,
    int size) {
  /// Returns the call of a node, if it is attention or its gradient.
  static Optional<AttentionCall> of(Node node) {
    return switch (node.op()) {
      case Composite.CausalAttention(int heads) -> Optional.of(packed(shape(node, 0), heads));
      case Composite.CausalAttentionGrad(int heads, var _) ->
          Optional.of(packed(shape(node, 1), heads));
      case Composite.GroupedAttention(int heads, int groups, long firstQuery) ->
          Optional.of(grouped(shape(node, 0), shape(node, 1), heads, groups, firstQuery));
      case Composite.GroupedAttentionGrad(int heads, int groups, long firstQuery, var _) ->
          Optional.of(grouped(shape(node, 1), shape(node, 2), heads, groups, firstQuery));
      case Composite _, Primitive _ -> Optional.empty();
    };
  }

  private static Shape shape(Node node, int operand) {
    return node.inputs().get(operand).type().shape();
  }

  private static AttentionCall packed(Shape qkv, int heads) {
    int tokens = Sizes.of(qkv.dim(1));
    int size = Sizes.of(qkv.dim(2) / 3 / heads);
    return new AttentionCall(true, Sizes.of(qkv.dim(0)), tokens, tokens, 0, heads, heads, size);
  }

  private static AttentionCall grouped(Shape q, Shape k, int heads, int groups, long firstQuery) {
    return new AttentionCall(
        false,
        Sizes.of(q.dim(0)),
        Sizes.of(q.dim(1)),
        Sizes.of(k.dim(1)),
        Sizes.of(firstQuery),
        heads,
        groups,
        Sizes.of(q.dim(2) / heads));
  }

  /// Returns the features of a token's queries, and of its output.
  long features() {
    return (long) heads * size;
  }

  /// Returns how many elements a token's queries stand from the next one's.
  long queryStride() {
    return packed ? 3 * features() : features();
  }

  long keyStride() {
    return packed ? 3 * features() : (long) groups * size;
  }

  boolean isEmpty() {
    return batch == 0 || features() == 0;
  }

  /// Returns what scores are multiplied by.
  float scale() {
    return (float) (1 / Math.sqrt(size));
  }
}
