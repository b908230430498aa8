// The ranks of a communicator in the stand-in for libnccl: what each has brought to the head of its
// stream, and what becomes of it when all that it needs has come.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

extern "C" {
int standin_submit(void* stream, int (*ready)(void*), int (*run)(void*), const void* data, size_t bytes);
int standin_holds(uint64_t at, size_t bytes);
int standin_device();
void standin_open(int ordinal, int open);
void standin_wake();
}

namespace {

enum Result : int {
  OK = 0,
  UNHANDLED_CUDA = 1,
  SYSTEM = 2,
  INTERNAL = 3,
  INVALID_ARGUMENT = 4,
  INVALID_USAGE = 5,
  REMOTE = 6,
  IN_PROGRESS = 7,
};

enum Kind { SEND, RECEIVE, ALL_REDUCE, REDUCE_SCATTER, ALL_GATHER, BROADCAST };

const size_t ID_BYTES = 128;

struct Id {
  char bytes[ID_BYTES];
};

struct Config {
  size_t size;
  unsigned magic;
  unsigned version;
  int blocking;
};

struct Comm;

struct Op {
  Kind kind;
  uint64_t from;
  uint64_t to;
  size_t count;
  int type;
  int other;  // reduction, root or peer
  Comm* comm;
  void* stream;
  long long sequence = -1;
  bool done = false;
};

// What one group queues on one stream; done when all of its operations are.
struct Batch {
  Comm* comm;
  void* stream;
  std::vector<std::shared_ptr<Op>> ops;
  bool posted = false;
};

struct Clique {
  int ranks;
  int error = OK;
  std::vector<Comm*> members;
  std::map<long long, std::vector<std::shared_ptr<Op>>> collectives;  // by sequence, one per rank
  std::map<std::pair<int, int>, std::deque<std::shared_ptr<Op>>> sends;
  std::map<std::pair<int, int>, std::deque<std::shared_ptr<Op>>> receives;

  int joined() const {
    return ranks - (int)std::count(members.begin(), members.end(), nullptr);
  }
};

struct Comm {
  std::shared_ptr<Clique> clique;
  int rank;
  int device;
  int error = OK;
  bool aborted = false;
  bool used = false;       // the first use sets up connections, which takes a while
  int polls = 0;           // until what was given is queued
  Comm** slot = nullptr;   // where the communicator is put once more when all have come
  std::vector<std::shared_ptr<Batch>> pending;
  long long sequence = 0;  // of the next collective
  int open = 0;            // batches that are not done
};

std::mutex& lock = *new std::mutex();  // never held around a call of the other stand-in that locks
std::map<std::string, std::shared_ptr<Clique>>& cliques = *new std::map<std::string, std::shared_ptr<Clique>>();
std::set<Comm*>& comms = *new std::set<Comm*>();
std::string& lastError = *new std::string();
unsigned nextId = 1;
long long operations = 0;

thread_local int depth = 0;
thread_local std::vector<std::shared_ptr<Op>> grouped;

typedef std::lock_guard<std::mutex> Held;

int refuse(int result, const std::string& why) {
  lastError = why;
  return result;
}

bool known(Comm* comm) { return comms.count(comm) > 0; }

size_t width(int type) {
  static const size_t widths[] = {1, 1, 4, 4, 8, 8, 2, 4, 8, 2, 1, 1};
  return type >= 0 && type < 12 ? widths[type] : 0;
}

void failAll(Clique& clique, int result, const std::string& why) {
  lastError = why;
  if (clique.error == OK) clique.error = result;
  for (Comm* member : clique.members) {
    if (member && member->error == OK) member->error = result;
  }
}

// Opens the memory of all members' devices for as long as it lives.
struct Windows {
  std::set<int> devices;

  explicit Windows(const Clique& clique) {
    for (Comm* member : clique.members) {
      if (member) devices.insert(member->device);
    }
    for (int device : devices) standin_open(device, 1);
  }

