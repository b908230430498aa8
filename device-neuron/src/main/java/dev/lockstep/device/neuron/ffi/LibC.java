package dev.lockstep.device.neuron.ffi;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;
import org.jspecify.annotations.Nullable;

/// What starting the Neuron runtime needs of the C library.
@SuppressWarnings("restricted") // links functions, and reads a string of no stated length
final class LibC {
  private static final MethodHandle GETENV =
      bind("getenv", FunctionDescriptor.of(ADDRESS, ADDRESS));
  private static final MethodHandle SETENV =
      bind("setenv", FunctionDescriptor.of(JAVA_INT, ADDRESS, ADDRESS, JAVA_INT));
  private static final MethodHandle UNSETENV =
      bind("unsetenv", FunctionDescriptor.of(JAVA_INT, ADDRESS));

  private LibC() {}

  private static MethodHandle bind(String name, FunctionDescriptor descriptor) {
    Linker linker = Linker.nativeLinker();
    return linker.downcallHandle(linker.defaultLookup().findOrThrow(name), descriptor);
  }

  /// getenv(3); null if there is no such variable.
  static @Nullable String getenv(String name) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment value = (MemorySegment) GETENV.invokeExact(arena.allocateFrom(name));
      return value.address() == 0 ? null : value.reinterpret(Long.MAX_VALUE).getString(0);
    } catch (Throwable cause) {
      throw new AssertionError("downcall failed: function=getenv", cause);
    }
  }

  /// setenv(3), overwriting. Java's own view of the environment does not change.
  static void setenv(String name, String value) {
    try (Arena arena = Arena.ofConfined()) {
      var _ = (int) SETENV.invokeExact(arena.allocateFrom(name), arena.allocateFrom(value), 1);
    } catch (Throwable cause) {
      throw new AssertionError("downcall failed: function=setenv", cause);
    }
  }

  /// unsetenv(3).
  static void unsetenv(String name) {
    try (Arena arena = Arena.ofConfined()) {
      var _ = (int) UNSETENV.invokeExact(arena.allocateFrom(name));
    } catch (Throwable cause) {
      throw new AssertionError("downcall failed: function=unsetenv", cause);
    }
  }
}
