// Libraries that do nothing: libcuda, NVRTC and cuBLASLt in one, whose functions say that all is well and
// return at once. What a step takes beside them is what the host itself does; nothing is computed, and
// memory of the device is addresses alone.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <vector>

#define API extern "C" __attribute__((visibility("default")))

namespace {

struct Counter {
  const char* name;
  long long calls;
};

std::vector<Counter*>& counters() {
  static auto& all = *new std::vector<Counter*>();
  return all;
}

struct Counted : Counter {
  explicit Counted(const char* name) : Counter{name, 0} { counters().push_back(this); }
};

uint64_t next = 1 << 20;

int handle(void** out) {
  *out = (void*)(next += 256);
  return 0;
}

}  // namespace

// How often a function was called; not 0 for one that is not counted.
API int idle_calls(const char* name, long long* calls) {
  for (Counter* each : counters()) {
    if (strcmp(each->name, name) == 0) {
      *calls = each->calls;
      return 0;
    }
  }
  return 1;
}

#define COUNTED(name)                   \
  static Counted counted_##name(#name); \
  API int name(...) {                   \
    counted_##name.calls++;             \
    return 0;                           \
  }
#define IDLE(name) \
  API int name(...) { return 0; }
#define MAKES(name) \
  API int name(void** out) { return handle(out); }

COUNTED(cuCtxSetCurrent)
COUNTED(cuEventQuery)
COUNTED(cuEventRecord)
COUNTED(cuEventSynchronize)
COUNTED(cuGraphLaunch)
COUNTED(cuLaunchKernel)
COUNTED(cuMemcpyDtoHAsync_v2)
COUNTED(cuMemcpyHtoDAsync_v2)
COUNTED(cuStreamSynchronize)
COUNTED(cuStreamWaitEvent)

IDLE(cuInit)
IDLE(cuDevicePrimaryCtxRelease_v2)
IDLE(cuEventDestroy_v2)
IDLE(cuEventRecordWithFlags)
IDLE(cuFuncSetAttribute)
IDLE(cuGraphDestroy)
IDLE(cuGraphExecDestroy)
IDLE(cuLaunchKernelEx)
IDLE(cuMemFreeAsync)
IDLE(cuMemHostRegister_v2)
IDLE(cuMemHostUnregister)
IDLE(cuMemPoolSetAttribute)
IDLE(cuMemcpyDtoDAsync_v2)
IDLE(cuMemsetD8Async)
IDLE(cuModuleUnload)
IDLE(cuStreamBeginCapture_v2)
IDLE(cuStreamDestroy_v2)

MAKES(cuDevicePrimaryCtxRetain)
MAKES(cuDeviceGetDefaultMemPool)
MAKES(cuEventCreate)
MAKES(cuGraphInstantiateWithFlags)
MAKES(cuModuleGetFunction)
MAKES(cuModuleLoadDataEx)
MAKES(cuStreamCreate)

API int cuDriverGetVersion(int* version) {
  *version = 13000;
  return 0;
}

API int cuDeviceGetCount(int* count) {
  *count = 1;
  return 0;
}

API int cuDeviceGet(int* device, int ordinal) {
  *device = ordinal;
  return 0;
}

API int cuDeviceGetName(char* name, int length, int) {
  strncpy(name, "Idle GPU", (size_t)length);
  return 0;
}

API int cuDeviceGetAttribute(int* value, int attribute, int) {
  *value = attribute == 75 ? 9 : attribute == 16 ? 132 : 0;
  return 0;
}

API int cuCtxGetStreamPriorityRange(int* least, int* greatest) {
  *least = 0;
  *greatest = -5;
  return 0;
}

API int cuMemGetInfo_v2(size_t* free, size_t* total) {
  *free = *total = (size_t)1 << 37;
  return 0;
}

API int cuMemAllocAsync(uint64_t* out, size_t bytes, void*) {
  *out = next;
  next += (bytes + 255) & ~(size_t)255;
  return 0;
}

API int cuMemHostAlloc(void** out, size_t bytes, unsigned) {
  *out = calloc(1, bytes);
  return *out ? 0 : 2;
}

API int cuMemFreeHost(void* at) {
  free(at);
  return 0;
}

API int cuFuncGetAttribute(int* value, int, void*) {
  *value = 32;
  return 0;
}

API int cuStreamEndCapture(void*, void** out) { return handle(out); }

API int cuEventElapsedTime(float* milliseconds, void*, void*) {
  *milliseconds = 0;
  return 0;
}

API int cuGetErrorName(int, const char** name) {
  *name = "CUDA_SUCCESS";
  return 0;
}

API int cuGetErrorString(int, const char** text) {
  *text = "no error";
  return 0;
}

MAKES(nvrtcCreateProgram)
IDLE(nvrtcCompileProgram)
IDLE(nvrtcDestroyProgram)

API int nvrtcVersion(int* major, int* minor) {
  *major = 13;
  *minor = 0;
  return 0;
}

API int nvrtcGetProgramLogSize(void*, size_t* bytes) {
  *bytes = 1;
  return 0;
}

API int nvrtcGetProgramLog(void*, char* log) {
  *log = 0;
  return 0;
}

API int nvrtcGetCUBINSize(void*, size_t* bytes) {
  *bytes = 8;
  return 0;
}

API int nvrtcGetCUBIN(void*, char* image) {
  memset(image, 0, 8);
  return 0;
}

API const char* nvrtcGetErrorString(int) { return "no error"; }

MAKES(cublasLtCreate)
MAKES(cublasLtMatmulDescCreate)
MAKES(cublasLtMatmulPreferenceCreate)
MAKES(cublasLtMatrixLayoutCreate)
IDLE(cublasLtDestroy)
IDLE(cublasLtMatmul)
IDLE(cublasLtMatmulDescDestroy)
IDLE(cublasLtMatmulDescSetAttribute)
IDLE(cublasLtMatmulPreferenceDestroy)
IDLE(cublasLtMatmulPreferenceSetAttribute)
IDLE(cublasLtMatrixLayoutDestroy)
IDLE(cublasLtMatrixLayoutSetAttribute)

API size_t cublasLtGetVersion() { return 130000; }

API const char* cublasLtGetStatusString(int) { return "CUBLAS_STATUS_SUCCESS"; }

API int cublasLtMatmulAlgoGetHeuristic(
    void*, void*, void*, void*, void*, void*, void*, int, void* result, int* found) {
  memset(result, 0, 96);
  *found = 1;
  return 0;
}
