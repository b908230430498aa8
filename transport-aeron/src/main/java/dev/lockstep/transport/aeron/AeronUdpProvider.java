package dev.lockstep.transport.aeron;

import dev.lockstep.failure.Availability;
import dev.lockstep.transport.Transport;
import dev.lockstep.transport.TransportContext;
import dev.lockstep.transport.TransportProvider;

/// Links over Aeron's reliable UDP: ranks of any hosts. Bound to the job's bind address alone;
/// loopback unless the job spans nodes.
public final class AeronUdpProvider implements TransportProvider {
  /// Makes the provider, as [java.util.ServiceLoader] asks for.
  public AeronUdpProvider() {}

  @Override
  public String name() {
    return "aeron-udp";
  }

  @Override
  public Availability probe() {
    return AeronProbe.probe("Aeron over UDP");
  }

  @Override
  public Availability reaches(TransportContext context) {
    return probe();
  }

  @Override
  public Transport open(TransportContext context) {
    return AeronTransport.open(context, Medium.udp(context.bindAddress()));
  }
}
