// Memory of a device of the stand-in: inaccessible but while copies and kernels run, with a guard
// page after each allocation, filled with ones (NaN) when new.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <iterator>
#include <map>
#include <sys/mman.h>

class DeviceMemory {
 public:
  struct Allocation {
    size_t bytes;
    size_t mapped;
  };

  explicit DeviceMemory(size_t limit) : limit_(limit) {
    base_ = (char*)mmap(
        nullptr, SPAN, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  }

  size_t limit() const { return limit_; }

  size_t used() const { return used_; }

  bool isEmpty() const { return live_.empty(); }

  // Returns 0 where there is no room.
  uint64_t allocate(size_t bytes) {
    size_t mapped = (bytes + PAGE - 1) / PAGE * PAGE;
    if (bytes == 0 || mapped > limit_ - used_) return 0;
    uint64_t at = (uint64_t)base_;
    for (auto& [address, allocation] : live_) {
      if (address - at >= mapped + PAGE) break;
      at = address + allocation.mapped + PAGE;
    }
    if (at + mapped + PAGE > (uint64_t)base_ + SPAN) return 0;
    live_[at] = {bytes, mapped};
    used_ += mapped;
    open(at, mapped);
    memset((void*)at, 0xFF, bytes);
    memset((char*)at + bytes, CANARY, mapped - bytes);
    close(at, mapped);
    return at;
  }

  bool free(uint64_t at) {
    auto found = live_.find(at);
    if (found == live_.end()) return false;
    used_ -= found->second.mapped;
    madvise((void*)at, found->second.mapped, MADV_DONTNEED);
    live_.erase(found);
    return true;
  }

  // Whether [at, at + bytes) lies in one allocation.
  bool holds(uint64_t at, size_t bytes) const {
    auto after = live_.upper_bound(at);
    if (after == live_.begin()) return false;
    auto found = std::prev(after);
    return at + bytes >= at && at + bytes <= found->first + found->second.bytes;
  }

  void open() {
    for (auto& [address, allocation] : live_) open(address, allocation.mapped);
  }

  void close() {
    for (auto& [address, allocation] : live_) close(address, allocation.mapped);
  }

  // Whether nothing was written behind the end of an allocation; the memory is open.
  bool isWhole() const {
    for (auto& [address, allocation] : live_) {
      for (size_t i = allocation.bytes; i < allocation.mapped; i++) {
        if (((unsigned char*)address)[i] != CANARY) {
          fprintf(
              stderr, "stand-in: written behind an allocation: bytes=%zu, offset=%zu\n",
              allocation.bytes, i);
          return false;
        }
      }
    }
    return true;
  }

 private:
  static constexpr size_t PAGE = 4096;
  static constexpr size_t SPAN = (size_t)64 << 30;
  static constexpr unsigned char CANARY = 0xC5;

  static void open(uint64_t at, size_t bytes) {
    mprotect((void*)at, bytes, PROT_READ | PROT_WRITE);
  }

  static void close(uint64_t at, size_t bytes) { mprotect((void*)at, bytes, PROT_NONE); }

  char* base_;
  size_t limit_;
  size_t used_ = 0;
  std::map<uint64_t, Allocation> live_;
};

// Opens a device's memory for as long as it lives.
class Window {
 public:
  explicit Window(DeviceMemory& memory) : memory_(memory) { memory.open(); }

  ~Window() { memory_.close(); }

 private:
  DeviceMemory& memory_;
};
