package dev.lockstep.device.neuron.ffi;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.invoke.MethodHandle;

/// What starting the Neuron runtime needs of the C library.
@SuppressWarnings("restricted") // links setenv
final class LibC {
  private static final MethodHandle SETENV =
      Linker.nativeLinker()
          .downcallHandle(
              Linker.nativeLinker().defaultLookup().findOrThrow("setenv"),
              FunctionDescriptor.of(JAVA_INT, ADDRESS, ADDRESS, JAVA_INT));

  private LibC() {}

  /// setenv(3), overwriting. Java's own view of the environment does not change.
  static void setenv(String name, String value) {
    try (Arena arena = Arena.ofConfined()) {
      var _ = (int) SETENV.invokeExact(arena.allocateFrom(name), arena.allocateFrom(value), 1);
    } catch (Throwable cause) {
      throw new AssertionError("downcall failed: function=setenv", cause);
    }
  }
}
