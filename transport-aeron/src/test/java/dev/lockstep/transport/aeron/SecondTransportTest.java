package dev.lockstep.transport.aeron;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.memory.Registration;
import dev.lockstep.transport.Transfer;
import dev.lockstep.transport.TransportContext;
import dev.lockstep.transport.TransportHarness;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

@Timeout(60)
class SecondTransportTest {
  private static final int BYTES = 50_000;

  @TempDir private Path directory;

  @Test
  void transportsOfOneJobDoNotShareADriver() {
    List<TransportContext> contexts = TransportHarness.contexts(2, directory);
    try (TransportHarness second = open(contexts)) {
      TransportHarness.Pair link;
      try (TransportHarness first = open(contexts)) {
        first.exchange(10, 10_000);
        link = second.link(0, 1, 2);
        message(second, link, 0);
      }
      message(second, link, 1);
      message(second, second.link(1, 0, 2), 0);
    }
  }

  private static TransportHarness open(List<TransportContext> contexts) {
    return new TransportHarness(
        contexts.stream().map(context -> new AeronUdpProvider().open(context)).toList());
  }

  private static void message(TransportHarness harness, TransportHarness.Pair link, int sequence) {
    Registration source = harness.random(0, BYTES, sequence + 1);
    Registration target = harness.zeros(0, BYTES);
    Transfer sending = TransportHarness.send(source, 2, sequence);
    Transfer receiving = TransportHarness.receive(target, 2, sequence);
    harness.post(link.receiver(), receiving);
    harness.post(link.sender(), sending);
    harness.until(
        () -> {
          int _ = link.sender().poll() + link.receiver().poll();
          return sending.state() != Transfer.State.POSTED
              && receiving.state() != Transfer.State.POSTED;
        });
    harness.await(sending, receiving);
    assertThat(target.segment().mismatch(source.segment())).isEqualTo(-1);
  }
}
