// Modules, launches and graphs of the stand-in for libcuda.
#include "driver.h"

API int cuModuleLoadDataEx(void** out, const void* image, unsigned, int*, void**) {
  ENTER
  Module* loaded = loadModule(current, image);
  if (!loaded) return INVALID_IMAGE;
  modules.insert(loaded);
  *out = loaded;
  return OK;
}

API int cuModuleUnload(void* handle) {
  ENTER
  auto* module = (Module*)handle;
  if (!modules.count(module)) return INVALID_HANDLE;
  Device* owner = module->device;
  world.workUntil(held, [&] {
    return std::all_of(world.streams.begin(), world.streams.end(), [&](Stream* each) {
      return each->device != owner || each->queue.empty();
    });
  });
  for (auto& function : module->functions) {
    functions.erase(function.get());
  }
  modules.erase(module);
  dlclose(module->library);
  delete module;
  return OK;
}

API int cuModuleGetFunction(void** out, void* handle, const char* name) {
  ENTER
  auto* module = (Module*)handle;
  if (!modules.count(module)) return INVALID_HANDLE;
  Function* found = findFunction(module, name);
  if (!found) return NOT_FOUND;
  functions.insert(found);
  *out = found;
  return OK;
}

API int cuModuleGetGlobal_v2(uint64_t*, size_t*, void*, const char*) { return NOT_FOUND; }

API int cuFuncSetAttribute(void* handle, int attribute, int value) {
  ENTER
  auto* function = (Function*)handle;
  if (!functions.count(function)) return INVALID_HANDLE;
  if (attribute != 8) return OK;
  if (value < 0 || (size_t)value > SHARED_LIMIT) return INVALID_VALUE;
  function->mostShared = std::max((size_t)value, SHARED_DEFAULT);
  return OK;
}

API int cuFuncGetAttribute(int* value, int attribute, void* handle) {
  ENTER
  auto* function = (Function*)handle;
  if (!functions.count(function)) return INVALID_HANDLE;
  switch (attribute) {
    case 0: *value = 1024; break;
    case 3: *value = 0; break;
    case 4: *value = 32; break;
    case 8: *value = (int)function->mostShared; break;
    default: *value = 0;
  }
  return OK;
}

API int cuLaunchKernel(
    void* handle, unsigned gridX, unsigned gridY, unsigned gridZ, unsigned blockX, unsigned blockY,
    unsigned blockZ, unsigned shared, void* on, void** parameters, void** extra) {
  ENTER
  auto* function = (Function*)handle;
  if (!functions.count(function) || function->module->device != current) return INVALID_HANDLE;
  uint64_t threads = (uint64_t)blockX * blockY * blockZ;
  bool fits = gridX > 0 && gridY > 0 && gridZ > 0 && gridX <= 0x7FFFFFFFu && gridY <= 65535 &&
              gridZ <= 65535 && threads > 0 && threads <= 1024 && blockZ <= 64;
  if (!fits || extra || shared > function->mostShared) return INVALID_VALUE;
  if (!parameters && !function->sizes.empty()) return INVALID_VALUE;
  auto copies = std::make_shared<Parameters>(function->sizes, parameters);
  fibres::Grid grid = {{gridX, gridY, gridZ}, {blockX, blockY, blockZ}};
  return submit(on, [=](Stream*) { return launch(function, grid, shared, *copies); });
}

struct LaunchAttribute {
  int id;
  int pad;
  union {
    int priority;
    char bytes[64];
  };
};

static_assert(sizeof(LaunchAttribute) == 72, "as in cuda.h");

struct LaunchConfig {
  unsigned grid[3];
  unsigned block[3];
  unsigned shared;
  void* stream;
  LaunchAttribute* attributes;
  unsigned count;
};
static_assert(sizeof(LaunchConfig) == 56, "as in cuda.h");

static long long urgentLaunches = 0;

// How many kernels were launched with the greatest priority. There is no time here for it to save.
API long long standin_urgent_launches() {
  Held held(world.lock);
  return urgentLaunches;
}

API int cuLaunchKernelEx(const LaunchConfig* config, void* handle, void** parameters, void** extra) {
  long long urgent = 0;
  for (unsigned i = 0; i < config->count; i++) {
    const LaunchAttribute& attribute = config->attributes[i];
    if (attribute.id != PRIORITY) return NOT_SUPPORTED;  // clusters, for one
    if (attribute.priority < GREATEST_PRIORITY || attribute.priority > LEAST_PRIORITY) {
      return INVALID_VALUE;
    }
    urgent = attribute.priority == GREATEST_PRIORITY;
  }
  {
    Held held(world.lock);
    urgentLaunches += urgent;
  }
  return cuLaunchKernel(
      handle, config->grid[0], config->grid[1], config->grid[2], config->block[0], config->block[1],
      config->block[2], config->shared, config->stream, parameters, extra);
}

