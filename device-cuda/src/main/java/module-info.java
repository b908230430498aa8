/// The device of NVIDIA's GPUs: libcuda, NVRTC and cuBLASLt by the foreign function interface.
///
/// The libraries are looked for where NVIDIA's installers put them; what is not found makes the
/// device absent, with a sentence that says why.
module dev.lockstep.device.cuda {
  requires dev.lockstep.core;
  requires org.slf4j;
  requires static org.jspecify;

  provides dev.lockstep.device.DeviceProvider with
      dev.lockstep.device.cuda.CudaDeviceProvider;
}
