package dev.lockstep.bench.step;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.concurrent.CyclicBarrier;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(20)
class HeapUseTest {
  private static final int BYTES = 1 << 20;
  private static volatile byte[] kept = {};

  private static long least(Runnable work) {
    HeapUse use = new HeapUse();
    long least = Long.MAX_VALUE;
    for (int i = 0; i < 100; i++) {
      use.start();
      work.run();
      least = Math.min(least, use.stop());
    }
    return least;
  }

  @Test
  void whatAllocatesNothingCountsNothing() {
    assertThat(least(() -> {})).isZero();
  }

  @Test
  void countsWhatIsAllocated() {
    assertThat(least(() -> kept = new byte[BYTES])).isBetween((long) BYTES, BYTES + 1000L);
    assertThat(kept).hasSize(BYTES);
  }

  @Test
  void countsOtherThreadsButThoseOfTheControlPlane() throws Exception {
    assertThat(whileAllocating("lockstep-cpu-test")).isGreaterThanOrEqualTo(BYTES);
    assertThat(whileAllocating("lockstep-store-rank-0")).isLessThan(BYTES);
  }

  /// Counts while a thread of this name allocates.
  private static long whileAllocating(String name) throws Exception {
    CyclicBarrier barrier = new CyclicBarrier(2);
    Thread thread =
        Thread.ofPlatform()
            .name(name)
            .start(
                () -> {
                  meet(barrier);
                  kept = new byte[BYTES];
                  meet(barrier);
                  meet(barrier);
                });
    HeapUse use = new HeapUse();
    use.start();
    meet(barrier);
    meet(barrier);
    long bytes = use.stop();
    meet(barrier);
    thread.join();
    return bytes;
  }

  private static void meet(CyclicBarrier barrier) {
    try {
      barrier.await();
    } catch (Exception e) {
      throw new IllegalStateException(e);
    }
  }
}
