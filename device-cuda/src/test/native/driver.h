// What the driver's functions of the stand-in share: its state, and the checks that each makes first.
#pragma once

#include "launch.h"

#include <algorithm>
#include <map>

#define API extern "C" __attribute__((visibility("default")))


enum Status : int {
  OK = 0,
  INVALID_VALUE = 1,
  OUT_OF_MEMORY = 2,
  NOT_INITIALIZED = 3,
  NO_DEVICE = 100,
  INVALID_DEVICE = 101,
  INVALID_IMAGE = 200,
  INVALID_CONTEXT = 201,
  INVALID_HANDLE = 400,
  NOT_FOUND = 500,
  NOT_READY = 600,
  LAUNCH_TIMEOUT = 702,
  HOST_ALREADY_REGISTERED = 712,
  HOST_NOT_REGISTERED = 713,
  NOT_SUPPORTED = 801,
  CAPTURE_UNSUPPORTED = 900,
  CAPTURE_INVALIDATED = 901,
};

// As CUDA has them: the least number goes first.
enum : int { PRIORITY = 8, LEAST_PRIORITY = 0, GREATEST_PRIORITY = -5 };

typedef std::unique_lock<std::mutex> Held;

struct Host {
  size_t bytes;
  bool owned;
};

inline std::vector<std::unique_ptr<Device>>& devices = *new std::vector<std::unique_ptr<Device>>();
inline std::map<uint64_t, Host>& pinned = *new std::map<uint64_t, Host>();
inline std::set<Module*>& modules = *new std::set<Module*>();
inline std::set<Function*>& functions = *new std::set<Function*>();
inline bool initialised = false;
inline int configuredDevices = -1;
inline size_t configuredBytes = 0;
inline thread_local Device* current = nullptr;

inline long long environment(const char* name, long long otherwise) {
  const char* text = getenv(name);
  return text && *text ? atoll(text) : otherwise;
}

inline Device* device(int ordinal) {
  return ordinal >= 0 && (size_t)ordinal < devices.size() ? devices[(size_t)ordinal].get() : nullptr;
}

// What every call on a context checks first.
inline int context() {
  if (!initialised) return NOT_INITIALIZED;
  if (!current || current->retained == 0) return INVALID_CONTEXT;
  return current->fault;
}

inline Stream* stream(void* handle) {
  if (!handle) return current->standard.get();
  auto found = world.streams.find((Stream*)handle);
  return found == world.streams.end() ? nullptr : *found;
}

inline bool isPinned(uint64_t at, size_t bytes) {
  auto after = pinned.upper_bound(at);
  if (after == pinned.begin()) return false;
  auto found = std::prev(after);
  return at + bytes <= found->first + found->second.bytes;
}

inline int finish(Held& held, Stream* waited) {
  if (waited->capture) {
    waited->capture->broken = true;
    return CAPTURE_UNSUPPORTED;
  }
  if (!world.workUntil(held, [&] { return waited->queue.empty(); })) return LAUNCH_TIMEOUT;
  return waited->device->fault;
}

inline int submit(void* handle, std::function<int(Stream*)> run, std::function<bool()> ready = nullptr) {
  Stream* to = stream(handle);
  if (!to) return INVALID_HANDLE;
  world.add(to, {std::move(ready), [to, run = std::move(run)] { return run(to); }});
  return OK;
}

#define ENTER                      \
  Held held(world.lock);           \
  if (int refused = context()) return refused;
