package dev.lockstep.system;

import java.lang.foreign.AddressLayout;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;

/// Calls of the C library by which tests make networks, Linux; each returns what it returns.
@SuppressWarnings("restricted") // the only class of these tests that links
final class LibC {
  private static final AddressLayout POINTER = ValueLayout.ADDRESS;
  private static final ValueLayout.OfInt INT = ValueLayout.JAVA_INT;
  private static final ValueLayout.OfLong LONG = ValueLayout.JAVA_LONG;
  private static final Linker LINKER = Linker.nativeLinker();
  private static final MethodHandle OPEN =
      handle("open", FunctionDescriptor.of(INT, POINTER, INT), Linker.Option.firstVariadicArg(2));
  private static final MethodHandle IOCTL =
      handle(
          "ioctl",
          FunctionDescriptor.of(INT, INT, LONG, POINTER),
          Linker.Option.firstVariadicArg(2));
  private static final MethodHandle READ =
      handle("read", FunctionDescriptor.of(LONG, INT, POINTER, LONG));
  private static final MethodHandle WRITE =
      handle("write", FunctionDescriptor.of(LONG, INT, POINTER, LONG));
  private static final MethodHandle CLOSE = handle("close", FunctionDescriptor.of(INT, INT));
  private static final MethodHandle SETNS = handle("setns", FunctionDescriptor.of(INT, INT, INT));

  private LibC() {}

  private static MethodHandle handle(
      String name, FunctionDescriptor type, Linker.Option... options) {
    return LINKER.downcallHandle(LINKER.defaultLookup().findOrThrow(name), type, options);
  }

  static int open(String path, int flags) {
    try (Arena arena = Arena.ofConfined()) {
      return (int) OPEN.invokeExact(arena.allocateFrom(path), flags);
    } catch (Throwable impossible) {
      throw new AssertionError("downcall", impossible);
    }
  }

  static int ioctl(int file, long request, MemorySegment argument) {
    try {
      return (int) IOCTL.invokeExact(file, request, argument);
    } catch (Throwable impossible) {
      throw new AssertionError("downcall", impossible);
    }
  }

  static long read(int file, MemorySegment into) {
    try {
      return (long) READ.invokeExact(file, into, into.byteSize());
    } catch (Throwable impossible) {
      throw new AssertionError("downcall", impossible);
    }
  }

  static long write(int file, MemorySegment from, long bytes) {
    try {
      return (long) WRITE.invokeExact(file, from, bytes);
    } catch (Throwable impossible) {
      throw new AssertionError("downcall", impossible);
    }
  }

  static int close(int file) {
    try {
      return (int) CLOSE.invokeExact(file);
    } catch (Throwable impossible) {
      throw new AssertionError("downcall", impossible);
    }
  }

  static int setns(int file, int kind) {
    try {
      return (int) SETNS.invokeExact(file, kind);
    } catch (Throwable impossible) {
      throw new AssertionError("downcall", impossible);
    }
  }
}
