// A stand-in for libcuda: the driver's functions with its error codes, over memory of the host. Here
// are devices, contexts, memory and copies; streams and events are in streams.cpp, modules, launches and
// graphs in kernels.cpp. What it cannot show: tensor cores, timing, real concurrency.
#include "driver.h"

API void standin_seed(unsigned long long seed) {
  Held held(world.lock);
  fibres::machine.random.state = seed * 0x9E3779B97F4A7C15ull | 1;
}

API long long standin_launches() {
  Held held(world.lock);
  return world.launches;
}

// How many devices there are and how large, for what is initialised after.
API void standin_configure(int count, long long bytes) {
  Held held(world.lock);
  configuredDevices = count;
  configuredBytes = (size_t)bytes;
}

// Makes a lost device whole again.
API void standin_revive(int ordinal) {
  Held held(world.lock);
  if (Device* lost = device(ordinal)) lost->fault = 0;
}

// For the other stand-ins: work on a stream, in its order; `run` has the device's memory open.
API int standin_submit(void* handle, int (*ready)(void*), int (*run)(void*), const void* data, size_t bytes) {
  ENTER
  auto copy = std::make_shared<std::vector<char>>((const char*)data, (const char*)data + bytes);
  std::function<bool()> whether;
  if (ready) whether = [ready, copy] { return ready(copy->data()) != 0; };
  return submit(
      handle,
      [run, copy](Stream* on) {
        Window window(on->device->memory);
        int status = run(copy->data());
        return status == 0 && !on->device->memory.isWhole() ? 700 : status;
      },
      whether);
}

// For the other stand-ins: lets whoever waits look again.
API void standin_wake() {
  Held held(world.lock);
  world.changed.notify_all();
}

// Whether [at, at + bytes) lies in an allocation of any device.
API int standin_holds(uint64_t at, size_t bytes) {
  for (auto& each : devices) {
    if (each->memory.holds(at, bytes)) return 1;
  }
  return 0;
}

API int standin_device() { return current ? current->ordinal : -1; }

API void standin_open(int ordinal, int open) {
  if (open) {
    devices[(size_t)ordinal]->memory.open();
  } else {
    devices[(size_t)ordinal]->memory.close();
  }
}

API int cuInit(unsigned flags) {
  Held held(world.lock);
  if (flags != 0) return INVALID_VALUE;
  if (!initialised) {
    int count = configuredDevices >= 0 ? configuredDevices
                                       : (int)environment("LOCKSTEP_STANDIN_DEVICES", 4);
    size_t bytes = configuredBytes > 0
                       ? configuredBytes
                       : (size_t)environment("LOCKSTEP_STANDIN_MEMORY", 1ll << 30);
    uint64_t seed = (uint64_t)environment("LOCKSTEP_STANDIN_SEED", 0);
    if (seed != 0) fibres::machine.random.state = seed * 0x9E3779B97F4A7C15ull | 1;
    if (count == 0) return NO_DEVICE;
    for (int i = 0; i < count; i++) {
      devices.push_back(std::make_unique<Device>(i, bytes));
      devices.back()->standard = std::make_unique<Stream>(devices.back().get());
      world.streams.insert(devices.back()->standard.get());
    }
    initialised = true;
  }
  return OK;
}

API int cuDriverGetVersion(int* version) {
  *version = 13000;
  return OK;
}

API int cuDeviceGetCount(int* count) {
  Held held(world.lock);
  if (!initialised) return NOT_INITIALIZED;
  *count = (int)devices.size();
  return OK;
}

API int cuDeviceGet(int* out, int ordinal) {
  Held held(world.lock);
  if (!initialised) return NOT_INITIALIZED;
  if (!device(ordinal)) return INVALID_DEVICE;
  *out = ordinal;
  return OK;
}

API int cuDeviceGetName(char* name, int length, int ordinal) {
  if (!device(ordinal)) return INVALID_DEVICE;
  snprintf(name, (size_t)length, "Stand-in GPU %d", ordinal);
  return OK;
}

API int cuDeviceGetUuid_v2(unsigned char* uuid, int ordinal) {
  if (!device(ordinal)) return INVALID_DEVICE;
  memset(uuid, 0x5A, 16);
  uuid[15] = (unsigned char)ordinal;
  return OK;
}

API int cuDeviceTotalMem_v2(size_t* bytes, int ordinal) {
  if (!device(ordinal)) return INVALID_DEVICE;
  *bytes = device(ordinal)->memory.limit();
  return OK;
}

