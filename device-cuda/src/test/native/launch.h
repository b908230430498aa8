// Kernels of the stand-in: a "CUBIN" is a shared library that the stand-in for NVRTC made.
#pragma once

#include "queue.h"

#include <dlfcn.h>
#include <string>
#include <unistd.h>

const size_t SHARED_DEFAULT = 48 << 10;
const size_t SHARED_LIMIT = 99 << 10;  // sm_120; Hopper and the B200 have 227 KB
const size_t SHARED_CANARY = 4096;

struct Function;

struct Module {
  Device* device;
  void* library;
  StandinContext* context;
  char* dynamicShared;  // null if no kernel has any
  char* staticBegin;
  char* staticEnd;
  std::set<std::unique_ptr<Function>> functions;
};

struct Function {
  Module* module;
  void (*call)(void**);
  std::vector<unsigned> sizes;
  size_t mostShared = SHARED_DEFAULT;
};

// Loads an image; null if it is none of ours.
inline Module* loadModule(Device* device, const void* image) {
  // The image's size stands where the ELF header's section table ends.
  const unsigned char* bytes = (const unsigned char*)image;
  if (memcmp(bytes, "\177ELF", 4) != 0) return nullptr;
  uint64_t table;
  uint16_t entry, count;
  memcpy(&table, bytes + 40, 8);
  memcpy(&entry, bytes + 58, 2);
  memcpy(&count, bytes + 60, 2);
  size_t size = table + (size_t)entry * count;
  // A name of its own for each: the loader takes one name for one library.
  char path[] = "/tmp/standin-module-XXXXXX";
  int file = mkstemp(path);
  if (file < 0) return nullptr;
  bool whole = write(file, bytes, size) == (ssize_t)size;
  close(file);
  void* library = whole ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : nullptr;
  unlink(path);
  if (!library) {
    fprintf(stderr, "stand-in: %s\n", dlerror());
    return nullptr;
  }
  auto* context = (StandinContext*)dlsym(library, "standin_context");
  if (!context) {
    dlclose(library);
    return nullptr;
  }
  auto bounds = (void (*)(char**))dlsym(library, "standin_shared_bounds");
  char* area[3] = {nullptr, nullptr, nullptr};
  if (bounds) bounds(area);
  return new Module{device, library, context, area[0], area[1], area[2], {}};
}

inline Function* findFunction(Module* module, const char* name) {
  std::string suffix(name);
  auto call = (void (*)(void**))dlsym(module->library, ("standin_call_" + suffix).c_str());
  auto sizes = (int (*)(unsigned*))dlsym(module->library, ("standin_sizes_" + suffix).c_str());
  if (!call || !sizes) return nullptr;
  unsigned each[256];
  int count = sizes(each);
  auto function = new Function{module, call, std::vector<unsigned>(each, each + count)};
  module->functions.insert(std::unique_ptr<Function>(function));
  return function;
}

struct SharedUse {
  Module* module;
  size_t dynamicBytes;
  bool first;
};

// Poisons shared memory before each block, and sees after each that nothing was written behind it.
inline bool betweenBlocks(void* argument) {
  auto* use = (SharedUse*)argument;
  Module* module = use->module;
  if (module->dynamicShared) {
    char* end = module->dynamicShared + use->dynamicBytes;
    for (size_t i = 0; !use->first && i < SHARED_CANARY; i++) {
      if ((unsigned char)end[i] != 0xC5) {
        fprintf(stderr, "stand-in: written behind shared memory: bytes=%zu, offset=%zu\n",
                use->dynamicBytes, i);
        return false;
      }
    }
    memset(module->dynamicShared, 0xFF, use->dynamicBytes);
    memset(end, 0xC5, SHARED_CANARY);
  }
  if (module->staticBegin) {
    memset(module->staticBegin, 0xFF, (size_t)(module->staticEnd - module->staticBegin));
  }
  use->first = false;
  return true;
}

// Copies of a launch's parameters, as the driver makes them.
struct Parameters {
  std::vector<std::vector<char>> values;

  Parameters(const std::vector<unsigned>& sizes, void** from) {
    for (size_t i = 0; i < sizes.size(); i++) {
      auto* bytes = (const char*)from[i];
      values.emplace_back(bytes, bytes + sizes[i]);
    }
  }
};

inline int launch(Function* function, const fibres::Grid& grid, size_t shared, Parameters& parameters) {
  Device* device = function->module->device;
  std::vector<void*> addresses;
  for (auto& value : parameters.values) {
    addresses.push_back(value.data());
  }
  SharedUse use = {function->module, shared, true};
  Window window(device->memory);
  world.launches++;
  fibres::Outcome outcome = fibres::runGrid(
      grid, function->module->context, function->call, addresses.data(), betweenBlocks, &use);
  if (outcome == fibres::STUCK) return 719;
  if (outcome == fibres::FAULT || !device->memory.isWhole()) return 700;
  return 0;
}
