// Runs the threads of a block, one fibre each, on the calling thread.
//
// Fibres are resumed in an order that a seed decides, and not all in each round: a missing barrier
// shows as wrong results under some seeds. A barrier that not all threads reach, and a shuffle whose
// mask names a thread that has ended, end the launch with an error, as they would hang a GPU.
#pragma once

#include <csetjmp>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <pthread.h>
#include <sys/mman.h>
#include <vector>

struct Index3 {
  unsigned x, y, z;
};

// The same as device.h's.
struct StandinContext {
  Index3 threadIdx;
  Index3 blockIdx;
  Index3 blockDim;
  Index3 gridDim;
  void (*barrier)();
  unsigned long long (*exchange)(unsigned mask, unsigned long long value, int kind, int argument);
};

// Saves the callee's registers on the present stack, leaves it in *from, and goes on on `to`.
extern "C" void standin_switch(void** from, void* to);

// Which word of a saved stack holds the address to go on at.
#if defined(__x86_64__)
const int ENTRY_WORD = 6;
#else
const int ENTRY_WORD = 11;  // x30 of aarch64
#endif

namespace fibres {

const size_t STACK_BYTES = 64 << 10;
const int MOST_THREADS = 1024;

enum State { RUNNABLE, AT_BARRIER, IN_WARP, ENDED };

struct Fibre {
  void* stack;
  State state;
  Index3 index;
  unsigned mask;
  int kind;
  int argument;
  unsigned long long value;
};

struct Random {
  uint64_t state;

  uint64_t next() {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
  }

