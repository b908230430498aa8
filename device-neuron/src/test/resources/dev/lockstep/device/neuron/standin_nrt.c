// A stand-in for libnrt: the functions that Lockstep binds, with the real library's checks as far as they are known,
// over memory of the host that only copies and programs may touch. What a program computes it asks its host, a pair of
// functions that the test registers.
#define _GNU_SOURCE
#include "nrt.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { TENSOR = 0x7e4501, MODEL = 0x7e4502, SET = 0x7e4503, GONE = 0xdead };
enum { MOST_NAMES = 4096, HEADER = 1024 };
enum { FRESH, READY, SHUT };

struct nrt_tensor {
  int kind;
  char *data;
  size_t size;
  size_t mapped;
  struct nrt_tensor *source;
};

struct nrt_model {
  int kind;
  int64_t id;
  nrt_tensor_info_array_t *tensors;
};

struct set {
  int kind;
  int count;
  char *names[MOST_NAMES];
  struct nrt_tensor *tensors[MOST_NAMES];
};

// Returns a number for the program of a NEFF and one line per tensor: usage, name, bytes. 0: not a program. `ranks` is
// 0 for a program without collectives.
typedef int64_t (*describe_t)(const void *neff, size_t size, int rank, int ranks, char **lines);
// Runs a program on its tensors, inputs before results in the order of the lines.
typedef int32_t (*execute_t)(int64_t id, void **tensors);

static describe_t describe;
static execute_t execute;
static int state = FRESH;
static int core_file = -1;
static char root_comm[256];
static char exec_timeout[256];
static int cores = 4;
static int family = 5;
static long major = 2;
static long minor = 34;
static size_t budget = (size_t)-1;
static size_t used;
static char failing[64];
static int failing_after;
static int failing_status;
static char environment[4096];

void standin_host(describe_t d, execute_t e) { describe = d; execute = e; }
void standin_machine(int core_count, int instance_family, long version_major, long version_minor, size_t bytes) {
  cores = core_count;
  family = instance_family;
  major = version_major;
  minor = version_minor;
  budget = bytes;
}
void standin_reset(void) { state = FRESH; failing[0] = 0; used = 0; standin_machine(4, 5, 2, 34, (size_t)-1); }
// The call after `after` more of `function` returns `status`, once.
void standin_fail(const char *function, int after, int status) {
  snprintf(failing, sizeof failing, "%s", function);
  failing_after = after;
  failing_status = status;
}
size_t standin_used(void) { return used; }
const char *standin_environment(const char *name) {
  const char *value = getenv(name);
  snprintf(environment, sizeof environment, "%s", value ? value : "");
  return environment;
}

// As the library was initialised with them.
const char *standin_root(void) { return root_comm; }
const char *standin_timeout(void) { return exec_timeout; }

static void read_variable(const char *name, char *to) {
  const char *value = getenv(name);
  snprintf(to, sizeof root_comm, "%s", value ? value : "");
}

static int injected(const char *function) {
  if (strcmp(failing, function) != 0 || failing_after-- > 0) return 0;
  failing[0] = 0;
  return failing_status;
}

#define BEGIN(function)                                \
  do {                                                 \
    int status = injected(function);                   \
    if (status != 0) return status;                    \
    if (state == FRESH) return NRT_UNINITIALIZED;      \
    if (state == SHUT) return NRT_CLOSED;              \
  } while (0)

// Takes the core of this process, where STANDIN_CORES names a folder with a file for each that processes have taken.
static int take_core(void) {
  const char *folder = getenv("STANDIN_CORES");
  const char *core = getenv("NEURON_RT_VISIBLE_CORES");
  if (!folder || !core) return NRT_SUCCESS;
  char path[4096];
  snprintf(path, sizeof path, "%s/core-%s", folder, core);
  core_file = open(path, O_RDWR | O_CREAT, 0600);
  struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
  return core_file >= 0 && fcntl(core_file, F_SETLK, &whole) == 0 ? NRT_SUCCESS : NRT_EXEC_NC_BUSY;
}

NRT_STATUS nrt_init(int framework, const char *version, const char *fal) {
  int status = injected("nrt_init");
  if (status != 0) return status;
  if (framework != 1 || version[0] != 0 || fal[0] != 0) return NRT_INVALID;
  status = take_core();
  if (status != 0) return status;
  read_variable("NEURON_RT_ROOT_COMM_ID", root_comm);
  read_variable("NEURON_RT_EXEC_TIMEOUT", exec_timeout);
  state = READY;
  return NRT_SUCCESS;
}

void nrt_close(void) {
  state = SHUT;
  if (core_file >= 0) close(core_file);
  core_file = -1;
}

NRT_STATUS nrt_get_version(nrt_version_t *version, size_t size) {
  if (size != sizeof *version) return NRT_INVALID;
  memset(version, 0, size);
  version->rt_major = major;
  version->rt_minor = minor;
  version->rt_patch = 10;
  return NRT_SUCCESS;
}

NRT_STATUS nrt_get_total_vnc_count(uint32_t *count) { *count = cores; return injected("nrt_get_total_vnc_count"); }

