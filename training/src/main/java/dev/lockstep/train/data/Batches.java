package dev.lockstep.train.data;

import dev.lockstep.tensor.Philox;
import java.lang.foreign.MemorySegment;

/// Training batches as a function of (seed, step, lane): which windows a lane sees does not depend
/// on who computes it. Single-threaded; filling allocates nothing.
public final class Batches {
  private static final long STREAM = Philox.stream("training windows");

  private final CorpusReader reader;
  private final long seed;
  private final int lanes;
  private final int microBatch;
  private final int context;
  private final long starts;

  /// Makes the batches of a recipe.
  ///
  /// @param lanes lanes of a step
  /// @param microBatch windows of a lane
  /// @param context tokens of a window
  /// @throws IllegalArgumentException if the training part is shorter than one window and its last
  ///   target
  public Batches(Corpus corpus, long seed, int lanes, int microBatch, int context) {
    if (corpus.trainTokens() < context + 1L) {
      throw new IllegalArgumentException(
          "training text is shorter than one window: trainTokens=%d, context=%d"
              .formatted(corpus.trainTokens(), context));
    }
    this.reader = corpus.newReader();
    this.seed = seed;
    this.lanes = lanes;
    this.microBatch = microBatch;
    this.context = context;
    this.starts = corpus.trainTokens() - context;
  }

  /// Fills one lane's windows.
  ///
  /// @param step training step, from 0
  /// @param lane lane, from 0
  /// @param tokens receives `[microBatch, context]` int32
  /// @param targets receives the tokens that follow, `[microBatch, context]` int32
  public void fill(long step, int lane, MemorySegment tokens, MemorySegment targets) {
    for (int row = 0; row < microBatch; row++) {
      long window = (step * lanes + lane) * microBatch + row;
      long start = Philox.below(seed, STREAM, window, starts);
      reader.read(start, context, tokens, (long) row * context);
      reader.read(start + 1, context, targets, (long) row * context);
    }
  }
}