  unsigned below(unsigned n) { return (unsigned)((next() >> 32) * n >> 32); }
};

// What runs now; launches hold the driver's lock, so there is one.
struct Machine {
  char* stacks = nullptr;
  Fibre threads[MOST_THREADS];
  int count = 0;
  int current = 0;
  void* scheduler = nullptr;
  StandinContext* context = nullptr;
  void (*kernel)(void**) = nullptr;
  void** parameters = nullptr;
  pthread_t thread;
  sigjmp_buf fault;
  volatile bool running = false;
  Random random{0x9E3779B97F4A7C15ull};
};

inline Machine machine;

inline void handOver() {
  Fibre& self = machine.threads[machine.current];
  standin_switch(&self.stack, machine.scheduler);
}

inline void barrier() {
  machine.threads[machine.current].state = AT_BARRIER;
  handOver();
}

inline unsigned long long exchange(unsigned mask, unsigned long long value, int kind, int argument) {
  Fibre& self = machine.threads[machine.current];
  self.state = IN_WARP;
  self.mask = mask;
  self.value = value;
  self.kind = kind;
  self.argument = argument;
  handOver();
  return self.value;
}

inline void entry() {
  machine.kernel(machine.parameters);
  machine.threads[machine.current].state = ENDED;
  handOver();
  abort();  // an ended fibre is never resumed
}

inline void prepare(int i) {
  uintptr_t top = (uintptr_t)(machine.stacks + (i + 1) * STACK_BYTES) - 64;
  void** frame = (void**)(top - 8 * 32);
  memset(frame, 0, 8 * 32);
#if defined(__x86_64__)
  // The word that holds the entry's address is a multiple of 16, so that the stack is aligned as
  // after a call.
  frame += ((uintptr_t)(frame + ENTRY_WORD) & 15) ? 1 : 0;
#endif
  frame[ENTRY_WORD] = (void*)entry;
  machine.threads[i].stack = frame;
  machine.threads[i].state = RUNNABLE;
}

// Ends the shuffles whose threads have all come. Returns false if one can never end.
inline bool endExchanges(bool& progress) {
  for (int first = 0; first < machine.count; first += 32) {
    int lanes = machine.count - first < 32 ? machine.count - first : 32;
    for (int lane = 0; lane < lanes; lane++) {
      Fibre& self = machine.threads[first + lane];
      if (self.state != IN_WARP) continue;
      unsigned mask = self.mask;
      bool all = (mask >> lane) & 1;
      for (int other = 0; other < 32 && all; other++) {
        if (!((mask >> other) & 1)) continue;
        if (other >= lanes || machine.threads[first + other].state == ENDED) {
          fprintf(stderr, "stand-in: a shuffle waits for a thread that has ended\n");
          return false;
        }
        Fibre& peer = machine.threads[first + other];
        all = peer.state == IN_WARP && peer.mask == mask && peer.kind == self.kind;
      }
      if (!all) continue;
      unsigned long long values[32];
      for (int other = 0; other < lanes; other++) {
        values[other] = machine.threads[first + other].value;
      }
      for (int other = 0; other < lanes; other++) {
        if (!((mask >> other) & 1)) continue;
        Fibre& peer = machine.threads[first + other];
        int from = peer.kind == 0   ? other ^ peer.argument
                   : peer.kind == 1 ? peer.argument & 31
                   : peer.kind == 2 ? other + peer.argument
                                    : other;
        if (from < 0 || from > 31 || !((mask >> from) & 1)) from = other;
        peer.value = values[from];
        peer.state = RUNNABLE;
      }
      progress = true;
    }
  }
  return true;
}

inline bool endBarrier() {
  for (int i = 0; i < machine.count; i++) {
    State state = machine.threads[i].state;
    if (state != AT_BARRIER && state != ENDED) return false;
  }
  bool any = false;
  for (int i = 0; i < machine.count; i++) {
    if (machine.threads[i].state == AT_BARRIER) {
      machine.threads[i].state = RUNNABLE;
      any = true;
    }
  }
  return any;
}

// Runs one block to its end; false if its threads wait for each other for ever.
inline bool runBlock() {
  static int order[MOST_THREADS];
  for (int i = 0; i < machine.count; i++) {
    prepare(i);
    order[i] = i;
  }
  for (int ended = 0; ended < machine.count;) {
    for (int i = machine.count - 1; i > 0; i--) {
      int j = (int)machine.random.below((unsigned)i + 1);
      int swapped = order[i];
      order[i] = order[j];
      order[j] = swapped;
    }
    bool progress = false;
    uint64_t coins = machine.random.next();
    for (int i = 0; i < machine.count; i++) {
      Fibre& next = machine.threads[order[i]];
      // Half of those that could go on rest in this round.
      if (next.state != RUNNABLE || (progress && ((coins >> (i & 63)) & 1))) continue;
      machine.current = order[i];
      machine.context->threadIdx = next.index;
      standin_switch(&machine.scheduler, next.stack);
      ended += next.state == ENDED;
      progress = true;
    }
    if (!endExchanges(progress)) return false;
    if (endBarrier()) progress = true;
    if (!progress && ended < machine.count) {
      fprintf(stderr, "stand-in: threads of a block wait for each other for ever\n");
      return false;
    }
  }
  return true;
}

inline struct sigaction segvBefore, busBefore;

// A kernel that touches what it must not ends its launch; whatever else faults in this process is
// for whom it was before.
inline void onFault(int signal, siginfo_t* info, void* context) {
  if (machine.running && pthread_equal(machine.thread, pthread_self())) {
    siglongjmp(machine.fault, signal);
  }
  struct sigaction& before = signal == SIGSEGV ? segvBefore : busBefore;
  if (before.sa_flags & SA_SIGINFO) {
    before.sa_sigaction(signal, info, context);
  } else if (before.sa_handler == SIG_DFL) {
    sigaction(signal, &before, nullptr);  // the access is tried again and ends the process
  } else if (before.sa_handler != SIG_IGN) {
    before.sa_handler(signal);
  }
}

inline void catchFaults() {
  struct sigaction action;
  memset(&action, 0, sizeof(action));
  action.sa_sigaction = onFault;
  action.sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK;
  sigaction(SIGSEGV, &action, &segvBefore);
  sigaction(SIGBUS, &action, &busBefore);
}

inline void leaveFaults() {
  sigaction(SIGSEGV, &segvBefore, nullptr);
  sigaction(SIGBUS, &busBefore, nullptr);
}

struct Grid {
  Index3 blocks;
  Index3 threads;
};

enum Outcome { DONE, FAULT, STUCK };

// Runs all blocks of a launch, in an order that the seed decides. `betweenBlocks` is called before
// and after each block (shared memory is poisoned and checked there) and says whether all is well.
inline Outcome runGrid(
    const Grid& grid, StandinContext* context, void (*kernel)(void**), void** parameters,
    bool (*betweenBlocks)(void*), void* argument) {
  if (!machine.stacks) {
    machine.stacks = (char*)mmap(
        nullptr, STACK_BYTES * MOST_THREADS, PROT_READ | PROT_WRITE,
        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  }
  machine.thread = pthread_self();
  machine.context = context;
  machine.kernel = kernel;
  machine.parameters = parameters;
  machine.count = (int)(grid.threads.x * grid.threads.y * grid.threads.z);
  context->barrier = barrier;
  context->exchange = exchange;
  context->blockDim = grid.threads;
  context->gridDim = grid.blocks;
  int i = 0;
  for (unsigned z = 0; z < grid.threads.z; z++) {
    for (unsigned y = 0; y < grid.threads.y; y++) {
      for (unsigned x = 0; x < grid.threads.x; x++) {
        machine.threads[i++].index = {x, y, z};
      }
    }
  }
  unsigned long long blocks = (unsigned long long)grid.blocks.x * grid.blocks.y * grid.blocks.z;
  unsigned long long start = machine.random.next() % blocks;
  bool backwards = machine.random.next() & 1;
  catchFaults();
  Outcome outcome = DONE;
  if (sigsetjmp(machine.fault, 1) == 0) {
    machine.running = true;
    for (unsigned long long b = 0; b < blocks && outcome == DONE; b++) {
      unsigned long long block = (start + (backwards ? blocks - b : b)) % blocks;
      context->blockIdx.x = (unsigned)(block % grid.blocks.x);
      context->blockIdx.y = (unsigned)(block / grid.blocks.x % grid.blocks.y);
      context->blockIdx.z = (unsigned)(block / grid.blocks.x / grid.blocks.y);
      if (!betweenBlocks(argument)) outcome = FAULT;
      if (outcome == DONE && !runBlock()) outcome = STUCK;
    }
    if (outcome == DONE && !betweenBlocks(argument)) outcome = FAULT;
  } else {
    fprintf(stderr, "stand-in: a kernel touched memory that is not its own\n");
    outcome = FAULT;
  }
  machine.running = false;
  leaveFaults();
  return outcome;
}

}  // namespace fibres