API int cuStreamBeginCapture_v2(void* on, int mode) {
  ENTER
  Stream* captured = stream(on);
  if (!captured) return INVALID_HANDLE;
  if (!on || captured->capture || mode < 0 || mode > 2) return !on ? CAPTURE_UNSUPPORTED : INVALID_VALUE;
  captured->capture = new Graph();
  world.graphs.insert(captured->capture);
  return OK;
}

API int cuStreamIsCapturing(void* on, int* status) {
  ENTER
  Stream* asked = stream(on);
  if (!asked) return INVALID_HANDLE;
  *status = !asked->capture ? 0 : asked->capture->broken ? 2 : 1;
  return OK;
}

API int cuStreamEndCapture(void* on, void** out) {
  ENTER
  Stream* captured = stream(on);
  if (!captured) return INVALID_HANDLE;
  Graph* graph = captured->capture;
  if (!graph || captured->joined) return CAPTURE_INVALIDATED;
  for (Stream* each : world.streams) {
    if (each->capture == graph) {
      each->capture = nullptr;
      each->joined = false;
    }
  }
  if (graph->broken) {
    world.graphs.erase(graph);
    delete graph;
    *out = nullptr;
    return CAPTURE_INVALIDATED;
  }
  *out = graph;
  return OK;
}

API int cuGraphInstantiateWithFlags(void** out, void* handle, unsigned long long) {
  ENTER
  auto* graph = (Graph*)handle;
  if (!world.graphs.count(graph)) return INVALID_HANDLE;
  auto* made = new Graph(*graph);
  world.graphs.insert(made);
  *out = made;
  return OK;
}

API int cuGraphLaunch(void* handle, void* on) {
  ENTER
  auto* graph = (Graph*)handle;
  Stream* to = stream(on);
  if (!to || !world.graphs.count(graph)) return INVALID_HANDLE;
  for (const Node& node : graph->nodes) {
    world.add(to, node);
  }
  return OK;
}

static int destroyGraph(void* handle) {
  Held held(world.lock);
  auto* graph = (Graph*)handle;
  if (!world.graphs.erase(graph)) return INVALID_HANDLE;
  delete graph;
  return OK;
}

API int cuGraphExecDestroy(void* handle) { return destroyGraph(handle); }

API int cuGraphDestroy(void* handle) { return destroyGraph(handle); }

API int cuGraphExecUpdate_v2(void*, void*, void*) { return NOT_SUPPORTED; }

namespace {

struct Named {
  int status;
  const char* name;
  const char* text;
};

const Named ERRORS[] = {
    {0, "CUDA_SUCCESS", "no error"},
    {1, "CUDA_ERROR_INVALID_VALUE", "invalid argument"},
    {2, "CUDA_ERROR_OUT_OF_MEMORY", "out of memory"},
    {3, "CUDA_ERROR_NOT_INITIALIZED", "initialization error"},
    {100, "CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected"},
    {101, "CUDA_ERROR_INVALID_DEVICE", "invalid device ordinal"},
    {200, "CUDA_ERROR_INVALID_IMAGE", "device kernel image is invalid"},
    {201, "CUDA_ERROR_INVALID_CONTEXT", "invalid device context"},
    {400, "CUDA_ERROR_INVALID_HANDLE", "invalid resource handle"},
    {500, "CUDA_ERROR_NOT_FOUND", "named symbol not found"},
    {600, "CUDA_ERROR_NOT_READY", "device not ready"},
    {700, "CUDA_ERROR_ILLEGAL_ADDRESS", "an illegal memory access was encountered"},
    {702, "CUDA_ERROR_LAUNCH_TIMEOUT", "the launch timed out and was terminated"},
    {712, "CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED", "memory has been registered already"},
    {713, "CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED", "memory has not been registered"},
    {719, "CUDA_ERROR_LAUNCH_FAILED", "unspecified launch failure"},
    {801, "CUDA_ERROR_NOT_SUPPORTED", "operation not supported"},
    {900, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED", "not permitted when stream is capturing"},
    {901, "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED", "capture failed because of an earlier error"},
};

const Named* named(int status) {
  for (const Named& each : ERRORS) {
    if (each.status == status) return &each;
  }
  return nullptr;
}

}  // namespace

API int cuGetErrorName(int status, const char** name) {
  const Named* found = named(status);
  *name = found ? found->name : nullptr;
  return found ? OK : INVALID_VALUE;
}

API int cuGetErrorString(int status, const char** text) {
  const Named* found = named(status);
  *text = found ? found->text : nullptr;
  return found ? OK : INVALID_VALUE;
}
