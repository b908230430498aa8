package dev.lockstep.device.cuda.ffi;

import static dev.lockstep.device.cuda.ffi.NativeCalls.call;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.foreign.ValueLayout;

/// libcuda by the foreign function interface.
final class NativeCudaDriver implements CudaDriver {
  private final MemorySegment init;
  private final MemorySegment driverGetVersion;
  private final MemorySegment deviceGetCount;
  private final MemorySegment deviceGet;
  private final MemorySegment deviceGetName;
  private final MemorySegment deviceGetAttribute;
  private final MemorySegment devicePrimaryCtxRetain;
  private final MemorySegment devicePrimaryCtxRelease;
  private final MemorySegment ctxSetCurrent;
  private final MemorySegment ctxGetStreamPriorityRange;
  private final MemorySegment memGetInfo;
  private final MemorySegment memAllocAsync;
  private final MemorySegment memFreeAsync;
  private final MemorySegment deviceGetDefaultMemPool;
  private final MemorySegment memPoolSetAttribute;
  private final MemorySegment memHostAlloc;
  private final MemorySegment memFreeHost;
  private final MemorySegment memHostRegister;
  private final MemorySegment memHostUnregister;
  private final MemorySegment memcpyHtoDAsync;
  private final MemorySegment memcpyDtoHAsync;
  private final MemorySegment memcpyDtoDAsync;
  private final MemorySegment memsetD8Async;
  private final MemorySegment streamCreate;
  private final MemorySegment streamDestroy;
  private final MemorySegment streamSynchronize;
  private final MemorySegment streamWaitEvent;
  private final MemorySegment eventCreate;
  private final MemorySegment eventRecord;
  private final MemorySegment eventRecordWithFlags;
  private final MemorySegment eventElapsedTime;
  private final MemorySegment eventQuery;
  private final MemorySegment eventSynchronize;
  private final MemorySegment eventDestroy;
  private final MemorySegment moduleLoadDataEx;
  private final MemorySegment moduleUnload;
  private final MemorySegment moduleGetFunction;
  private final MemorySegment funcGetAttribute;
  private final MemorySegment funcSetAttribute;
  private final MemorySegment launchKernel;
  private final MemorySegment launchKernelEx;
  private final MemorySegment streamBeginCapture;
  private final MemorySegment streamEndCapture;
  private final MemorySegment graphInstantiate;
  private final MemorySegment graphLaunch;
  private final MemorySegment graphExecDestroy;
  private final MemorySegment graphDestroy;
  private final MemorySegment getErrorName;
  private final MemorySegment getErrorString;

