package dev.lockstep.train;

import dev.lockstep.train.model.Recompute;
import dev.lockstep.train.options.OptionCheck;
import java.time.Duration;
import java.util.Set;

/// Where and how fast a rank computes. Nothing here changes the numbers of a run, but `device` by
/// its kind.
///
/// @param device kind of device, as its provider calls it: `cpu`, `cuda` or `neuron`
/// @param threads compute threads of this rank, at most 1024; 0 shares the processors among the
///   host's ranks
/// @param vectorBits width of vectors: 64 for the scalar path, 128, 256 or 512; 0 for the best
/// @param transport name of the transport; empty for the best
/// @param timeout deadline of each collective
/// @param recompute which activations are computed again instead of kept
/// @param layout how the run is laid out over the ranks
/// @param bucketBytes where ranks of `dp` hold all of the state (ZeRO 0) and layers are not spread
///   over stages: gradients are reduced together as soon as the last lane has made so many bytes of
///   them, or an eighth of all if that is less and at least 1 MiB, the first ones earlier; 0 to
///   reduce all of them together after it
public record TrainerOptions(
    String device,
    int threads,
    int vectorBits,
    String transport,
    Duration timeout,
    Recompute recompute,
    Layout layout,
    long bucketBytes) {
  // More than the processors of any host: each is a thread with a stack of its own.
  private static final int MOST_THREADS = 1024;
  private static final Set<Integer> VECTOR_BITS = Set.of(0, 64, 128, 256, 512);
  private static final long DEFAULT_BUCKET_BYTES = 25 << 20;
  private static final Duration DEFAULT_TIMEOUT = Duration.ofMinutes(2);

  /// Checks the numbers.
  ///
  /// @throws dev.lockstep.failure.ConfigurationException if one does not fit
  public TrainerOptions {
    OptionCheck.atLeast("--threads", threads, 0);
    OptionCheck.atMost("--threads", threads, MOST_THREADS);
    if (!VECTOR_BITS.contains(vectorBits)) {
      throw OptionCheck.refusal(
          "--vector-bits",
          vectorBits,
          "there are no such vectors: --vector-bits %d (64, 128, 256 or 512, or 0 for the best)"
              .formatted(vectorBits));
    }
    OptionCheck.atLeast("--bucket-mb", bucketBytes >> 20, 0);
    if (!timeout.isPositive()) {
      throw OptionCheck.refusal(
          "--timeout",
          timeout,
          "too small: --timeout %d seconds (more than 0)".formatted(timeout.toSeconds()));
    }
  }

  /// Returns the default: the CPU, all processors of the host shared by its ranks.
  public static TrainerOptions defaults() {
    return new TrainerOptions(
        "cpu",
        0,
        0,
        "",
        DEFAULT_TIMEOUT,
        Recompute.NONE,
        Layout.dataParallel(),
        DEFAULT_BUCKET_BYTES);
  }

  /// Returns these options with another kind of device.
  public TrainerOptions withDevice(String other) {
    return new TrainerOptions(
        other, threads, vectorBits, transport, timeout, recompute, layout, bucketBytes);
  }

  /// Returns these options with another number of threads.
  public TrainerOptions withThreads(int other) {
    return new TrainerOptions(
        device, other, vectorBits, transport, timeout, recompute, layout, bucketBytes);
  }

  /// Returns these options with another width of vectors.
  public TrainerOptions withVectorBits(int other) {
    return new TrainerOptions(
        device, threads, other, transport, timeout, recompute, layout, bucketBytes);
  }

  /// Returns these options with another transport.
  public TrainerOptions withTransport(String other) {
    return new TrainerOptions(
        device, threads, vectorBits, other, timeout, recompute, layout, bucketBytes);
  }

  /// Returns these options with another deadline of each collective: how long a rank waits for the
  /// others before the job fails.
  public TrainerOptions withTimeout(Duration other) {
    return new TrainerOptions(
        device, threads, vectorBits, transport, other, recompute, layout, bucketBytes);
  }

  /// Returns these options with another choice of what is computed again.
  public TrainerOptions withRecompute(Recompute other) {
    return new TrainerOptions(
        device, threads, vectorBits, transport, timeout, other, layout, bucketBytes);
  }

  /// Returns these options with another layout.
  public TrainerOptions withLayout(Layout other) {
    return new TrainerOptions(
        device, threads, vectorBits, transport, timeout, recompute, other, bucketBytes);
  }

  /// Returns these options with another size of buckets.
  public TrainerOptions withBucketBytes(long other) {
    return new TrainerOptions(
        device, threads, vectorBits, transport, timeout, recompute, layout, other);
  }
}
