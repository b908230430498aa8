package dev.lockstep.collective.algorithm;

import static dev.lockstep.collective.algorithm.Parts.input;
import static dev.lockstep.collective.algorithm.Parts.output;

import dev.lockstep.collective.request.CollectiveKind;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.schedule.Range;
import dev.lockstep.collective.schedule.Space;
import java.util.Optional;

/// All-reduce over two binary trees at once, each with half the elements and in chunks: up to the
/// root, joining, and down again (Sanders, Speck and Träff, 2009). What is an inner rank of one
/// tree is a leaf of the other, save one, so that every rank sends and receives at full rate.
///
/// Joins a rank's contribution with its two branches': relaxed mode only. `2 log2 P` messages deep,
/// and one more for each chunk; a rank sends `2 S` bytes at most. No scratch.
final class DoubleTreeAllReduce extends PlannedAlgorithm {
  private final long chunkBytes;
  private final long smallerBytes;

  /// Makes the algorithm.
  ///
  /// @param chunkBytes most bytes of a message, as long as a half has not too many chunks
  DoubleTreeAllReduce(long chunkBytes) {
    this(chunkBytes, 0);
  }

  /// Makes the algorithm that is redundant where smaller chunks are the same.
  ///
  /// @param chunkBytes most bytes of a message, as long as a half has not too many chunks
  /// @param smallerBytes another size, of an algorithm that is tried too; 0 if there is none
  DoubleTreeAllReduce(long chunkBytes, long smallerBytes) {
    super("double-tree-all-reduce/" + chunkBytes, CollectiveKind.ALL_REDUCE);
    this.chunkBytes = chunkBytes;
    this.smallerBytes = smallerBytes;
  }

  @Override
  Optional<String> obstacle(CollectiveRequest request) {
    return Parts.notTheLaneTree(request, "a double binary tree")
        .or(() -> Parts.notInRankOrder(request));
  }

  @Override
  public Optional<String> redundancy(CollectiveRequest request) {
    return chunks(request).sameAs(smallerBytes, 1);
  }

  private Chunks chunks(CollectiveRequest request) {
    return new Chunks(request, Cut.evenly(request, 2), chunkBytes);
  }

  @Override
  Plan plan(CollectiveRequest request) {
    Chunks chunks = chunks(request);
    return Plan.of(rank -> steps(request, chunks, rank));
  }

  private static Steps steps(CollectiveRequest request, Chunks chunks, int rank) {
    Steps steps = new Steps();
    int ranks = request.ranks();
    Range whole = output(rank, 0, request.total());
    if (Parts.joinOwn(steps, request, rank) instanceof Space.Input && !request.inPlace()) {
      steps.copy(input(rank, 0, 0, request.total()), whole);
    }
    int most = Math.max(chunks.number(0), chunks.number(1));
    // A chunk is back at the leaves when this many more have been sent up.
    int ahead = 2 * (33 - Integer.numberOfLeadingZeros(ranks));
    for (int chunk = 0; chunk < most + ahead; chunk++) {
      for (int tree = 0; tree < 2; tree++) {
        up(steps, request, BinaryTree.of(tree, ranks, rank), chunk(chunks, rank, tree, chunk));
      }
      for (int tree = 0; tree < 2; tree++) {
        down(steps, BinaryTree.of(tree, ranks, rank), chunk(chunks, rank, tree, chunk - ahead));
      }
    }
    return steps;
  }

  /// Returns a chunk of a tree's half; empty if there is none of that number.
  private static Range chunk(Chunks chunks, int rank, int tree, int chunk) {
    return chunk < 0 || chunk >= chunks.number(tree)
        ? output(rank, 0, 0)
        : chunks.of(output(rank, chunks.parts().start(tree), 0), tree, chunk);
  }

  private static void up(Steps steps, CollectiveRequest request, BinaryTree place, Range chunk) {
    for (int child : place.children()) {
      steps.receiveReduce(child, chunk);
    }
    if (place.isRoot()) {
      steps.finish(request, chunk);
    } else {
      steps.send(place.parent(), chunk);
    }
  }

  private static void down(Steps steps, BinaryTree place, Range chunk) {
    if (!place.isRoot()) {
      steps.receive(place.parent(), chunk);
    }
    for (int child : place.children()) {
      steps.send(child, chunk);
    }
  }
}