  /// Finds the functions.
  ///
  /// @throws java.util.NoSuchElementException if the library lacks one
  NativeCudaDriver(SymbolLookup library) {
    init = library.findOrThrow("cuInit");
    driverGetVersion = library.findOrThrow("cuDriverGetVersion");
    deviceGetCount = library.findOrThrow("cuDeviceGetCount");
    deviceGet = library.findOrThrow("cuDeviceGet");
    deviceGetName = library.findOrThrow("cuDeviceGetName");
    deviceGetAttribute = library.findOrThrow("cuDeviceGetAttribute");
    devicePrimaryCtxRetain = library.findOrThrow("cuDevicePrimaryCtxRetain");
    devicePrimaryCtxRelease = library.findOrThrow("cuDevicePrimaryCtxRelease_v2");
    ctxSetCurrent = library.findOrThrow("cuCtxSetCurrent");
    ctxGetStreamPriorityRange = library.findOrThrow("cuCtxGetStreamPriorityRange");
    memGetInfo = library.findOrThrow("cuMemGetInfo_v2");
    memAllocAsync = library.findOrThrow("cuMemAllocAsync");
    memFreeAsync = library.findOrThrow("cuMemFreeAsync");
    deviceGetDefaultMemPool = library.findOrThrow("cuDeviceGetDefaultMemPool");
    memPoolSetAttribute = library.findOrThrow("cuMemPoolSetAttribute");
    memHostAlloc = library.findOrThrow("cuMemHostAlloc");
    memFreeHost = library.findOrThrow("cuMemFreeHost");
    memHostRegister = library.findOrThrow("cuMemHostRegister_v2");
    memHostUnregister = library.findOrThrow("cuMemHostUnregister");
    memcpyHtoDAsync = library.findOrThrow("cuMemcpyHtoDAsync_v2");
    memcpyDtoHAsync = library.findOrThrow("cuMemcpyDtoHAsync_v2");
    memcpyDtoDAsync = library.findOrThrow("cuMemcpyDtoDAsync_v2");
    memsetD8Async = library.findOrThrow("cuMemsetD8Async");
    streamCreate = library.findOrThrow("cuStreamCreate");
    streamDestroy = library.findOrThrow("cuStreamDestroy_v2");
    streamSynchronize = library.findOrThrow("cuStreamSynchronize");
    streamWaitEvent = library.findOrThrow("cuStreamWaitEvent");
    eventCreate = library.findOrThrow("cuEventCreate");
    eventRecord = library.findOrThrow("cuEventRecord");
    eventRecordWithFlags = library.findOrThrow("cuEventRecordWithFlags");
    // The same function under the name that drivers before 12.8 know too.
    eventElapsedTime = library.findOrThrow("cuEventElapsedTime");
    eventQuery = library.findOrThrow("cuEventQuery");
    eventSynchronize = library.findOrThrow("cuEventSynchronize");
    eventDestroy = library.findOrThrow("cuEventDestroy_v2");
    moduleLoadDataEx = library.findOrThrow("cuModuleLoadDataEx");
    moduleUnload = library.findOrThrow("cuModuleUnload");
    moduleGetFunction = library.findOrThrow("cuModuleGetFunction");
    funcGetAttribute = library.findOrThrow("cuFuncGetAttribute");
    funcSetAttribute = library.findOrThrow("cuFuncSetAttribute");
    launchKernel = library.findOrThrow("cuLaunchKernel");
    launchKernelEx = library.findOrThrow("cuLaunchKernelEx");
    streamBeginCapture = library.findOrThrow("cuStreamBeginCapture_v2");
    streamEndCapture = library.findOrThrow("cuStreamEndCapture");
    graphInstantiate = library.findOrThrow("cuGraphInstantiateWithFlags");
    graphLaunch = library.findOrThrow("cuGraphLaunch");
    graphExecDestroy = library.findOrThrow("cuGraphExecDestroy");
    graphDestroy = library.findOrThrow("cuGraphDestroy");
    getErrorName = library.findOrThrow("cuGetErrorName");
    getErrorString = library.findOrThrow("cuGetErrorString");
  }

  @Override
  public int init(int flags) {
    return call(init, flags);
  }

  @Override
  public int driverGetVersion(long version) {
    return call(driverGetVersion, version);
  }

  @Override
  public int deviceGetCount(long count) {
    return call(deviceGetCount, count);
  }

  @Override
  public int deviceGet(long device, int ordinal) {
    return call(deviceGet, device, ordinal);
  }

  @Override
  public int deviceGetName(long name, int length, int device) {
    return call(deviceGetName, name, length, device);
  }

  @Override
  public int deviceGetAttribute(long value, int attribute, int device) {
    return call(deviceGetAttribute, value, attribute, device);
  }

  @Override
  public int devicePrimaryCtxRetain(long context, int device) {
    return call(devicePrimaryCtxRetain, context, device);
  }

  @Override
  public int devicePrimaryCtxRelease(int device) {
    return call(devicePrimaryCtxRelease, device);
  }

  @Override
  public int ctxSetCurrent(long context) {
    return call(ctxSetCurrent, context);
  }

  @Override
  public int ctxGetStreamPriorityRange(long least, long greatest) {
    return call(ctxGetStreamPriorityRange, least, greatest);
  }

  @Override
  public int memGetInfo(long free, long total) {
    return call(memGetInfo, free, total);
  }

  @Override
  public int memAllocAsync(long pointer, long bytes, long stream) {
    return call(memAllocAsync, pointer, bytes, stream);
  }

  @Override
  public int memFreeAsync(long pointer, long stream) {
    return call(memFreeAsync, pointer, stream);
  }

  @Override
  public int deviceGetDefaultMemPool(long pool, int device) {
    return call(deviceGetDefaultMemPool, pool, device);
  }

  @Override
  public int memPoolSetAttribute(long pool, int attribute, long value) {
    return call(memPoolSetAttribute, pool, attribute, value);
  }

  @Override
  public int memHostAlloc(long address, long bytes, int flags) {
    return call(memHostAlloc, address, bytes, flags);
  }

