package dev.lockstep.transport.efa;

import dev.lockstep.failure.Availability;
import dev.lockstep.failure.TransportException;
import dev.lockstep.transport.Transport;
import dev.lockstep.transport.TransportContext;
import dev.lockstep.transport.TransportProvider;
import dev.lockstep.transport.efa.ffi.Libfabric;
import java.util.function.UnaryOperator;

/// What the providers of this module share: each is one [FabricKind].
abstract class FabricProvider implements TransportProvider {
  private static final String LOOPBACK = "127.0.0.1";

  private final FabricKind kind;

  FabricProvider(FabricKind kind) {
    this.kind = kind;
  }

  @Override
  public final String name() {
    return kind.name();
  }

  @Override
  public final Availability probe() {
    return probe(LOOPBACK);
  }

  private Availability probe(String address) {
    try (Discovery found = Discovery.of(kind, address)) {
      return new Availability.Available(1, found.describe());
    } catch (Discovery.AbsentException absent) {
      return new Availability.Unavailable(String.valueOf(absent.getMessage()));
    }
  }

  @Override
  public final Availability reaches(TransportContext context) {
    if (kind.oneHost() && !context.isOneHost()) {
      return new Availability.Unavailable(
          "%s joins ranks of one host, the job spans several: hosts=%s"
              .formatted(name(), context.hosts().stream().distinct().toList()));
    }
    return probe(context.bindAddress());
  }

  @Override
  public final Transport open(TransportContext context) {
    return open(context, FabricOptions.defaults());
  }

  /// Opens the transport with other numbers than the usual ones.
  final Transport open(TransportContext context, FabricOptions options) {
    return open(context, options, UnaryOperator.identity());
  }

  /// Opens the transport with a libfabric that is wrapped into another, for tests.
  final Transport open(
      TransportContext context, FabricOptions options, UnaryOperator<Libfabric> wrap) {
    try {
      Discovery found = Discovery.of(kind, context.bindAddress());
      return FabricTransport.open(context, found, wrap.apply(found.library()), options);
    } catch (Discovery.AbsentException absent) {
      throw new TransportException(name(), String.valueOf(absent.getMessage()), null);
    }
  }
}
