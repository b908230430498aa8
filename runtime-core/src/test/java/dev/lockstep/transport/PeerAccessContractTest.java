package dev.lockstep.transport;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.sun.management.ThreadMXBean;
import dev.lockstep.deadline.Deadline;
import dev.lockstep.failure.TransportException;
import dev.lockstep.memory.Buffer;
import dev.lockstep.memory.Registration;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.management.ManagementFactory;
import java.util.Arrays;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/// What every transport that shares memory does. A transport's module extends this and opens its
/// transports.
@Timeout(60)
public abstract class PeerAccessContractTest {
  private static final int WORLD = 5;

  /// Opens the connected transports of a new job, one for each of `ranks` ranks on one host;
  /// closing the harness closes them.
  protected abstract TransportHarness open(int ranks);

  private static PeerAccess access(TransportHarness ranks, int rank) {
    return ranks.transport(rank).peerAccess(ranks.numbers()).orElseThrow();
  }

  @Test
  void peersSeeARangeInPlace() {
    try (TransportHarness ranks = open(2)) {
      Buffer buffer = ranks.shared(100_000);
      var range = new Registration(buffer.registration().region(), 5000, 70_000);
      byte[] descriptor = access(ranks, 0).describe(range);
      MemorySegment seen = access(ranks, 1).open(0, descriptor);
      TransportHarness.fill(buffer, 1);
      assertThat(seen.mismatch(range.segment())).isEqualTo(-1);
      assertThat(seen.isReadOnly()).isTrue();
      assertThat(ranks.transport(1).counters().bytesOpenedInPlace()).isEqualTo(70_000);
      var other = new Registration(buffer.registration().region(), 0, 8);
      MemorySegment start = access(ranks, 1).open(0, access(ranks, 0).describe(other));
      access(ranks, 1).forget(0, descriptor);
      assertThat(start.mismatch(buffer.segment().asSlice(0, 8))).isEqualTo(-1);
    }
  }

  @Test
  void whatAPeerWritesInPlaceIsTheOwnersAndLeavesReadersMappingsAlone() {
    try (TransportHarness ranks = open(2)) {
      Buffer buffer = ranks.shared(100_000);
      var range = new Registration(buffer.registration().region(), 5000, 70_000);
      byte[] descriptor = access(ranks, 0).describe(range);
      MemorySegment read = access(ranks, 1).open(0, descriptor);
      MemorySegment written = access(ranks, 1).openToWrite(0, descriptor);
      written.set(ValueLayout.JAVA_LONG, 64, 7);
      assertThat(buffer.segment().get(ValueLayout.JAVA_LONG, 5064)).isEqualTo(7);
      access(ranks, 1).forget(0, descriptor);
      assertThat(read.isReadOnly()).isTrue();
      assertThat(read.get(ValueLayout.JAVA_LONG, 64)).isEqualTo(7);
      access(ranks, 1).forget(0, descriptor);
    }
  }

  @Test
  void garbageDescriptorsAreTypedErrors() {
    try (TransportHarness ranks = open(2)) {
      byte[] good = access(ranks, 0).describe(ranks.shared(4096).registration());
      for (int length = 0; length < good.length; length++) {
        byte[] cut = Arrays.copyOf(good, length);
        assertThatThrownBy(() -> access(ranks, 1).open(0, cut))
            .isInstanceOf(TransportException.class);
      }
      for (int at = 0; at < Math.min(good.length, 16); at++) {
        byte[] bent = good.clone();
        bent[at] ^= (byte) 0x80;
        assertThatThrownBy(() -> access(ranks, 1).open(0, bent))
            .isInstanceOf(TransportException.class);
      }
    }
  }

  @Test
  void closedMemoryCannotBeOpenedAndReadingItNeverCrashes() {
    try (TransportHarness ranks = open(2)) {
      Buffer buffer = ranks.shared(1 << 20);
      byte[] descriptor = access(ranks, 0).describe(buffer.registration());
      MemorySegment seen = access(ranks, 1).open(0, descriptor);
      buffer.close();
      try {
        assertThat(TransportHarness.nonZero(seen)).isFalse();
      } catch (IllegalStateException closed) {
        assertThat(closed).isNotNull(); // ranks of one JVM share the mapping itself
      }
      access(ranks, 1).forget(0, descriptor);
      assertThatThrownBy(() -> access(ranks, 1).open(0, descriptor))
          .isInstanceOf(TransportException.class);
    }
  }

