package dev.lockstep.device.cuda.ffi;

import static dev.lockstep.device.cuda.ffi.NativeCalls.call;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;

/// libnvrtc by the foreign function interface.
final class NativeNvrtc implements Nvrtc {
  private final MemorySegment version;
  private final MemorySegment createProgram;
  private final MemorySegment compileProgram;
  private final MemorySegment getProgramLogSize;
  private final MemorySegment getProgramLog;
  private final MemorySegment getCubinSize;
  private final MemorySegment getCubin;
  private final MemorySegment destroyProgram;
  private final MemorySegment getErrorString;

  /// Finds the functions.
  ///
  /// @throws java.util.NoSuchElementException if the library lacks one
  NativeNvrtc(SymbolLookup library) {
    version = library.findOrThrow("nvrtcVersion");
    createProgram = library.findOrThrow("nvrtcCreateProgram");
    compileProgram = library.findOrThrow("nvrtcCompileProgram");
    getProgramLogSize = library.findOrThrow("nvrtcGetProgramLogSize");
    getProgramLog = library.findOrThrow("nvrtcGetProgramLog");
    getCubinSize = library.findOrThrow("nvrtcGetCUBINSize");
    getCubin = library.findOrThrow("nvrtcGetCUBIN");
    destroyProgram = library.findOrThrow("nvrtcDestroyProgram");
    getErrorString = library.findOrThrow("nvrtcGetErrorString");
  }

  @Override
  public int version(long major, long minor) {
    return call(version, major, minor);
  }

  @Override
  public int createProgram(
      long program, long source, long name, int headers, long headerSources, long headerNames) {
    return call(createProgram, program, source, name, headers, headerSources, headerNames);
  }

  @Override
  public int compileProgram(long program, int options, long values) {
    return call(compileProgram, program, options, values);
  }

  @Override
  public int getProgramLogSize(long program, long bytes) {
    return call(getProgramLogSize, program, bytes);
  }

  @Override
  public int getProgramLog(long program, long log) {
    return call(getProgramLog, program, log);
  }

  @Override
  public int getCubinSize(long program, long bytes) {
    return call(getCubinSize, program, bytes);
  }

  @Override
  public int getCubin(long program, long cubin) {
    return call(getCubin, program, cubin);
  }

  @Override
  public int destroyProgram(long program) {
    return call(destroyProgram, program);
  }

  @Override
  public String errorString(int result) {
    return NativeCalls.text(getErrorString, result);
  }
}
