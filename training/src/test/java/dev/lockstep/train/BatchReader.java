package dev.lockstep.train;

import dev.lockstep.train.data.Batches;
import dev.lockstep.train.data.Corpus;
import dev.lockstep.train.data.CorpusReader;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;

/// The windows that a recipe's steps and evaluations see, as plain arrays.
final class BatchReader {
  private final Recipe recipe;
  private final Corpus corpus;
  private final Batches batches;

  BatchReader(Recipe recipe, Corpus corpus) {
    this.recipe = recipe;
    this.corpus = corpus;
    this.batches =
        new Batches(
            corpus,
            recipe.seed(),
            recipe.batch().lanes(),
            recipe.batch().microBatch(),
            recipe.model().context());
  }

  /// Windows: one row each.
  ///
  /// @param tokens `[windows][context]`
  /// @param targets the tokens that follow
  @SuppressWarnings("ArrayRecordComponent") // never compared
  record Windows(int[][] tokens, int[][] targets) {}

  /// Returns all windows of a step, lane by lane.
  Windows step(long step) {
    int context = recipe.model().context();
    int perLane = recipe.batch().microBatch();
    int[][] tokens = new int[(int) recipe.batch().sequences()][];
    int[][] targets = new int[tokens.length][];
    for (int lane = 0; lane < recipe.batch().lanes(); lane++) {
      int[] laneTokens = new int[perLane * context];
      int[] laneTargets = new int[perLane * context];
      batches.fill(
          step, lane, MemorySegment.ofArray(laneTokens), MemorySegment.ofArray(laneTargets));
      for (int row = 0; row < perLane; row++) {
        int from = row * context;
        tokens[lane * perLane + row] = Arrays.copyOfRange(laneTokens, from, from + context);
        targets[lane * perLane + row] = Arrays.copyOfRange(laneTargets, from, from + context);
      }
    }
    return new Windows(tokens, targets);
  }

  /// Returns all windows of an evaluation.
  Windows validation() {
    int context = recipe.model().context();
    int windows = recipe.batch().validationBatches() * recipe.batch().microBatch();
    long starts = corpus.validationTokens() - context;
    int[][] tokens = new int[windows][context];
    int[][] targets = new int[windows][context];
    CorpusReader reader = corpus.newReader();
    for (int window = 0; window < windows; window++) {
      long start = corpus.trainTokens() + window * starts / windows;
      reader.read(start, context, MemorySegment.ofArray(tokens[window]), 0);
      reader.read(start + 1, context, MemorySegment.ofArray(targets[window]), 0);
    }
    return new Windows(tokens, targets);
  }
}
