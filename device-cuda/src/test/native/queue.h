// Streams, events and graphs of the stand-in. Work is queued and runs when somebody waits, in an
// interleaving of the streams that the seed decides and that events restrict: a missing wait shows.
#pragma once

#include "fibres.h"
#include "memory.h"

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <vector>

struct Stream;

struct Device {
  int ordinal;
  DeviceMemory memory;
  int retained = 0;
  int fault = 0;  // sticky
  std::unique_ptr<Stream> standard;

  Device(int ordinal, size_t bytes) : ordinal(ordinal), memory(bytes) {}
};

// A piece of work; `ready` says whether it may run now.
struct Node {
  std::function<bool()> ready;
  std::function<int()> run;
};

struct Graph {
  std::vector<Node> nodes;
  bool broken = false;
};

struct Stream {
  Device* device;
  std::deque<Node> queue;
  Graph* capture = nullptr;
  bool joined = false;  // came into the capture by an event

  explicit Stream(Device* device) : device(device) {}
};

struct Event {
  Device* device;
  uint64_t recorded = 0;
  uint64_t passed = 0;
  Graph* capture = nullptr;
  std::chrono::steady_clock::time_point at;
};

// All that the process has; one lock for all.
struct World {
  std::mutex lock;
  std::condition_variable changed;
  std::set<Stream*> streams;
  std::set<Event*> events;
  std::set<Graph*> graphs;
  long long launches = 0;

  void add(Stream* stream, Node node) {
    if (stream->capture) {
      stream->capture->nodes.push_back(std::move(node));
    } else {
      stream->queue.push_back(std::move(node));
      changed.notify_all();
    }
  }

  // Runs one piece of work of any stream; false if none is ready.
  bool step() {
    std::vector<Stream*> ready;
    for (Stream* stream : streams) {
      if (stream->queue.empty()) continue;
      // A lost device's work is dropped, so nothing of it waits.
      const Node& head = stream->queue.front();
      if (stream->device->fault || !head.ready || head.ready()) ready.push_back(stream);
    }
    if (ready.empty()) return false;
    Stream* chosen = ready[fibres::machine.random.below((unsigned)ready.size())];
    Node node = std::move(chosen->queue.front());
    chosen->queue.pop_front();
    if (chosen->device->fault == 0) {
      int status = node.run();
      if (status != 0) chosen->device->fault = status;
    }
    changed.notify_all();
    return true;
  }

  // Works until `done`; false if a minute passes in which nothing can be done.
  bool workUntil(std::unique_lock<std::mutex>& held, const std::function<bool()>& done) {
    auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (!done()) {
      if (step()) continue;
      if (changed.wait_until(held, limit) == std::cv_status::timeout) return false;
    }
    return true;
  }
};

// Never destroyed: threads may still wait when the process ends.
inline World& world = *new World();
