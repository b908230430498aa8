package dev.lockstep.transport.efa;

/// `ofi:net`: links over libfabric's own reliable datagrams on TCP, `net` in 1.17 and `tcp` later.
public final class OfiNetProvider extends FabricProvider {
  /// Makes the provider, as [java.util.ServiceLoader] asks for.
  public OfiNetProvider() {
    super(FabricKind.NET);
  }
}
