// A stand-in for libnccl: ranks are threads of one process, each with a device of the stand-in for
// libcuda. What is queued waits at the head of its stream until all that it needs has come there too,
// as a kernel of NCCL's does, and moves memory at once. It refuses what NCCL refuses and is stricter
// where NCCL would hang: ranks that call different collectives get an error. Sums are chains that
// begin at another rank for each share of the vector, as a ring's do. What it cannot show: wires,
// timing, real concurrency, blocking calls.
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

#define API extern "C" __attribute__((visibility("default")))

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

// Asked under the other stand-in's lock, when the batch is at the head of its stream.
int ready(void* data) {
  auto* batch = *(Batch**)data;
  Held held(lock);
  if (batch->comm->aborted) return 1;
  if (!batch->posted) {
    batch->posted = true;
    for (auto& op : batch->ops) post(op);
  }
  return std::all_of(batch->ops.begin(), batch->ops.end(), [](auto& op) { return op->done; });
}

int run(void* data) {
  auto* batch = *(Batch**)data;
  Held held(lock);
  batch->comm->open--;
  return 0;
}

// Without the lock.
int submit(const std::shared_ptr<Batch>& batch) {
  auto* kept = new std::shared_ptr<Batch>(batch);  // lives as long as the process, as its work may
  Batch* raw = kept->get();
  return standin_submit(batch->stream, ready, run, &raw, sizeof raw) == 0 ? OK : UNHANDLED_CUDA;
}

// Queues what a thread has grouped.
int queue() {
  std::vector<std::shared_ptr<Batch>> now;
  bool later = false;
  {
    Held held(lock);
    std::map<std::pair<Comm*, void*>, std::shared_ptr<Batch>> batches;
    std::vector<std::shared_ptr<Batch>> order;
    for (auto& op : grouped) {
      auto& batch = batches[{op->comm, op->stream}];
      if (!batch) {
        batch = std::make_shared<Batch>(Batch{op->comm, op->stream, {}});
        order.push_back(batch);
      }
      if (op->kind != SEND && op->kind != RECEIVE) op->sequence = op->comm->sequence++;
      batch->ops.push_back(op);
    }
    grouped.clear();
    for (auto& batch : order) {
      batch->comm->open++;
      if (!batch->comm->used) {
        batch->comm->used = true;
        batch->comm->polls = 3;
        batch->comm->pending.push_back(batch);
        later = true;
      } else {
        now.push_back(batch);
      }
    }
  }
  for (auto& batch : now) {
    if (int refused = submit(batch)) return refused;
  }
  return later ? IN_PROGRESS : OK;
}

// What every call with a communicator checks first; the lock is held.
int usable(Comm* comm) {
  if (!known(comm)) return refuse(INVALID_ARGUMENT, "communicator is unknown");
  if (comm->aborted) return refuse(INVALID_USAGE, "communicator was aborted");
  if (comm->error != OK) return comm->error;
  if (comm->polls > 0 || comm->clique->joined() < comm->clique->ranks) {
    return refuse(INVALID_USAGE, "communicator is used before it is ready");
  }
  return OK;
}

int add(Kind kind, uint64_t from, uint64_t to, size_t count, int type, int other, Comm* comm, void* stream) {
  {
    Held held(lock);
    if (int refused = usable(comm)) return refused;
    if (width(type) == 0) return refuse(INVALID_ARGUMENT, "type is unknown");
    bool reduces = kind == ALL_REDUCE || kind == REDUCE_SCATTER;
    if (reduces && (type != 7 || other < 0 || other > 3)) {
      return refuse(INVALID_ARGUMENT, "the stand-in reduces float32 alone");
    }
    if (!reduces && kind != ALL_GATHER && (other < 0 || other >= comm->clique->ranks)) {
      return refuse(INVALID_ARGUMENT, "peer or root is no rank");
    }
  }
  grouped.push_back(std::make_shared<Op>(Op{kind, from, to, count, type, other, comm, stream}));
  return depth > 0 ? OK : queue();
}

}  // namespace

// How many operations have come to the head of their streams.
API long long standin_operations() {
  Held held(lock);
  return operations;
}

API int ncclGetVersion(int* version) {
  *version = 23007;
  return OK;
}

API int ncclGetUniqueId(Id* id) {
  Held held(lock);
  memset(id, 0, sizeof *id);
  snprintf(id->bytes, ID_BYTES, "stand-in %u", nextId++);
  id->bytes[ID_BYTES - 1] = 'e';
  return OK;
}

