package dev.lockstep.device.neuron;

import static java.lang.foreign.ValueLayout.JAVA_LONG;

import dev.lockstep.device.neuron.ffi.Nrt;
import dev.lockstep.device.neuron.ffi.NrtStatus;
import dev.lockstep.device.neuron.ffi.NrtVersion;
import dev.lockstep.failure.DeviceException;
import dev.lockstep.failure.DeviceLostException;
import dev.lockstep.failure.MemoryBudgetException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import org.jspecify.annotations.Nullable;

/// The Neuron runtime for one core: statuses become exceptions. Called by the core's thread alone.
final class NeuronRuntime {
  private final Nrt nrt;
  private final NrtVersion version;
  private final String device;
  private final int core;

  /// What the device was lost by: nothing is called any more then.
  private @Nullable DeviceLostException lost;

  /// @param device for messages, for example `neuron:0`
  /// @param core logical core, from 0
  NeuronRuntime(Nrt nrt, NrtVersion version, String device, int core) {
    this.nrt = nrt;
    this.version = version;
    this.device = device;
    this.core = core;
  }

  /// The runtime, while the device is there.
  ///
  /// @throws DeviceLostException if an earlier call lost it
  Nrt nrt() {
    DeviceLostException first = lost;
    if (first != null) {
      NrtStatus status = NrtStatus.of((int) first.status());
      throw new DeviceLostException(
          device,
          first.function(),
          first.status(),
          "the device was lost before: function=%s, status=%d %s, device=%s (%s)"
              .formatted(
                  first.function(), first.status(), status, device, status.recovery().remedy()),
          first);
    }
    return nrt;
  }

  String device() {
    return device;
  }

  int core() {
    return core;
  }

  /// Requires that a call has succeeded.
  ///
  /// @param function as C names it
  /// @param what it was called for, as `key=value` pairs
  void check(int status, String function, String what) {
    if (status == NrtStatus.SUCCESS.code()) {
      return;
    }
    DeviceException failure = failure(device, status, function, what);
    if (failure instanceof DeviceLostException first) {
      lost = first;
    }
    throw failure;
  }

  /// What a status comes to: [DeviceLostException] where nothing more will work in this process.
  static DeviceException failure(String device, int code, String function, String what) {
    NrtStatus status = NrtStatus.of(code);
    String message =
        "%s: function=%s, status=%d %s, device=%s, %s (%s)"
            .formatted(
                status.words(), function, code, status, device, what, status.recovery().remedy());
    return switch (status.recovery()) {
      case REPLACE_CHIP, RESTART -> new DeviceLostException(device, function, code, message, null);
      case NONE, RETRY, OUT_OF_MEMORY, BAD_INPUT, NUMERICS, CONFIGURATION, COMMUNICATOR ->
          new DeviceException(device, function, code, message, null);
    };
  }

  /// Allocates zeroed memory of the device and returns its handle; 0 for no bytes.
  ///
  /// @throws MemoryBudgetException if the device has too little, or the host for its part of it
  /// @throws DeviceException if the runtime takes no tensors of that size, or fails otherwise
  long allocate(String name, long bytes) {
    if (bytes == 0) {
      return 0;
    }
    requireSize(name, bytes);
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment handle = arena.allocate(JAVA_LONG);
      int status =
          nrt().tensorAllocate(Nrt.ON_DEVICE, core, bytes, arena.allocateFrom(name), handle);
      if (NrtStatus.of(status).recovery() == NrtStatus.Recovery.OUT_OF_MEMORY) {
        throw new MemoryBudgetException(
            name,
            bytes,
            0,
            "%s: tensor=%s, requestedBytes=%d, device=%s, status=%d %s (%s)"
                .formatted(
                    NrtStatus.of(status).words(),
                    name,
                    bytes,
                    device,
                    status,
                    NrtStatus.of(status),
                    NrtStatus.Recovery.OUT_OF_MEMORY.remedy()),
            null);
      }
      check(status, "nrt_tensor_allocate", "tensor=" + name + ", bytes=" + bytes);
      long tensor = handle.get(JAVA_LONG, 0);
      try {
        check(nrt.tensorMemset(tensor, 0, 0, bytes), "nrt_tensor_memset", "tensor=" + name);
      } catch (DeviceException failure) {
        free(tensor);
        throw failure;
      }
      return tensor;
    }
  }

  private void requireSize(String name, long bytes) {
    if (bytes >= NrtVersion.LARGE && !version.takesLarge()) {
      throw new DeviceException(
          device,
          "nrt_tensor_allocate",
          0,
          "the runtime takes no tensor that large: tensor=%s, bytes=%d, limitBytes=%d, runtime=%s, device=%s (install aws-neuronx-runtime-lib 2.30 or later)"
              .formatted(name, bytes, NrtVersion.LARGE - 1, version, device),
          null);
    }
  }

  /// Frees a tensor; of no effect on 0, nor when the device is lost and its memory with it.
  void free(long tensor) {
    if (tensor == 0 || lost != null) {
      return;
    }
    try (Arena arena = Arena.ofConfined()) {
      nrt.tensorFree(arena.allocateFrom(JAVA_LONG, tensor));
    }
  }

  /// Returns a tensor over a part of another one's memory.
  long slice(long tensor, String name, long offset, long bytes) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment handle = arena.allocate(JAVA_LONG);
      check(
          nrt().tensorAllocateSlice(tensor, offset, bytes, arena.allocateFrom(name), handle),
          "nrt_tensor_allocate_slice",
          "tensor=%s, offset=%d, bytes=%d".formatted(name, offset, bytes));
      return handle.get(JAVA_LONG, 0);
    }
  }

  /// Makes an empty set of tensors.
  long newSet() {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment handle = arena.allocate(JAVA_LONG);
      check(nrt().allocateTensorSet(handle), "nrt_allocate_tensor_set", "device=" + device);
      return handle.get(JAVA_LONG, 0);
    }
  }

  void add(long set, String name, long tensor) {
    try (Arena arena = Arena.ofConfined()) {
      check(
          nrt().addTensorToTensorSet(set, arena.allocateFrom(name), tensor),
          "nrt_add_tensor_to_tensor_set",
          "tensor=" + name);
    }
  }

  /// Destroys a set of tensors, unless the device is lost.
  void destroySet(long set) {
    if (lost != null) {
      return;
    }
    try (Arena arena = Arena.ofConfined()) {
      nrt.destroyTensorSet(arena.allocateFrom(JAVA_LONG, set));
    }
  }

  /// Unloads a program; of no effect on 0, nor when the device is lost.
  ///
  /// @param program for the message
  void unload(long model, String program) {
    if (model != 0 && lost == null) {
      check(nrt.unload(model), "nrt_unload", "program=" + program);
    }
  }
}