  ~Windows() {
    for (int device : devices) standin_open(device, 0);
  }
};

bool holds(const Op& op, const std::string& what, uint64_t at, size_t count) {
  if (count == 0 || standin_holds(at, count * width(op.type))) return true;
  failAll(*op.comm->clique, UNHANDLED_CUDA, what + " is no memory of a device");
  return false;
}

float joined(int reduction, float a, float b) {
  switch (reduction) {
    case 0: return a + b;
    case 1: return a * b;
    case 2: return a > b ? a : b;
    default: return a < b ? a : b;
  }
}

// The element of a ring's result: its share of the vector decides which rank comes first.
float chain(const std::vector<std::shared_ptr<Op>>& all, size_t element, size_t share) {
  size_t ranks = all.size();
  size_t first = (share + 1) % ranks;
  float sum = ((const float*)all[first]->from)[element];
  for (size_t i = 1; i < ranks; i++) {
    sum = joined(all[0]->other, sum, ((const float*)all[(first + i) % ranks]->from)[element]);
  }
  return sum;
}

void collective(Clique& clique, const std::vector<std::shared_ptr<Op>>& all) {
  const Op& head = *all[0];
  size_t ranks = all.size();
  size_t bytes = head.count * width(head.type);
  for (auto& op : all) {
    bool root = op->comm->rank == head.other;
    size_t brought = head.kind == REDUCE_SCATTER ? head.count * ranks : head.count;
    size_t gets = head.kind == ALL_GATHER ? head.count * ranks : head.count;
    if ((head.kind != BROADCAST || root) && !holds(*op, "what is sent", op->from, brought)) return;
    if (!holds(*op, "what is received", op->to, gets)) return;
  }
  Windows open(clique);
  if (head.kind == BROADCAST) {
    uint64_t from = all[(size_t)head.other]->from;
    for (auto& op : all) memmove((void*)op->to, (void*)from, bytes);
  } else if (head.kind == ALL_GATHER) {
    std::vector<char> whole(bytes * ranks);
    for (size_t r = 0; r < ranks; r++) memcpy(&whole[r * bytes], (void*)all[r]->from, bytes);
    for (auto& op : all) memcpy((void*)op->to, whole.data(), whole.size());
  } else {
    size_t total = head.kind == REDUCE_SCATTER ? head.count * ranks : head.count;
    std::vector<float> sums(total);
    for (size_t i = 0; i < total; i++) sums[i] = chain(all, i, i * ranks / total);
    for (size_t r = 0; r < ranks; r++) {
      size_t start = head.kind == REDUCE_SCATTER ? r * head.count : 0;
      memcpy((void*)all[r]->to, &sums[start], bytes);
    }
  }
}

void match(Clique& clique, const std::pair<int, int>& way) {
  auto& sends = clique.sends[way];
  auto& receives = clique.receives[way];
  while (!sends.empty() && !receives.empty()) {
    std::shared_ptr<Op> send = sends.front();
    std::shared_ptr<Op> receive = receives.front();
    if (send->comm->aborted || receive->comm->aborted) return;
    if (send->count * width(send->type) != receive->count * width(receive->type)) {
      failAll(clique, INTERNAL, "what is sent is not as long as what is received");
      return;
    }
    if (!holds(*send, "what is sent", send->from, send->count) ||
        !holds(*receive, "what is received", receive->to, receive->count)) {
      return;
    }
    Windows open(clique);
    memmove((void*)receive->to, (void*)send->from, send->count * width(send->type));
    send->done = receive->done = true;
    sends.pop_front();
    receives.pop_front();
  }
}

void post(const std::shared_ptr<Op>& op) {
  operations++;
  Clique& clique = *op->comm->clique;
  int rank = op->comm->rank;
  if (op->kind == SEND) {
    clique.sends[{rank, op->other}].push_back(op);
    match(clique, {rank, op->other});
    return;
  }
  if (op->kind == RECEIVE) {
    clique.receives[{op->other, rank}].push_back(op);
    match(clique, {op->other, rank});
    return;
  }
  auto& all = clique.collectives[op->sequence];
  all.resize((size_t)clique.ranks);
  all[(size_t)rank] = op;
  for (auto& each : all) {
    if (!each || each->comm->aborted) return;
    if (each->kind != op->kind || each->count != op->count || each->type != op->type ||
        each->other != op->other) {
      failAll(clique, INTERNAL, "ranks call different collectives");
      return;
    }
  }
  collective(clique, all);
  for (auto& each : all) each->done = true;
  clique.collectives.erase(op->sequence);
}

}  // namespace
