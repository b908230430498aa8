/// The transport over libfabric: EFA's network cards, and TCP, UDP and shared memory by libfabric's
/// software providers.
module dev.lockstep.transport.efa {
  requires dev.lockstep.core;
  requires org.slf4j;
  requires static org.jspecify;

  provides dev.lockstep.transport.TransportProvider with
      dev.lockstep.transport.efa.EfaProvider,
      dev.lockstep.transport.efa.OfiNetProvider,
      dev.lockstep.transport.efa.OfiShmProvider,
      dev.lockstep.transport.efa.OfiTcpProvider,
      dev.lockstep.transport.efa.OfiUdpProvider;
}
