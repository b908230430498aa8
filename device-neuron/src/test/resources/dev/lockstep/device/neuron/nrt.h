// The part of the Neuron runtime's C interface that Lockstep binds, written down from its documented names, types,
// sizes and values (NRT 2, runtime 2.34). Not AWS's header.
#ifndef STANDIN_NRT_H
#define STANDIN_NRT_H

#include <stddef.h>
#include <stdint.h>

typedef int32_t NRT_STATUS;

enum {
  NRT_SUCCESS = 0,
  NRT_INVALID = 2,
  NRT_INVALID_HANDLE = 3,
  NRT_RESOURCE = 4,
  NRT_LOAD_NOT_ENOUGH_NC = 9,
  NRT_UNSUPPORTED_NEFF_VERSION = 10,
  NRT_UNINITIALIZED = 13,
  NRT_CLOSED = 14,
  NRT_EXEC_BAD_INPUT = 1002,
  NRT_EXEC_NC_BUSY = 1005,
};

typedef struct {
  uint64_t rt_major;
  uint64_t rt_minor;
  uint64_t rt_patch;
  uint64_t rt_maintenance;
  char rt_detail[128];
  char git_hash[64];
} nrt_version_t;

typedef struct {
  uint32_t family;
  uint32_t size;
  char arch_name[16];
  char device_revision[8];
} nrt_instance_info_t;

typedef struct {
  char name[256];
  int32_t usage;
  size_t size;
  int32_t dtype;
  uint32_t *shape;
  uint32_t ndim;
} nrt_tensor_info_t;

typedef struct {
  uint64_t count;
  nrt_tensor_info_t tensors[];
} nrt_tensor_info_array_t;

typedef struct nrt_tensor nrt_tensor_t;
typedef struct nrt_model nrt_model_t;
typedef void nrt_tensor_set_t;

#endif
