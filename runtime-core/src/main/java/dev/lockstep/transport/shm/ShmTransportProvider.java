package dev.lockstep.transport.shm;

import dev.lockstep.failure.Availability;
import dev.lockstep.transport.Transport;
import dev.lockstep.transport.TransportContext;
import dev.lockstep.transport.TransportProvider;
import dev.lockstep.transport.ring.RingTransport;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/// Makes `shm`: memory that the processes of one host map.
public final class ShmTransportProvider implements TransportProvider {
  /// What users write after `--transport`.
  public static final String NAME = "shm";

  /// Made by [java.util.ServiceLoader].
  public ShmTransportProvider() {}

  @Override
  public String name() {
    return NAME;
  }

  @Override
  public Availability probe() {
    return Files.isDirectory(Path.of("/proc/self/fd"))
        ? new Availability.Available(1, "memory files, opened through /proc")
        : new Availability.Unavailable("shared memory needs /proc (Linux, with /proc mounted)");
  }

  @Override
  public Availability reaches(TransportContext context) {
    List<String> hosts = context.hosts().stream().distinct().toList();
    return hosts.size() == 1
        ? new Availability.Available(1, "all ranks run on " + hosts.getFirst())
        : new Availability.Unavailable(
            "shared memory joins ranks of one host only: hosts=" + hosts + " (use aeron-udp)");
  }

  @Override
  public Transport open(TransportContext context) {
    return new RingTransport(NAME, context, new ShmNeighbors(context));
  }
}