// As older libraries call it.
NRT_STATUS nrt_get_visible_nc_count(uint32_t *count) { *count = 1; return NRT_SUCCESS; }

NRT_STATUS nrt_get_instance_info(nrt_instance_info_t *info, size_t size) {
  if (size != sizeof *info) return NRT_INVALID;
  memset(info, 0, size);
  info->family = family;
  return NRT_SUCCESS;
}

static void *reserve(size_t size, size_t *mapped) {
  size_t page = sysconf(_SC_PAGESIZE);
  *mapped = (size + page - 1) / page * page;
  void *memory = mmap(NULL, *mapped, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return memory == MAP_FAILED ? NULL : memory;
}

static struct nrt_tensor *root(struct nrt_tensor *t) { return t->source ? root(t->source) : t; }
static void open_memory(struct nrt_tensor *t) { mprotect(root(t)->data, root(t)->mapped, PROT_READ | PROT_WRITE); }
static void shut_memory(struct nrt_tensor *t) { mprotect(root(t)->data, root(t)->mapped, PROT_NONE); }

NRT_STATUS nrt_tensor_allocate(int placement, int vnc, size_t size, const char *name, nrt_tensor_t **out) {
  BEGIN("nrt_tensor_allocate");
  if (placement != 0 || vnc < 0 || vnc >= cores || size == 0) return NRT_INVALID;
  if (size > budget - used) return NRT_RESOURCE;
  struct nrt_tensor *t = calloc(1, sizeof *t);
  t->kind = TENSOR;
  t->size = size;
  t->data = reserve(size, &t->mapped);
  if (!t->data) return NRT_RESOURCE;
  used += size;
  *out = t;
  return NRT_SUCCESS;
}

NRT_STATUS nrt_tensor_allocate_slice(const nrt_tensor_t *source, size_t offset, size_t size, const char *name,
                                     nrt_tensor_t **out) {
  BEGIN("nrt_tensor_allocate_slice");
  if (source->kind != TENSOR) return NRT_INVALID_HANDLE;
  if (size == 0 || offset > source->size || size > source->size - offset) return NRT_INVALID;
  struct nrt_tensor *t = calloc(1, sizeof *t);
  t->kind = TENSOR;
  t->size = size;
  t->data = source->data + offset;
  t->source = (struct nrt_tensor *)source;
  *out = t;
  return NRT_SUCCESS;
}

void nrt_tensor_free(nrt_tensor_t **tensor) {
  struct nrt_tensor *t = *tensor;
  if (t->kind != TENSOR) abort();
  t->kind = GONE;
  if (!t->source) {
    munmap(t->data, t->mapped);
    used -= t->size;
  }
  free(t);
  *tensor = NULL;
}

static int within(const nrt_tensor_t *t, size_t offset, size_t size) {
  return offset <= t->size && size <= t->size - offset;
}

NRT_STATUS nrt_tensor_read(const nrt_tensor_t *tensor, void *buffer, size_t offset, size_t size) {
  BEGIN("nrt_tensor_read");
  struct nrt_tensor *t = (struct nrt_tensor *)tensor;
  if (t->kind != TENSOR) return NRT_INVALID_HANDLE;
  if (!within(t, offset, size)) return NRT_INVALID;
  open_memory(t);
  memcpy(buffer, t->data + offset, size);
  shut_memory(t);
  return NRT_SUCCESS;
}

NRT_STATUS nrt_tensor_write(nrt_tensor_t *t, const void *buffer, size_t offset, size_t size) {
  BEGIN("nrt_tensor_write");
  if (t->kind != TENSOR) return NRT_INVALID_HANDLE;
  if (!within(t, offset, size)) return NRT_INVALID;
  open_memory(t);
  memcpy(t->data + offset, buffer, size);
  shut_memory(t);
  return NRT_SUCCESS;
}

NRT_STATUS nrt_tensor_memset(nrt_tensor_t *t, uint64_t offset, int value, size_t size) {
  BEGIN("nrt_tensor_memset");
  if (t->kind != TENSOR) return NRT_INVALID_HANDLE;
  if (!within(t, offset, size)) return NRT_INVALID;
  open_memory(t);
  memset(t->data + offset, value, size);
  shut_memory(t);
  return NRT_SUCCESS;
}

void *nrt_tensor_get_va(const nrt_tensor_t *t) { return t->data; }

static NRT_STATUS load(const void *neff, size_t size, int32_t vnc, int rank, int ranks, nrt_model_t **out) {
  if (vnc < 0 || vnc >= cores) return NRT_LOAD_NOT_ENOUGH_NC;
  uint64_t header[5];
  memcpy(header, neff, sizeof header);
  if (size < HEADER || header[1] != HEADER || header[1] + header[2] != size) return NRT_UNSUPPORTED_NEFF_VERSION;
  char *lines = NULL;
  int64_t id = describe(neff, size, rank, ranks, &lines);
  if (id == 0) return NRT_UNSUPPORTED_NEFF_VERSION;
  uint64_t tensors = 0;
  for (char *c = lines; *c; c++) tensors += *c == '\n';
  nrt_tensor_info_array_t *array = calloc(1, sizeof *array + tensors * sizeof(nrt_tensor_info_t));
  array->count = tensors;
  char *line = lines;
  for (uint64_t i = 0; i < tensors; i++) {
    nrt_tensor_info_t *info = &array->tensors[i];
    if (sscanf(line, "%d %255s %zu", &info->usage, info->name, &info->size) != 3) abort();
    line = strchr(line, '\n') + 1;
  }
  struct nrt_model *model = calloc(1, sizeof *model);
  model->kind = MODEL;
  model->id = id;
  model->tensors = array;
  *out = model;
  return NRT_SUCCESS;
}

NRT_STATUS nrt_load(const void *neff, size_t size, int32_t vnc, int32_t count, nrt_model_t **out) {
  BEGIN("nrt_load");
  return load(neff, size, vnc, 0, 0, out);
}

NRT_STATUS nrt_load_collectives(const void *neff, size_t size, int32_t vnc, int32_t count, uint32_t rank,
                                uint32_t ranks, nrt_model_t **out) {
  BEGIN("nrt_load_collectives");
  if (rank >= ranks || !root_comm[0]) return NRT_INVALID;
  return load(neff, size, vnc, rank, ranks, out);
}

NRT_STATUS nrt_unload(nrt_model_t *model) {
  BEGIN("nrt_unload");
  if (model->kind != MODEL) return NRT_INVALID_HANDLE;
  model->kind = GONE;
  free(model->tensors);
  free(model);
  return NRT_SUCCESS;
}

NRT_STATUS nrt_get_model_tensor_info(nrt_model_t *model, nrt_tensor_info_array_t **out) {
  BEGIN("nrt_get_model_tensor_info");
  if (model->kind != MODEL) return NRT_INVALID_HANDLE;
  size_t size = sizeof **out + model->tensors->count * sizeof(nrt_tensor_info_t);
  *out = malloc(size);
  memcpy(*out, model->tensors, size);
  return NRT_SUCCESS;
}

NRT_STATUS nrt_free_model_tensor_info(nrt_tensor_info_array_t *array) {
  free(array);
  return NRT_SUCCESS;
}

NRT_STATUS nrt_allocate_tensor_set(nrt_tensor_set_t **out) {
  BEGIN("nrt_allocate_tensor_set");
  struct set *set = calloc(1, sizeof *set);
  set->kind = SET;
  *out = set;
  return NRT_SUCCESS;
}

void nrt_destroy_tensor_set(nrt_tensor_set_t **out) {
  struct set *set = *out;
  if (set->kind != SET) abort();
  set->kind = GONE;
  for (int i = 0; i < set->count; i++) free(set->names[i]);
  free(set);
  *out = NULL;
}

static int find(struct set *set, const char *name) {
  for (int i = 0; i < set->count; i++)
    if (strcmp(set->names[i], name) == 0) return i;
  return -1;
}

NRT_STATUS nrt_add_tensor_to_tensor_set(nrt_tensor_set_t *s, const char *name, nrt_tensor_t *tensor) {
  BEGIN("nrt_add_tensor_to_tensor_set");
  struct set *set = s;
  if (set->kind != SET || tensor == NULL || tensor->kind != TENSOR) return NRT_INVALID_HANDLE;
  int at = find(set, name);
  if (at < 0) {
    if (set->count == MOST_NAMES) return NRT_RESOURCE;
    at = set->count++;
    set->names[at] = strdup(name);
  }
  set->tensors[at] = tensor;
  return NRT_SUCCESS;
}

NRT_STATUS nrt_execute(nrt_model_t *model, const nrt_tensor_set_t *inputs, nrt_tensor_set_t *outputs) {
  BEGIN("nrt_execute");
  if (model->kind != MODEL || ((struct set *)inputs)->kind != SET || ((struct set *)outputs)->kind != SET)
    return NRT_INVALID_HANDLE;
  uint64_t count = model->tensors->count;
  struct nrt_tensor **given = calloc(count + 1, sizeof *given);
  void **memory = calloc(count + 1, sizeof *memory);
  int status = NRT_SUCCESS;
  for (uint64_t i = 0; i < count && status == NRT_SUCCESS; i++) {
    nrt_tensor_info_t *info = &model->tensors->tensors[i];
    struct set *set = (struct set *)(info->usage == 0 ? inputs : outputs);
    int at = find(set, info->name);
    if (at < 0)
      status = NRT_INVALID;
    else if (set->tensors[at]->kind != TENSOR)
      status = NRT_INVALID_HANDLE;
    else if (set->tensors[at]->size != info->size)
      status = NRT_EXEC_BAD_INPUT;
    else {
      given[i] = set->tensors[at];
      memory[i] = given[i]->data;
    }
  }
  if (status == NRT_SUCCESS) {
    for (uint64_t i = 0; i < count; i++) open_memory(given[i]);
    status = execute(model->id, memory);
    for (uint64_t i = 0; i < count; i++) shut_memory(given[i]);
  }
  free(given);
  free(memory);
  return status;
}
