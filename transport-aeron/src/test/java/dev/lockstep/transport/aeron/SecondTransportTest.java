package dev.lockstep.transport.aeron;

import dev.lockstep.transport.TransportContext;
import dev.lockstep.transport.TransportHarness;
import dev.lockstep.transport.TransportProvider;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

@Timeout(60)
class SecondTransportTest {
  private static final int BYTES = 50_000;

  @TempDir private Path directory;

  private static Stream<TransportProvider> providers() {
    return Stream.of(new AeronUdpProvider(), new AeronIpcProvider());
  }

  @ParameterizedTest(name = "{index}")
  @MethodSource("providers")
  void transportsOfOneJobDoNotShareADriver(TransportProvider provider) {
    List<TransportContext> contexts = TransportHarness.contexts(2, directory);
    TransportHarness first = open(provider, contexts);
    try (TransportHarness second = open(provider, contexts)) {
      TransportHarness.Pair link;
      try (first) {
        first.exchange(10, 10_000);
        link = second.link(0, 1, 2);
        second.deliver(link, 2, 0, BYTES);
        first.deliver(first.link(0, 1, 3), 3, 0, BYTES);
      }
      second.deliver(link, 2, 1, BYTES);
      second.deliver(second.link(1, 0, 2), 2, 0, BYTES);
    }
  }

  private static TransportHarness open(
      TransportProvider provider, List<TransportContext> contexts) {
    return new TransportHarness(contexts.stream().map(provider::open).toList());
  }
}
