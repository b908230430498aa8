package dev.lockstep.transport.efa.ffi;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.Supplier;

/// What loading libfabric needs of the C library, Linux.
@SuppressWarnings("restricted") // links setenv and sigaction
final class LibC {
  /// Room for a `struct sigaction`, which glibc makes 152 bytes long.
  static final long SIGACTION_BYTES = 256;

  /// SIGHUP, SIGINT, SIGILL, SIGABRT, SIGBUS, SIGFPE, SIGSEGV, SIGTERM of asm/signal.h: those that
  /// the JVM lives by, or that libfabric's providers are known to take.
  private static final int[] SIGNALS = {1, 2, 4, 6, 7, 8, 11, 15};

  private static final ReentrantLock KEEPING = new ReentrantLock();
  private static final MethodHandle SETENV =
      bind("setenv", FunctionDescriptor.of(JAVA_INT, ADDRESS, ADDRESS, JAVA_INT));
  private static final MethodHandle SIGACTION =
      bind("sigaction", FunctionDescriptor.of(JAVA_INT, JAVA_INT, ADDRESS, ADDRESS));

  private LibC() {}

  private static MethodHandle bind(String name, FunctionDescriptor descriptor) {
    Linker linker = Linker.nativeLinker();
    return linker.downcallHandle(linker.defaultLookup().findOrThrow(name), descriptor);
  }

  /// setenv(3), without overwriting.
  static void setenv(String name, String value) {
    try (Arena arena = Arena.ofConfined()) {
      var _ = (int) SETENV.invokeExact(arena.allocateFrom(name), arena.allocateFrom(value), 0);
    } catch (Throwable cause) {
      throw new AssertionError("downcall failed: function=setenv", cause);
    }
  }

  /// Does what may set handlers of signals, and sets this process's again; one caller at a time.
  static <T> T keepingHandlers(Supplier<T> action) {
    KEEPING.lock();
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment handlers = handlers(arena);
      try {
        return action.get();
      } finally {
        handlers(handlers);
      }
    } finally {
      KEEPING.unlock();
    }
  }

  /// Returns how this process handles signals now.
  static MemorySegment handlers(Arena arena) {
    MemorySegment all = arena.allocate(SIGNALS.length * SIGACTION_BYTES, Long.BYTES);
    for (int i = 0; i < SIGNALS.length; i++) {
      sigaction(SIGNALS[i], MemorySegment.NULL, at(all, i));
    }
    return all;
  }

  private static void handlers(MemorySegment all) {
    for (int i = 0; i < SIGNALS.length; i++) {
      sigaction(SIGNALS[i], at(all, i), MemorySegment.NULL);
    }
  }

  private static MemorySegment at(MemorySegment all, int i) {
    return all.asSlice(i * SIGACTION_BYTES, SIGACTION_BYTES);
  }

  private static void sigaction(int signal, MemorySegment set, MemorySegment old) {
    try {
      var _ = (int) SIGACTION.invokeExact(signal, set, old);
    } catch (Throwable cause) {
      throw new AssertionError("downcall failed: function=sigaction", cause);
    }
  }
}
