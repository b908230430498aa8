package dev.lockstep.device.neuron;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import dev.lockstep.device.neuron.compiler.CompilerSettings;
import dev.lockstep.device.neuron.ffi.NrtLayouts;
import dev.lockstep.device.neuron.hlo.HloModule;
import dev.lockstep.failure.DeviceException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.HashMap;
import java.util.Map;
import java.util.Optional;

/// What a loaded program calls its tensors. The compiler drops inputs that nothing reads, and
/// renames those whose memory a result takes.
final class ModelPorts {
  private static final String ALIASED = ".must_alias_input";

  private final String program;
  private final Map<String, Long> inputs = new HashMap<>();
  private final Map<String, Long> outputs = new HashMap<>();

  private ModelPorts(String program) {
    this.program = program;
  }

  /// Asks the runtime.
  static ModelPorts of(NeuronRuntime runtime, long model, String program) {
    ModelPorts ports = new ModelPorts(program);
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment handle = arena.allocate(JAVA_LONG);
      runtime.check(
          runtime.nrt().modelTensorInfo(model, handle),
          "nrt_get_model_tensor_info",
          "program=" + program);
      long array = handle.get(JAVA_LONG, 0);
      ports.read(runtime, array);
      runtime.check(
          runtime.nrt().freeModelTensorInfo(array),
          "nrt_free_model_tensor_info",
          "program=" + program);
    }
    return ports;
  }

  private void read(NeuronRuntime runtime, long array) {
    long header = NrtLayouts.TENSOR_INFO_ARRAY_HEADER;
    long count = runtime.nrt().memory(array, header).get(JAVA_LONG, 0);
    long size = NrtLayouts.TENSOR_INFO.byteSize();
    MemorySegment all = runtime.nrt().memory(array + header, count * size);
    for (long i = 0; i < count; i++) {
      MemorySegment info = all.asSlice(i * size, size);
      String name = info.getString(0);
      int usage = info.get(JAVA_INT, NrtLayouts.offset(NrtLayouts.TENSOR_INFO, "usage"));
      long bytes = info.get(JAVA_LONG, NrtLayouts.offset(NrtLayouts.TENSOR_INFO, "size"));
      (usage == NrtLayouts.USAGE_INPUT ? inputs : outputs).put(name, bytes);
    }
  }

  /// Returns the name by which an input is given; empty if the program does not read it.
  Optional<String> input(HloModule.Port port) {
    String name = inputs.containsKey(port.name()) ? port.name() : port.name() + ALIASED;
    Long bytes = inputs.get(name);
    if (bytes == null) {
      return Optional.empty();
    }
    requireBytes(port.name(), port.type().bytes(), bytes);
    return Optional.of(name);
  }

  /// Checks that the program writes a result of this size.
  void requireOutput(String name, long expected) {
    Long bytes = outputs.get(name);
    if (bytes == null) {
      throw new DeviceException(
          "neuron",
          "nrt_get_model_tensor_info",
          0,
          "compiled program lacks a result: program=%s, result=%s, results=%s (set %s to an empty folder to compile it anew)"
              .formatted(program, name, outputs.keySet(), CompilerSettings.CACHE),
          null);
    }
    requireBytes(name, expected, bytes);
  }

  private void requireBytes(String name, long expected, long found) {
    if (expected != found) {
      throw new DeviceException(
          "neuron",
          "nrt_get_model_tensor_info",
          0,
          "compiled program takes another size: program=%s, tensor=%s, expectedBytes=%d, compiledBytes=%d (set %s to an empty folder to compile it anew)"
              .formatted(program, name, expected, found, CompilerSettings.CACHE),
          null);
    }
  }
}
