package dev.lockstep.device.cuda.ffi;

/// NVIDIA's compiler of CUDA C++ at run time, `libnvrtc.so`: one method per function, each with the
/// function's arguments and its `nvrtcResult`. Works without a GPU. Thread-safe.
public interface Nvrtc {
  /// `nvrtcVersion`.
  int version(long major, long minor);

  /// `nvrtcCreateProgram`.
  int createProgram(
      long program, long source, long name, int headers, long headerSources, long headerNames);

  /// `nvrtcCompileProgram`.
  int compileProgram(long program, int options, long values);

  /// `nvrtcGetProgramLogSize`.
  int getProgramLogSize(long program, long bytes);

  /// `nvrtcGetProgramLog`.
  int getProgramLog(long program, long log);

  /// `nvrtcGetCUBINSize`.
  int getCubinSize(long program, long bytes);

  /// `nvrtcGetCUBIN`.
  int getCubin(long program, long cubin);

  /// `nvrtcDestroyProgram`.
  int destroyProgram(long program);

  /// `nvrtcGetErrorString`.
  String errorString(int result);
}
