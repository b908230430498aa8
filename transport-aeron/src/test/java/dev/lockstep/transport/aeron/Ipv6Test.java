package dev.lockstep.transport.aeron;

import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.lockstep.transport.Transport;
import dev.lockstep.transport.TransportContext;
import dev.lockstep.transport.TransportHarness;
import java.net.InetAddress;
import java.net.NetworkInterface;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

@Timeout(60)
class Ipv6Test {
  private static final String LOOPBACK = "::1";

  @TempDir private Path directory;

  @Test
  void messagesArriveOverAddressesOfVersionSix() throws Exception {
    assumeTrue(
        NetworkInterface.getByInetAddress(InetAddress.ofLiteral(LOOPBACK)) != null,
        "judge IPv6: this machine has no " + LOOPBACK);
    List<Transport> opened = new ArrayList<>();
    for (TransportContext usual : TransportHarness.contexts(2, directory)) {
      opened.add(
          new AeronUdpProvider()
              .open(
                  new TransportContext(
                      usual.jobId(),
                      usual.rank(),
                      usual.hosts(),
                      LOOPBACK,
                      usual.directory(),
                      usual.localLeader(),
                      usual.addresses(),
                      usual.memory(),
                      usual.liveness())));
    }
    try (TransportHarness harness = new TransportHarness(opened)) {
      harness.exchange(20, 10_000);
    }
  }
}
