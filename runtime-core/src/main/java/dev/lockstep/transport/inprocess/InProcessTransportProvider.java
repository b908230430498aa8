package dev.lockstep.transport.inprocess;

import dev.lockstep.failure.Availability;
import dev.lockstep.failure.TransportException;
import dev.lockstep.transport.Transport;
import dev.lockstep.transport.TransportContext;
import dev.lockstep.transport.TransportProvider;
import dev.lockstep.transport.ring.RingTransport;

/// Makes `in-process`: memory that the threads of one JVM share anyhow.
public final class InProcessTransportProvider implements TransportProvider {
  /// What users write after `--transport`.
  public static final String NAME = "in-process";

  /// Made by [java.util.ServiceLoader].
  public InProcessTransportProvider() {}

  @Override
  public String name() {
    return NAME;
  }

  @Override
  public Availability probe() {
    return new Availability.Available(1, "ranks as threads of one JVM");
  }

  @Override
  public Availability reaches(TransportContext context) {
    return context.addresses().local().isPresent()
        ? new Availability.Available(1, "all ranks are threads of this JVM")
        : new Availability.Unavailable("ranks are processes of their own (use shm or aeron-udp)");
  }

  @Override
  public Transport open(TransportContext context) {
    var shared =
        context
            .addresses()
            .local()
            .orElseThrow(
                () ->
                    new TransportException(
                        "rank " + context.rank(),
                        "ranks do not share a JVM: rank=%d, worldSize=%d (use shm or aeron-udp)"
                            .formatted(context.rank(), context.worldSize()),
                        null));
    return new RingTransport(NAME, context, new InProcessNeighbors(context, shared));
  }
}
