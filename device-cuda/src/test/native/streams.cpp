// Streams and events of the stand-in for libcuda.
#include "driver.h"

API int cuStreamCreate(void** out, unsigned flags) {
  ENTER
  if (flags > 1) return INVALID_VALUE;
  auto* made = new Stream(current);
  world.streams.insert(made);
  *out = made;
  return OK;
}

API int cuStreamCreateWithPriority(void** out, unsigned flags, int) {
  return cuStreamCreate(out, flags);
}

API int cuStreamSynchronize(void* on) {
  ENTER
  Stream* waited = stream(on);
  return waited ? finish(held, waited) : INVALID_HANDLE;
}

API int cuStreamQuery(void* on) {
  ENTER
  Stream* asked = stream(on);
  if (!asked) return INVALID_HANDLE;
  if (asked->capture) return CAPTURE_UNSUPPORTED;
  if (!asked->queue.empty()) world.step();
  return asked->queue.empty() ? asked->device->fault : NOT_READY;
}

API int cuStreamDestroy_v2(void* on) {
  Held held(world.lock);
  auto found = world.streams.find((Stream*)on);
  if (!on || found == world.streams.end()) return INVALID_HANDLE;
  Stream* ended = *found;
  world.workUntil(held, [&] { return ended->queue.empty(); });
  world.streams.erase(ended);
  delete ended;
  return OK;
}

API int cuEventCreate(void** out, unsigned) {
  ENTER
  auto* made = new Event{current};
  world.events.insert(made);
  *out = made;
  return OK;
}

API int cuEventRecord(void* handle, void* on) {
  ENTER
  Stream* marked = stream(on);
  auto* event = (Event*)handle;
  if (!marked || !world.events.count(event)) return INVALID_HANDLE;
  event->capture = marked->capture;
  if (marked->capture) return OK;  // the order of capture is the order of the graph
  uint64_t version = ++event->recorded;
  return submit(on, [event, version](Stream*) {
    if (world.events.count(event)) event->passed = std::max(event->passed, version);
    return OK;
  });
}

API int cuStreamWaitEvent(void* on, void* handle, unsigned) {
  ENTER
  Stream* waiting = stream(on);
  auto* event = (Event*)handle;
  if (!waiting || !world.events.count(event)) return INVALID_HANDLE;
  if (event->capture) {
    if (!waiting->capture) {
      waiting->capture = event->capture;
      waiting->joined = true;
    }
    return waiting->capture == event->capture ? OK : CAPTURE_INVALIDATED;
  }
  uint64_t version = event->recorded;
  return submit(
      on, [](Stream*) { return OK; },
      [event, version] { return !world.events.count(event) || event->passed >= version; });
}

API int cuEventQuery(void* handle) {
  {
    // As the driver's, it waits for nobody: who works on the streams holds the lock meanwhile. What
    // has passed has passed.
    Held free(world.lock, std::try_to_lock);
    if (!free.owns_lock()) {
      auto* asked = (Event*)handle;
      uint64_t passed = __atomic_load_n(&asked->passed, __ATOMIC_ACQUIRE);
      return passed >= asked->recorded ? asked->device->fault : NOT_READY;
    }
  }
  ENTER
  auto* event = (Event*)handle;
  if (!world.events.count(event)) return INVALID_HANDLE;
  if (event->passed < event->recorded) world.step();
  return event->passed >= event->recorded ? event->device->fault : NOT_READY;
}

API int cuEventSynchronize(void* handle) {
  ENTER
  auto* event = (Event*)handle;
  if (!world.events.count(event)) return INVALID_HANDLE;
  uint64_t version = event->recorded;
  if (!world.workUntil(held, [&] { return event->passed >= version || event->device->fault; })) {
    return LAUNCH_TIMEOUT;
  }
  return event->device->fault;
}

// With flag 1 a record in a capture is a node of the graph, and the event tells the time of its last run.
API int cuEventRecordWithFlags(void* handle, void* on, unsigned flags) {
  if (flags != 1) return flags == 0 ? cuEventRecord(handle, on) : INVALID_VALUE;
  ENTER
  auto* event = (Event*)handle;
  if (!world.events.count(event)) return INVALID_HANDLE;
  return submit(on, [event](Stream*) {
    if (world.events.count(event)) event->at = std::chrono::steady_clock::now();
    return OK;
  });
}

API int cuEventElapsedTime_v2(float* milliseconds, void* from, void* to) {
  Held held(world.lock);
  auto *start = (Event*)from, *end = (Event*)to;
  if (!world.events.count(start) || !world.events.count(end)) return INVALID_HANDLE;
  std::chrono::steady_clock::time_point never;
  if (start->at == never || end->at == never) return INVALID_HANDLE;
  *milliseconds = std::chrono::duration<float, std::milli>(end->at - start->at).count();
  return OK;
}

API int cuEventElapsedTime(float* milliseconds, void* from, void* to) {
  return cuEventElapsedTime_v2(milliseconds, from, to);
}

API int cuEventDestroy_v2(void* handle) {
  Held held(world.lock);
  auto* event = (Event*)handle;
  if (!world.events.erase(event)) return INVALID_HANDLE;
  delete event;
  return OK;
}
