package dev.lockstep.device.neuron.ffi;

import java.lang.foreign.MemorySegment;

/// The Neuron runtime's synchronous functions, each with the C function's arguments and status
/// ([NrtStatus]). Handles are longs; what is passed as a segment must stay alive for the call, a
/// NEFF's bytes for it too.
///
/// The asynchronous functions are not bound: they changed their arguments under the same names with
/// runtime 2.31.
public interface Nrt {
  /// `NRT_FRAMEWORK_TYPE_NO_FW`.
  int NO_FRAMEWORK = 1;

  /// `NRT_TENSOR_PLACEMENT_DEVICE`.
  int ON_DEVICE = 0;

  /// `nrt_init`: takes the process's cores; reads the environment.
  ///
  /// @param frameworkVersion a C string, empty without a framework
  /// @param falVersion a C string, empty without a framework
  int init(int framework, MemorySegment frameworkVersion, MemorySegment falVersion);

  /// `nrt_close`.
  void close();

  /// `nrt_get_version`.
  ///
  /// @param version [NrtLayouts#VERSION]
  int version(MemorySegment version);

  /// `nrt_get_total_vnc_count`, or `nrt_get_total_nc_count` where the library is older; may be
  /// called before [#init].
  ///
  /// @param count 4 bytes
  int totalCores(MemorySegment count);

  /// `nrt_get_instance_info`; may be called before [#init].
  ///
  /// @param info [NrtLayouts#INSTANCE_INFO]
  int instanceInfo(MemorySegment info);

  /// `nrt_load`.
  ///
  /// @param core logical core, from 0
  /// @param model where the handle goes
  int load(MemorySegment neff, int core, MemorySegment model);

  /// `nrt_load_collectives`: a program that ranks run together. Returns when all have loaded
  /// theirs.
  ///
  /// @param core logical core, from 0
  /// @param rank this rank's number among them
  /// @param ranks how many there are
  /// @param model where the handle goes
  int loadCollectives(MemorySegment neff, int core, int rank, int ranks, MemorySegment model);

  /// `nrt_unload`.
  int unload(long model);

  /// `nrt_allocate_tensor_set`.
  ///
  /// @param set where the handle goes
  int allocateTensorSet(MemorySegment set);

  /// `nrt_destroy_tensor_set`.
  ///
  /// @param set where the handle is
  void destroyTensorSet(MemorySegment set);

  /// `nrt_add_tensor_to_tensor_set`: adds, or replaces what has the name.
  ///
  /// @param name a C string
  int addTensorToTensorSet(long set, MemorySegment name, long tensor);

  /// `nrt_execute`: runs a program and waits for it.
  int execute(long model, long inputs, long outputs);

  /// `nrt_tensor_allocate`.
  ///
  /// @param placement [#ON_DEVICE]
  /// @param core logical core whose memory it is
  /// @param name a C string
  /// @param tensor where the handle goes
  int tensorAllocate(int placement, int core, long bytes, MemorySegment name, MemorySegment tensor);

  /// `nrt_tensor_free`.
  ///
  /// @param tensor where the handle is
  void tensorFree(MemorySegment tensor);

  /// `nrt_tensor_allocate_slice`: a part of a tensor's memory as a tensor.
  ///
  /// @param name a C string
  /// @param tensor where the handle goes
  int tensorAllocateSlice(
      long source, long offset, long bytes, MemorySegment name, MemorySegment tensor);

  /// `nrt_tensor_read`.
  int tensorRead(long tensor, MemorySegment buffer, long offset, long bytes);

  /// `nrt_tensor_write`.
  int tensorWrite(long tensor, MemorySegment buffer, long offset, long bytes);

  /// `nrt_tensor_memset`.
  int tensorMemset(long tensor, long offset, int value, long bytes);

  /// `nrt_tensor_get_va`: where the memory lies in this process's addresses.
  long tensorAddress(long tensor);

  /// `nrt_get_model_tensor_info`.
  ///
  /// @param array where the address of the array goes
  int modelTensorInfo(long model, MemorySegment array);

  /// `nrt_free_model_tensor_info`.
  int freeModelTensorInfo(long array);

  /// Returns memory of the library's as a segment.
  MemorySegment memory(long address, long bytes);
}