API int cuDeviceGetAttribute(int* value, int attribute, int ordinal) {
  if (!device(ordinal)) return INVALID_DEVICE;
  switch (attribute) {
    case 1: *value = 1024; break;
    case 8: *value = (int)SHARED_DEFAULT; break;
    case 10: *value = 32; break;
    case 16: *value = 132; break;
    case 33: *value = ordinal + 1; break;
    case 38: *value = 50 << 20; break;
    case 75: *value = 9; break;
    case 97: *value = (int)SHARED_LIMIT; break;
    case 115: *value = 1; break;
    default:
      if (attribute < 1 || attribute > 200) return INVALID_VALUE;
      *value = 0;
  }
  return OK;
}

API int cuDeviceCanAccessPeer(int* can, int a, int b) {
  if (!device(a) || !device(b)) return INVALID_DEVICE;
  *can = 0;
  return OK;
}

API int cuCtxEnablePeerAccess(void*, unsigned) { return NOT_SUPPORTED; }

API int cuDevicePrimaryCtxRetain(void** out, int ordinal) {
  Held held(world.lock);
  if (!initialised) return NOT_INITIALIZED;
  if (!device(ordinal)) return INVALID_DEVICE;
  device(ordinal)->retained++;
  *out = device(ordinal);
  return device(ordinal)->fault;
}

API int cuDevicePrimaryCtxRelease_v2(int ordinal) {
  Held held(world.lock);
  if (!device(ordinal)) return INVALID_DEVICE;
  if (device(ordinal)->retained == 0) return INVALID_CONTEXT;
  device(ordinal)->retained--;
  return OK;
}

API int cuCtxSetCurrent(void* handle) {
  // What is current already stays so without waiting for who works.
  if (handle && handle == current && current->retained > 0) return OK;
  Held held(world.lock);
  if (!initialised) return NOT_INITIALIZED;
  bool known = !handle;
  for (auto& each : devices) {
    known = known || (each.get() == handle && each->retained > 0);
  }
  if (!known) return INVALID_CONTEXT;
  current = (Device*)handle;
  return OK;
}

API int cuCtxSynchronize() {
  ENTER
  Device* waited = current;
  bool done = world.workUntil(held, [&] {
    return std::all_of(world.streams.begin(), world.streams.end(), [&](Stream* each) {
      return each->device != waited || each->queue.empty();
    });
  });
  return done ? waited->fault : LAUNCH_TIMEOUT;
}

API int cuCtxGetStreamPriorityRange(int* least, int* greatest) {
  ENTER
  *least = LEAST_PRIORITY;
  *greatest = GREATEST_PRIORITY;
  return OK;
}

API int cuMemGetInfo_v2(size_t* free, size_t* total) {
  ENTER
  *total = current->memory.limit();
  *free = *total - current->memory.used();
  return OK;
}

static int allocate(uint64_t* out, size_t bytes) {
  if (bytes == 0) return INVALID_VALUE;
  *out = current->memory.allocate(bytes);
  return *out ? OK : OUT_OF_MEMORY;
}

API int cuMemAlloc_v2(uint64_t* out, size_t bytes) {
  ENTER
  return allocate(out, bytes);
}

API int cuMemFree_v2(uint64_t at) {
  ENTER
  Device* owner = current;
  world.workUntil(held, [&] {
    return std::all_of(world.streams.begin(), world.streams.end(), [&](Stream* each) {
      return each->device != owner || each->queue.empty();
    });
  });
  return owner->memory.free(at) ? OK : INVALID_VALUE;
}

API int cuMemAllocAsync(uint64_t* out, size_t bytes, void* on) {
  ENTER
  Stream* to = stream(on);
  if (!to) return INVALID_HANDLE;
  if (to->capture) return CAPTURE_UNSUPPORTED;
  int status = allocate(out, bytes);
  if (status != OUT_OF_MEMORY) return status;
  // What this stream has freed before may be taken again.
  if (int failed = finish(held, to)) return failed;
  return allocate(out, bytes);
}

API int cuMemFreeAsync(uint64_t at, void* on) {
  ENTER
  if (!current->memory.holds(at, 1)) return INVALID_VALUE;
  return submit(on, [at](Stream* s) { return s->device->memory.free(at) ? OK : INVALID_VALUE; });
}

API int cuDeviceGetDefaultMemPool(void** pool, int ordinal) {
  if (!device(ordinal)) return INVALID_DEVICE;
  *pool = device(ordinal);
  return OK;
}

