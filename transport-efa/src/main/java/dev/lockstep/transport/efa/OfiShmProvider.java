package dev.lockstep.transport.efa;

/// `ofi:shm`: links over libfabric's `shm`, between ranks of one host.
public final class OfiShmProvider extends FabricProvider {
  /// Makes the provider, as [java.util.ServiceLoader] asks for.
  public OfiShmProvider() {
    super(FabricKind.SHM);
  }
}