API int ncclCommInitRankConfig(Comm** out, int ranks, Id id, int rank, Config* config) {
  Held held(lock);
  if (config->magic != 0xcafebeef || config->size < sizeof(Config) - 4) {
    return refuse(INVALID_ARGUMENT, "config was not initialised");
  }
  if (config->blocking != 0) return refuse(INVALID_ARGUMENT, "the stand-in does not block");
  if (ranks < 1 || rank < 0 || rank >= ranks) return refuse(INVALID_ARGUMENT, "rank is none");
  if (id.bytes[ID_BYTES - 1] != 'e') return refuse(INVALID_ARGUMENT, "unique id is damaged");
  auto& clique = cliques[std::string(id.bytes, ID_BYTES)];
  if (!clique) {
    clique = std::make_shared<Clique>();
    clique->ranks = ranks;
    clique->members.resize((size_t)ranks);
  }
  if (clique->ranks != ranks || clique->members[(size_t)rank]) {
    return refuse(INVALID_ARGUMENT, "rank has come before, or ranks differ about their number");
  }
  auto* comm = new Comm();
  comm->clique = clique;
  comm->rank = rank;
  comm->device = standin_device();
  for (Comm* other : clique->members) {
    if (other && other->device == comm->device) {
      failAll(
          *clique, INVALID_USAGE,
          "Duplicate GPU detected : rank " + std::to_string(rank) + " and rank " +
              std::to_string(other->rank) + " both on CUDA device " + std::to_string(comm->device));
    }
  }
  comm->error = clique->error;
  clique->members[(size_t)rank] = comm;
  comms.insert(comm);
  *out = comm;
  comm->slot = out;
  return IN_PROGRESS;
}

API int ncclCommGetAsyncError(Comm* comm, int* state) {
  std::vector<std::shared_ptr<Batch>> now;
  {
    Held held(lock);
    if (!known(comm)) return refuse(INVALID_ARGUMENT, "communicator is unknown");
    if (comm->error != OK) {
      *state = comm->error;
      return OK;
    }
    if (comm->clique->joined() < comm->clique->ranks) {
      *state = IN_PROGRESS;
      return OK;
    }
    if (comm->slot) {
      *comm->slot = comm;
      comm->slot = nullptr;
    }
    if (comm->polls > 0 && --comm->polls > 0) {
      *state = IN_PROGRESS;
      return OK;
    }
    now.swap(comm->pending);
  }
  *state = OK;
  for (auto& batch : now) {
    if (submit(batch)) *state = UNHANDLED_CUDA;
  }
  return OK;
}

API int ncclCommFinalize(Comm* comm) {
  Held held(lock);
  if (int refused = usable(comm)) return refused;
  return comm->open > 0 ? refuse(INVALID_USAGE, "work is under way") : OK;
}

API int ncclCommDestroy(Comm* comm) {
  Held held(lock);
  return comms.erase(comm) ? OK : refuse(INVALID_ARGUMENT, "communicator is unknown");
}

API int ncclCommAbort(Comm* comm) {
  {
    Held held(lock);
    if (!comms.erase(comm)) return refuse(INVALID_ARGUMENT, "communicator is unknown");
    comm->aborted = true;
  }
  standin_wake();
  return OK;
}

API int ncclGroupStart() {
  depth++;
  return OK;
}

API int ncclGroupEnd() {
  if (depth == 0) return INVALID_USAGE;
  return --depth > 0 || grouped.empty() ? OK : queue();
}

API int ncclSend(uint64_t from, size_t count, int type, int peer, Comm* comm, void* stream) {
  return add(SEND, from, 0, count, type, peer, comm, stream);
}

API int ncclRecv(uint64_t to, size_t count, int type, int peer, Comm* comm, void* stream) {
  return add(RECEIVE, 0, to, count, type, peer, comm, stream);
}

API int ncclAllReduce(uint64_t from, uint64_t to, size_t count, int type, int op, Comm* comm, void* stream) {
  return add(ALL_REDUCE, from, to, count, type, op, comm, stream);
}

API int ncclReduceScatter(uint64_t from, uint64_t to, size_t count, int type, int op, Comm* comm, void* stream) {
  return add(REDUCE_SCATTER, from, to, count, type, op, comm, stream);
}

API int ncclAllGather(uint64_t from, uint64_t to, size_t count, int type, Comm* comm, void* stream) {
  return add(ALL_GATHER, from, to, count, type, -1, comm, stream);
}

API int ncclBroadcast(uint64_t from, uint64_t to, size_t count, int type, int root, Comm* comm, void* stream) {
  return add(BROADCAST, from, to, count, type, root, comm, stream);
}

API const char* ncclGetErrorString(int result) {
  static const char* texts[] = {
      "no error", "unhandled cuda error", "unhandled system error", "internal error",
      "invalid argument", "invalid usage", "remote process exited or there was a network error",
      "NCCL operation in progress"};
  return result >= 0 && result < 8 ? texts[result] : "unknown result code";
}

API const char* ncclGetLastError(Comm*) {
  thread_local std::string copy;
  Held held(lock);
  copy = lastError;
  return copy.c_str();
}
