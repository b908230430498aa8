package dev.lockstep.device.cuda;

import dev.lockstep.device.cuda.ffi.Cu;
import dev.lockstep.device.cuda.ffi.CudaDriver;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/// The kernels of a device, loaded when they are first asked for and unloaded with it. Thread-safe.
final class Kernels {
  /// What a block may have of shared memory without asking for it.
  private static final int SHARED_BYTES = 48 * 1024;

  private final CudaContext context;
  private final KernelCompiler compiler;
  private final Map<Source, Long> modules = new HashMap<>();
  private final Map<Name, Long> functions = new HashMap<>();

  /// A source of kernels and how it is compiled.
  ///
  /// @param file `elements.cu`
  /// @param defines preprocessor definitions
  /// @param text what was generated, or null for a file of this module
  record Source(String file, List<String> defines, @Nullable String text) {
    Source {
      defines = List.copyOf(defines);
    }

    Source(String file, List<String> defines) {
      this(file, defines, null);
    }

    static Source of(String file) {
      return new Source(file, List.of());
    }

    /// Returns a source that is no file.
    ///
    /// @param name what errors call it
    static Source generated(String name, String text) {
      return new Source(name, List.of(), text);
    }
  }

  private record Name(Source source, String kernel) {}

  Kernels(CudaContext context, KernelCompiler compiler) {
    this.context = context;
    this.compiler = compiler;
  }

  /// Returns the driver's handle of a kernel; the context is current.
  ///
  /// @param sharedBytes dynamic shared memory that a launch will ask for
  synchronized long function(Source source, String kernel, int sharedBytes) {
    return functions.computeIfAbsent(
        new Name(source, kernel), name -> find(source, name.kernel(), sharedBytes));
  }

  private long find(Source source, String kernel, int sharedBytes) {
    CudaDriver driver = context.driver();
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment word = arena.allocate(ValueLayout.JAVA_LONG);
      context.check(
          driver.moduleGetFunction(
              word.address(), module(source), arena.allocateFrom(kernel).address()),
          "cuModuleGetFunction",
          "source=" + source.file() + ", kernel=" + kernel);
      long function = word.get(ValueLayout.JAVA_LONG, 0);
      // Asking for an attribute loads a kernel that is loaded lazily, which must not happen while a
      // graph is captured.
      context.check(
          driver.funcGetAttribute(word.address(), Cu.FUNCTION_REGISTERS, function),
          "cuFuncGetAttribute",
          "kernel=" + kernel);
      if (sharedBytes > SHARED_BYTES) {
        context.check(
            driver.funcSetAttribute(function, Cu.FUNCTION_MAX_DYNAMIC_SHARED, sharedBytes),
            "cuFuncSetAttribute",
            "kernel=" + kernel + ", sharedBytes=" + sharedBytes);
      }
      return function;
    }
  }

  private long module(Source source) {
    Long loaded = modules.get(source);
    if (loaded != null) {
      return loaded;
    }
    String text = source.text();
    byte[] image =
        text == null
            ? compiler.compile(source.file(), source.defines())
            : compiler.compile(source.file(), text, source.defines());
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment word = arena.allocate(ValueLayout.JAVA_LONG);
      MemorySegment copy = arena.allocate(image.length, Long.BYTES);
      MemorySegment.copy(image, 0, copy, ValueLayout.JAVA_BYTE, 0, image.length);
      context.check(
          context.driver().moduleLoadDataEx(word.address(), copy.address(), 0, 0, 0),
          "cuModuleLoadDataEx",
          "source=" + source.file());
      long module = word.get(ValueLayout.JAVA_LONG, 0);
      modules.put(source, module);
      return module;
    }
  }

  /// Unloads all kernels; the context is current.
  synchronized void unload() {
    List<Long> loaded = new ArrayList<>(modules.values());
    modules.clear();
    functions.clear();
    for (long module : loaded) {
      context.check(context.driver().moduleUnload(module), "cuModuleUnload", "");
    }
  }
}
