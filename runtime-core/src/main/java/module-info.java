/// Tensors, memory, graphs, devices, transports and jobs: what every other module of Lockstep
/// stands on.
///
/// The Vector API is optional at run time: `--add-modules jdk.incubator.vector` brings the fast
/// kernels, and commands that compute nothing start without it.
@SuppressWarnings("module") // those that are named are built after this one
module dev.lockstep.core {
  requires com.fasterxml.jackson.core;
  requires com.fasterxml.jackson.databind;
  requires io.netty.buffer;
  requires io.netty.codec;
  requires io.netty.common;
  requires io.netty.handler;
  requires io.netty.transport;
  requires org.slf4j;
  requires static jdk.incubator.vector;
  requires static transitive org.jspecify;

  exports dev.lockstep.device;
  exports dev.lockstep.device.plan;
  exports dev.lockstep.failure;
  exports dev.lockstep.graph;
  exports dev.lockstep.job;
  exports dev.lockstep.memory;
  exports dev.lockstep.tensor;
  exports dev.lockstep.transport;
  exports dev.lockstep.cache to
      dev.lockstep.bench,
      dev.lockstep.collective,
      dev.lockstep.device.cuda,
      dev.lockstep.device.neuron,
      dev.lockstep.launcher,
      dev.lockstep.train;
  exports dev.lockstep.interrupt to
      dev.lockstep.bench,
      dev.lockstep.collective,
      dev.lockstep.device.cuda,
      dev.lockstep.device.neuron,
      dev.lockstep.train,
      dev.lockstep.transport.aeron,
      dev.lockstep.transport.efa;

  uses dev.lockstep.device.DeviceProvider;
  uses dev.lockstep.transport.TransportProvider;

  provides dev.lockstep.device.DeviceProvider with
      dev.lockstep.device.cpu.CpuDeviceProvider;
  provides dev.lockstep.transport.TransportProvider with
      dev.lockstep.transport.inprocess.InProcessTransportProvider,
      dev.lockstep.transport.shm.ShmTransportProvider;
}
