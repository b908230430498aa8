package dev.lockstep.transport.efa;

/// `efa`: links over Amazon's Elastic Fabric Adapter, striped over the cards of the host.
public final class EfaProvider extends FabricProvider {
  /// Makes the provider, as [java.util.ServiceLoader] asks for.
  public EfaProvider() {
    super(FabricKind.EFA);
  }
}
