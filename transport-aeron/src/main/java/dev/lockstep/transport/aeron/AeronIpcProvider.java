package dev.lockstep.transport.aeron;

import dev.lockstep.failure.Availability;
import dev.lockstep.transport.Transport;
import dev.lockstep.transport.TransportContext;
import dev.lockstep.transport.TransportProvider;

/// Links over Aeron's logs in shared memory: ranks of one host.
public final class AeronIpcProvider implements TransportProvider {
  /// Makes the provider, as [java.util.ServiceLoader] asks for.
  public AeronIpcProvider() {}

  @Override
  public String name() {
    return "aeron-ipc";
  }

  @Override
  public Availability probe() {
    return AeronProbe.probe("Aeron over shared memory");
  }

  @Override
  public Availability reaches(TransportContext context) {
    return context.isOneHost()
        ? probe()
        : new Availability.Unavailable(
            "aeron-ipc joins ranks of one host, the job spans several: hosts="
                + context.hosts().stream().distinct().toList());
  }

  @Override
  public Transport open(TransportContext context) {
    return AeronTransport.open(context, Medium.ipc());
  }
}
