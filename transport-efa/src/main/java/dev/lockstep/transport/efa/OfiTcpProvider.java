package dev.lockstep.transport.efa;

/// `ofi:tcp`: links over libfabric's own reliable datagrams on TCP, `net` in 1.17 and `tcp` later,
/// bound to the job's address alone.
public final class OfiTcpProvider extends FabricProvider {
  /// Makes the provider, as [java.util.ServiceLoader] asks for.
  public OfiTcpProvider() {
    super(FabricKind.TCP);
  }
}