  @Test
  void whatWasWrittenBeforeASignalIsSeenAfterIt() throws InterruptedException {
    int rounds = 20_000;
    try (TransportHarness ranks = open(2)) {
      Buffer buffer = ranks.shared(64 * 1024);
      byte[] descriptor = access(ranks, 0).describe(buffer.registration());
      access(ranks, 0).openSignals(WORLD);
      access(ranks, 1).openSignals(WORLD);
      access(ranks, 1).openSignals(WORLD);
      Thread writer =
          Thread.ofPlatform()
              .daemon()
              .start(
                  () -> {
                    PeerAccess mine = access(ranks, 0);
                    for (int round = 1; round <= rounds; round++) {
                      for (int i = 0; i < 8; i++) {
                        buffer.segment().set(ValueLayout.JAVA_LONG, i * 8000L, round);
                      }
                      mine.signal(1, WORLD, 3, round);
                      long answer = round;
                      Deadline.until(() -> mine.signalled(1, WORLD, 0) >= answer);
                    }
                  });
      PeerAccess mine = access(ranks, 1);
      MemorySegment seen = mine.open(0, descriptor);
      for (int round = 1; round <= rounds; round++) {
        long awaited = round;
        Deadline.until(() -> mine.signalled(0, WORLD, 3) >= awaited);
        for (int i = 0; i < 8; i++) {
          assertThat(seen.get(ValueLayout.JAVA_LONG, i * 8000L)).isEqualTo(round);
        }
        mine.signal(0, WORLD, 0, round);
      }
      writer.join();
    }
  }

  @Test
  void signalsOfPairsSlotsAndCommunicatorsAreApart() {
    try (TransportHarness ranks = open(3)) {
      for (int rank = 0; rank < 3; rank++) {
        access(ranks, rank).openSignals(1);
        access(ranks, rank).openSignals(2);
      }
      for (int communicator = 1; communicator <= 2; communicator++) {
        for (int from = 0; from < 3; from++) {
          for (int to = 0; to < 3; to++) {
            for (int slot = 0; slot < PeerAccess.SLOTS; slot++) {
              assertThat(access(ranks, to).signalled(from, communicator, slot)).isZero();
              long value = value(communicator, from, to, slot);
              access(ranks, from).signal(to, communicator, slot, value);
            }
          }
        }
      }
      for (int communicator = 1; communicator <= 2; communicator++) {
        for (int from = 0; from < 3; from++) {
          for (int to = 0; to < 3; to++) {
            for (int slot = 0; slot < PeerAccess.SLOTS; slot++) {
              assertThat(access(ranks, to).signalled(from, communicator, slot))
                  .isEqualTo(value(communicator, from, to, slot));
            }
          }
        }
      }
      assertThatThrownBy(() -> access(ranks, 0).signal(1, 9, 0, 1))
          .isInstanceOf(IllegalStateException.class)
          .hasMessageContaining("communicator=9");
      assertThatThrownBy(() -> access(ranks, 0).signalled(1, 1, PeerAccess.SLOTS))
          .isInstanceOf(IllegalArgumentException.class);
    }
  }

  @Test
  void signalsOfACommunicatorThatIsClosedLeaveThoseOfOthersAlone() {
    try (TransportHarness ranks = open(2)) {
      for (int communicator = 1; communicator <= 2; communicator++) {
        for (int rank = 0; rank < 2; rank++) {
          access(ranks, rank).openSignals(communicator);
          access(ranks, rank).signal(rank, communicator, 0, 1);
        }
        access(ranks, 0).signal(1, communicator, 0, 5);
      }
      access(ranks, 1).closeSignals(1);
      access(ranks, 1).closeSignals(1);
      assertThat(access(ranks, 1).signalled(0, 2, 0)).isEqualTo(5);
      access(ranks, 0).signal(1, 2, 0, 6);
      assertThat(access(ranks, 1).signalled(0, 2, 0)).isEqualTo(6);
      assertThatThrownBy(() -> access(ranks, 1).signalled(0, 1, 0))
          .isInstanceOf(IllegalStateException.class)
          .hasMessageContaining("communicator=1");
      access(ranks, 0).closeSignals(1);
    }
  }

  private static long value(int communicator, int from, int to, int slot) {
    return 1000L * communicator + 100L * from + 10L * to + slot;
  }

  @Test
  void signalsAllocateNothing() {
    var threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
    try (TransportHarness ranks = open(2)) {
      PeerAccess here = access(ranks, 0);
      PeerAccess there = access(ranks, 1);
      here.openSignals(WORLD);
      there.openSignals(WORLD);
      long allocated = Long.MAX_VALUE;
      long value = 0;
      for (int round = 0; round < 50 && allocated != 0; round++) {
        long before = threads.getCurrentThreadAllocatedBytes();
        for (int i = 0; i < 10_000; i++) {
          here.signal(1, WORLD, 1, ++value);
          if (there.signalled(0, WORLD, 1) != value) {
            throw new AssertionError("signal is late");
          }
        }
        allocated = threads.getCurrentThreadAllocatedBytes() - before;
      }
      assertThat(allocated).isZero();
    }
  }
}
