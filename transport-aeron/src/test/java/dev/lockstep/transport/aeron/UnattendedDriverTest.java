package dev.lockstep.transport.aeron;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.fail;

import dev.lockstep.memory.Registration;
import dev.lockstep.transport.Transfer;
import dev.lockstep.transport.Transport;
import dev.lockstep.transport.TransportHarness;
import java.nio.file.Path;
import java.time.Duration;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/// A rank that has sent, and then computes, polls nothing: what it sent arrives all the same.
@Timeout(60)
final class UnattendedDriverTest {
  private static final int COMMUNICATOR = 1;

  /// Some frames, all of which the log takes before the first is read.
  private static final int BYTES = 200_000;

  private static final Duration PATIENCE = Duration.ofSeconds(20);

  @TempDir private Path directory;

  @Test
  void sendsWhatIsInTheLogWhenNobodyPolls() {
    try (TransportHarness ranks = TransportHarness.open(new AeronUdpProvider(), 2, directory)) {
      TransportHarness.Pair link = ranks.link(0, 1, COMMUNICATOR);
      Registration source = ranks.random(0, BYTES, 1);
      Registration target = ranks.zeros(0, BYTES);
      Transfer sending = TransportHarness.send(source, COMMUNICATOR, 0);
      Transfer receiving = TransportHarness.receive(target, COMMUNICATOR, 0);
      ranks.post(link.receiver(), receiving);
      link.sender().post(sending);
      long deadline = System.nanoTime() + PATIENCE.toNanos();
      while (!sending.isDone()) {
        link.sender().poll();
        requireBefore(deadline);
      }

      Transport alone = ranks.transport(1);
      while (!receiving.isDone()) {
        alone.poll();
        requireBefore(deadline);
      }

      assertThat(target.segment().mismatch(source.segment())).isEqualTo(-1);
    }
  }

  private static void requireBefore(long deadline) {
    if (System.nanoTime() - deadline > 0) {
      fail("deadline passed: seconds=" + PATIENCE.toSeconds());
    }
  }
}
