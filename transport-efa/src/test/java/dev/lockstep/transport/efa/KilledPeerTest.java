package dev.lockstep.transport.efa;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowable;

import dev.lockstep.deadline.Deadline;
import dev.lockstep.deadline.MachineLoad;
import dev.lockstep.failure.TransportException;
import dev.lockstep.process.Signals;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import java.time.Duration;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// A peer that is killed in the middle of large messages, without a job that would say so.
@Timeout(90)
final class KilledPeerTest {
  /// A provider may try again without end, so that the transport's own questions stay unanswered
  /// for the liveness time, 2 s here: `ofi_rxd` always does, `tcp` in one of ten cases, where else
  /// it says at once that nobody is there.
  private static final Duration WHEN_UNANSWERED = Duration.ofSeconds(4);

  @TempDir private Path directory;

  @ParameterizedTest(name = "{0}")
  @ValueSource(strings = "ofi:tcp")
  void survivorLearnsItInTimeAndKeepsNothing(String provider) throws Exception {
    kill(provider);
  }

  @Test
  @Tag("long")
  void survivorLearnsItInTimeOverDatagrams() throws Exception {
    kill("ofi:udp");
  }

  /// What the connection still carries ends within a segment, of which the provider has begun to
  /// write.
  @ParameterizedTest(name = "{0}")
  @ValueSource(strings = {"ofi:tcp", "ofi:udp"})
  void survivorLearnsItOfAPeerThatWasWriting(String provider) throws Exception {
    LibfabricJudge.require(FabricProcess.provider(provider));
    Process victim = FabricProcess.start(provider, directory);
    try (FabricProcess survivor = new FabricProcess(provider, 0, directory)) {
      readInto(survivor);
      victim.destroyForcibly().waitFor();
      Throwable failure =
          catchThrowable(
              () -> {
                survivor.await(); // all of it may be here by now
                survivor.exchange(4);
              });
      assertThat(failure).isInstanceOf(TransportException.class);
    } finally {
      victim.destroyForcibly();
    }
  }

  @ParameterizedTest(name = "{0}")
  @ValueSource(strings = {"ofi:tcp", "ofi:udp"})
  void survivorClosesWhileAPeerStandsStillWithinASegment(String provider) throws Exception {
    LibfabricJudge.require(FabricProcess.provider(provider));
    Process victim = FabricProcess.start(provider, directory);
    try (FabricProcess survivor = new FabricProcess(provider, 0, directory)) {
      readInto(survivor);
      Signals.send("STOP", victim.toHandle());
    } finally {
      victim.destroyForcibly();
    }
  }

  /// Exchanges messages, and reads the beginning of one more: the rest is left to the sockets,
  /// which soon are full.
  private static void readInto(FabricProcess survivor) {
    for (long sequence = 0; sequence < 3; sequence++) {
      survivor.exchange(sequence);
    }
    MemorySegment arriving = survivor.theirs.segment();
    arriving.set(ValueLayout.JAVA_BYTE, 0, (byte) (arriving.get(ValueLayout.JAVA_BYTE, 0) + 1));
    byte before = arriving.get(ValueLayout.JAVA_BYTE, 0);
    survivor.post(3);
    Deadline.until(
        () -> {
          survivor.transport.poll();
          return arriving.get(ValueLayout.JAVA_BYTE, 0) != before;
        });
  }

  /// The victim stands still first, so that it dies with leave to write.
  private void kill(String provider) throws Exception {
    LibfabricJudge.require(FabricProcess.provider(provider));
    Process victim = FabricProcess.start(provider, directory);
    try (FabricProcess survivor = new FabricProcess(provider, 0, directory)) {
      for (long sequence = 0; sequence < 20; sequence++) {
        survivor.exchange(sequence);
      }
      Signals.send("STOP", victim.toHandle());
      survivor.post(20);
      Deadline.until(
          () -> {
            survivor.transport.poll();
            return survivor.isAwaitingWrites();
          });
      victim.destroyForcibly().waitFor();
      long killed = System.nanoTime();
      Throwable failure = catchThrowable(survivor::await);
      Duration took = Duration.ofNanos(System.nanoTime() - killed);
      assertThat(failure)
          .isInstanceOf(TransportException.class)
          .hasMessageContaining("transport=" + provider);
      assertThat(((TransportException) failure).endpoint()).isEqualTo("rank 1");
      assertThat(took).as(MachineLoad::now).isLessThan(WHEN_UNANSWERED);
      // What the dead peer had leave to write stays quarantined until the endpoint is closed.
      long used = survivor.pool.usedBytes();
      survivor.theirs.close();
      assertThat(survivor.pool.usedBytes()).isEqualTo(used);
      survivor.transport.close();
      assertThat(survivor.pool.usedBytes()).isEqualTo(survivor.mine.bytes());
      assertThat(((FabricTransport) survivor.transport).engine().failures().unclosed()).isZero();
    } finally {
      victim.destroyForcibly();
    }
  }
}
