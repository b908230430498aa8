// A stand-in for libnccl: ranks are threads of one process, each with a device of the stand-in for
// libcuda. What is queued waits at the head of its stream until all that it needs has come there too,
// as a kernel of NCCL's does, and moves memory at once. It refuses what NCCL refuses and is stricter
// where NCCL would hang: ranks that call different collectives get an error. Sums are chains that
// begin at another rank for each share of the vector, as a ring's do. What it cannot show: wires,
// timing, real concurrency, blocking calls.
#include "clique.h"

#define API extern "C" __attribute__((visibility("default")))

namespace {

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
