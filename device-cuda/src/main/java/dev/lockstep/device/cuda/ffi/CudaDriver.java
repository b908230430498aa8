package dev.lockstep.device.cuda.ffi;

/// The CUDA driver, `libcuda.so.1`: one method per function, each with the function's arguments and
/// its `CUresult`. Symbols are those that `cuda.h` 13.0 maps the names to. Device pointers, handles
/// and addresses are longs. Thread-safe, as the driver is; most functions work on the context that
/// is current on the calling thread.
public interface CudaDriver {
  /// How a kernel is launched.
  ///
  /// @param gridX blocks along x
  /// @param gridY blocks along y
  /// @param gridZ blocks along z
  /// @param blockX threads of a block along x
  /// @param blockY threads of a block along y
  /// @param blockZ threads of a block along z
  /// @param sharedBytes dynamic shared memory of a block
  record Geometry(
      int gridX, int gridY, int gridZ, int blockX, int blockY, int blockZ, int sharedBytes) {}

  /// `cuInit`.
  int init(int flags);

  /// `cuDriverGetVersion`.
  int driverGetVersion(long version);

  /// `cuDeviceGetCount`.
  int deviceGetCount(long count);

  /// `cuDeviceGet`.
  int deviceGet(long device, int ordinal);

  /// `cuDeviceGetName`.
  int deviceGetName(long name, int length, int device);

  /// `cuDeviceGetAttribute`.
  int deviceGetAttribute(long value, int attribute, int device);

  /// `cuDevicePrimaryCtxRetain`.
  int devicePrimaryCtxRetain(long context, int device);

  /// `cuDevicePrimaryCtxRelease_v2`.
  int devicePrimaryCtxRelease(int device);

  /// `cuCtxSetCurrent`.
  int ctxSetCurrent(long context);

  /// `cuCtxGetStreamPriorityRange`: the least of the two numbers goes first.
  int ctxGetStreamPriorityRange(long least, long greatest);

  /// `cuMemGetInfo_v2`.
  int memGetInfo(long free, long total);

  /// `cuMemAllocAsync`.
  int memAllocAsync(long pointer, long bytes, long stream);

  /// `cuMemFreeAsync`.
  int memFreeAsync(long pointer, long stream);

  /// `cuDeviceGetDefaultMemPool`.
  int deviceGetDefaultMemPool(long pool, int device);

  /// `cuMemPoolSetAttribute`.
  int memPoolSetAttribute(long pool, int attribute, long value);

  /// `cuMemHostAlloc`.
  int memHostAlloc(long address, long bytes, int flags);

  /// `cuMemFreeHost`.
  int memFreeHost(long address);

  /// `cuMemHostRegister_v2`.
  int memHostRegister(long address, long bytes, int flags);

  /// `cuMemHostUnregister`.
  int memHostUnregister(long address);

  /// `cuMemcpyHtoDAsync_v2`.
  int memcpyHtoDAsync(long to, long from, long bytes, long stream);

  /// `cuMemcpyDtoHAsync_v2`.
  int memcpyDtoHAsync(long to, long from, long bytes, long stream);

  /// `cuMemcpyDtoDAsync_v2`.
  int memcpyDtoDAsync(long to, long from, long bytes, long stream);

  /// `cuMemsetD8Async`.
  int memsetD8Async(long to, int value, long bytes, long stream);

  /// `cuStreamCreate`.
  int streamCreate(long stream, int flags);

  /// `cuStreamDestroy_v2`.
  int streamDestroy(long stream);

  /// `cuStreamSynchronize`.
  int streamSynchronize(long stream);

  /// `cuStreamWaitEvent`.
  int streamWaitEvent(long stream, long event, int flags);

  /// `cuEventCreate`.
  int eventCreate(long event, int flags);

  /// `cuEventRecord`.
  int eventRecord(long event, long stream);

  /// `cuEventRecordWithFlags`.
  int eventRecordWithFlags(long event, long stream, int flags);

  /// `cuEventElapsedTime`: milliseconds, a float, between two events that have been passed.
  int eventElapsedTime(long milliseconds, long start, long end);

  /// `cuEventQuery`.
  int eventQuery(long event);

  /// `cuEventSynchronize`.
  int eventSynchronize(long event);

  /// `cuEventDestroy_v2`.
  int eventDestroy(long event);

  /// `cuModuleLoadDataEx`.
  int moduleLoadDataEx(long module, long image, int options, long names, long values);

  /// `cuModuleUnload`.
  int moduleUnload(long module);

  /// `cuModuleGetFunction`.
  int moduleGetFunction(long function, long module, long name);

  /// `cuFuncGetAttribute`.
  int funcGetAttribute(long value, int attribute, long function);

  /// `cuFuncSetAttribute`.
  int funcSetAttribute(long function, int attribute, int value);

  /// `cuLaunchKernel`.
  ///
  /// @param parameters address of an array of addresses, one of each parameter; read before it
  ///   returns
  int launchKernel(long function, Geometry geometry, long stream, long parameters);

  /// `cuLaunchKernelEx`.
  ///
  /// @param config address of a [LaunchConfig]; read before it returns
  /// @param parameters as in [#launchKernel]
  int launchKernelEx(long config, long function, long parameters);

  /// `cuStreamBeginCapture_v2`.
  int streamBeginCapture(long stream, int mode);

  /// `cuStreamEndCapture`.
  int streamEndCapture(long stream, long graph);

  /// `cuGraphInstantiateWithFlags`.
  int graphInstantiate(long executable, long graph, long flags);

  /// `cuGraphLaunch`.
  int graphLaunch(long executable, long stream);

  /// `cuGraphExecDestroy`.
  int graphExecDestroy(long executable);

  /// `cuGraphDestroy`.
  int graphDestroy(long graph);

  /// `cuGetErrorName`: the name of a status; empty for one that the driver does not know.
  String errorName(int status);

  /// `cuGetErrorString`: what a status means; empty for one that the driver does not know.
  String errorString(int status);
}