API int cuMemPoolSetAttribute(void* pool, int attribute, void* value) {
  return pool && value && attribute >= 1 && attribute <= 8 ? OK : INVALID_VALUE;
}

API int cuMemPoolTrimTo(void* pool, size_t) { return pool ? OK : INVALID_VALUE; }

API int cuMemHostAlloc(void** out, size_t bytes, unsigned) {
  ENTER
  if (bytes == 0) return INVALID_VALUE;
  if (posix_memalign(out, 4096, bytes)) return OUT_OF_MEMORY;
  pinned[(uint64_t)*out] = {bytes, true};
  return OK;
}

API int cuMemAllocHost_v2(void** out, size_t bytes) { return cuMemHostAlloc(out, bytes, 0); }

API int cuMemFreeHost(void* at) {
  Held held(world.lock);
  auto found = pinned.find((uint64_t)at);
  if (found == pinned.end() || !found->second.owned) return INVALID_VALUE;
  pinned.erase(found);
  free(at);
  return OK;
}

API int cuMemHostRegister_v2(void* at, size_t bytes, unsigned) {
  ENTER
  if (!at || bytes == 0) return INVALID_VALUE;
  if (pinned.count((uint64_t)at)) return HOST_ALREADY_REGISTERED;
  pinned[(uint64_t)at] = {bytes, false};
  return OK;
}

API int cuMemHostUnregister(void* at) {
  Held held(world.lock);
  auto found = pinned.find((uint64_t)at);
  if (found == pinned.end() || found->second.owned) return HOST_NOT_REGISTERED;
  pinned.erase(found);
  return OK;
}

API int cuMemcpyHtoDAsync_v2(uint64_t to, const void* from, size_t bytes, void* on) {
  ENTER
  if (!current->memory.holds(to, bytes)) return INVALID_VALUE;
  if (isPinned((uint64_t)from, bytes)) {
    return submit(on, [=](Stream* s) {
      Window window(s->device->memory);
      memcpy((void*)to, from, bytes);
      return OK;
    });
  }
  auto copy = std::make_shared<std::vector<char>>((const char*)from, (const char*)from + bytes);
  return submit(on, [=](Stream* s) {
    Window window(s->device->memory);
    memcpy((void*)to, copy->data(), bytes);
    return OK;
  });
}

API int cuMemcpyDtoHAsync_v2(void* to, uint64_t from, size_t bytes, void* on) {
  ENTER
  if (!current->memory.holds(from, bytes)) return INVALID_VALUE;
  int status = submit(on, [=](Stream* s) {
    Window window(s->device->memory);
    memcpy(to, (const void*)from, bytes);
    return OK;
  });
  Stream* through = stream(on);
  if (status != OK || through->capture || isPinned((uint64_t)to, bytes)) return status;
  return finish(held, through);  // into pageable memory the driver copies at once
}

API int cuMemcpyDtoDAsync_v2(uint64_t to, uint64_t from, size_t bytes, void* on) {
  ENTER
  if (!current->memory.holds(to, bytes) || !current->memory.holds(from, bytes)) return INVALID_VALUE;
  return submit(on, [=](Stream* s) {
    Window window(s->device->memory);
    memmove((void*)to, (const void*)from, bytes);
    return OK;
  });
}

API int cuMemcpyPeerAsync(
    uint64_t to, void* toDevice, uint64_t from, void* fromDevice, size_t bytes, void* on) {
  ENTER
  auto* target = (Device*)toDevice;
  auto* source = (Device*)fromDevice;
  if (!target->memory.holds(to, bytes) || !source->memory.holds(from, bytes)) return INVALID_VALUE;
  return submit(on, [=](Stream*) {
    Window read(source->memory);
    if (target == source) {
      memmove((void*)to, (const void*)from, bytes);
    } else {
      Window written(target->memory);
      memcpy((void*)to, (const void*)from, bytes);
    }
    return OK;
  });
}

API int cuMemsetD8Async(uint64_t to, unsigned char value, size_t bytes, void* on) {
  ENTER
  if (!current->memory.holds(to, bytes)) return INVALID_VALUE;
  return submit(on, [=](Stream* s) {
    Window window(s->device->memory);
    memset((void*)to, value, bytes);
    return OK;
  });
}

API int cuMemsetD32Async(uint64_t to, unsigned value, size_t words, void* on) {
  ENTER
  if (to % 4 != 0 || !current->memory.holds(to, words * 4)) return INVALID_VALUE;
  return submit(on, [=](Stream* s) {
    Window window(s->device->memory);
    std::fill_n((unsigned*)to, words, value);
    return OK;
  });
}
