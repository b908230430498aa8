package dev.lockstep.transport.aeron;

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
        second.deliver(link, 2, 0, BYTES);
      }
      second.deliver(link, 2, 1, BYTES);
      second.deliver(second.link(1, 0, 2), 2, 0, BYTES);
    }
  }

  private static TransportHarness open(List<TransportContext> contexts) {
    return new TransportHarness(
        contexts.stream().map(context -> new AeronUdpProvider().open(context)).toList());
  }
}