  @Override
  public int memFreeHost(long address) {
    return call(memFreeHost, address);
  }

  @Override
  public int memHostRegister(long address, long bytes, int flags) {
    return call(memHostRegister, address, bytes, flags);
  }

  @Override
  public int memHostUnregister(long address) {
    return call(memHostUnregister, address);
  }

  @Override
  public int memcpyHtoDAsync(long to, long from, long bytes, long stream) {
    return call(memcpyHtoDAsync, to, from, bytes, stream);
  }

  @Override
  public int memcpyDtoHAsync(long to, long from, long bytes, long stream) {
    return call(memcpyDtoHAsync, to, from, bytes, stream);
  }

  @Override
  public int memcpyDtoDAsync(long to, long from, long bytes, long stream) {
    return call(memcpyDtoDAsync, to, from, bytes, stream);
  }

  @Override
  public int memsetD8Async(long to, int value, long bytes, long stream) {
    return call(memsetD8Async, to, value, bytes, stream);
  }

  @Override
  public int streamCreate(long stream, int flags) {
    return call(streamCreate, stream, flags);
  }

  @Override
  public int streamDestroy(long stream) {
    return call(streamDestroy, stream);
  }

  @Override
  public int streamSynchronize(long stream) {
    return call(streamSynchronize, stream);
  }

  @Override
  public int streamWaitEvent(long stream, long event, int flags) {
    return call(streamWaitEvent, stream, event, flags);
  }

  @Override
  public int eventCreate(long event, int flags) {
    return call(eventCreate, event, flags);
  }

  @Override
  public int eventRecord(long event, long stream) {
    return call(eventRecord, event, stream);
  }

  @Override
  public int eventRecordWithFlags(long event, long stream, int flags) {
    return call(eventRecordWithFlags, event, stream, flags);
  }

  @Override
  public int eventElapsedTime(long milliseconds, long start, long end) {
    return call(eventElapsedTime, milliseconds, start, end);
  }

  @Override
  public int eventQuery(long event) {
    return call(eventQuery, event);
  }

  @Override
  public int eventSynchronize(long event) {
    return call(eventSynchronize, event);
  }

  @Override
  public int eventDestroy(long event) {
    return call(eventDestroy, event);
  }

  @Override
  public int moduleLoadDataEx(long module, long image, int options, long names, long values) {
    return call(moduleLoadDataEx, module, image, options, names, values);
  }

  @Override
  public int moduleUnload(long module) {
    return call(moduleUnload, module);
  }

  @Override
  public int moduleGetFunction(long function, long module, long name) {
    return call(moduleGetFunction, function, module, name);
  }

  @Override
  public int funcGetAttribute(long value, int attribute, long function) {
    return call(funcGetAttribute, value, attribute, function);
  }

  @Override
  public int funcSetAttribute(long function, int attribute, int value) {
    return call(funcSetAttribute, function, attribute, value);
  }

  @Override
  public int launchKernel(long function, Geometry geometry, long stream, long parameters) {
    return NativeCalls.launch(launchKernel, function, geometry, stream, parameters);
  }

  @Override
  public int launchKernelEx(long config, long function, long parameters) {
    return call(launchKernelEx, config, function, parameters, 0L);
  }

  @Override
  public int streamBeginCapture(long stream, int mode) {
    return call(streamBeginCapture, stream, mode);
  }

  @Override
  public int streamEndCapture(long stream, long graph) {
    return call(streamEndCapture, stream, graph);
  }

  @Override
  public int graphInstantiate(long executable, long graph, long flags) {
    return call(graphInstantiate, executable, graph, flags);
  }

  @Override
  public int graphLaunch(long executable, long stream) {
    return call(graphLaunch, executable, stream);
  }

  @Override
  public int graphExecDestroy(long executable) {
    return call(graphExecDestroy, executable);
  }

  @Override
  public int graphDestroy(long graph) {
    return call(graphDestroy, graph);
  }

  @Override
  public String errorName(int status) {
    return text(getErrorName, status);
  }

  @Override
  public String errorString(int status) {
    return text(getErrorString, status);
  }

  private static String text(MemorySegment function, int status) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment text = arena.allocate(ValueLayout.JAVA_LONG);
      int answer = call(function, status, text.address());
      return answer == 0 ? NativeCalls.string(text.get(ValueLayout.JAVA_LONG, 0)) : "";
    }
  }
}
