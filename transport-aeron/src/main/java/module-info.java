/// The transport over Aeron IPC and UDP.
module dev.lockstep.transport.aeron {
  requires dev.lockstep.core;
  requires io.aeron.client;
  requires io.aeron.driver;
  requires org.agrona;
  requires org.slf4j;
  requires static org.jspecify;

  provides dev.lockstep.transport.TransportProvider with
      dev.lockstep.transport.aeron.AeronIpcProvider,
      dev.lockstep.transport.aeron.AeronUdpProvider;
}
