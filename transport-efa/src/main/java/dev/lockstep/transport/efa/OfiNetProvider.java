package dev.lockstep.transport.efa;

/// `ofi:net`: [OfiTcpProvider] by the name that libfabric 1.17 has for it.
public final class OfiNetProvider extends FabricProvider {
  /// Makes the provider, as [java.util.ServiceLoader] asks for.
  public OfiNetProvider() {
    super(FabricKind.NET);
  }
}
