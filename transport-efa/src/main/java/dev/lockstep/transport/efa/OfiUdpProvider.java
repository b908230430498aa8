package dev.lockstep.transport.efa;

/// `ofi:udp`: links over libfabric's `udp;ofi_rxd`, the stand-in for a lossy and unordered wire.
public final class OfiUdpProvider extends FabricProvider {
  /// Makes the provider, as [java.util.ServiceLoader] asks for.
  public OfiUdpProvider() {
    super(FabricKind.UDP);
  }
}
