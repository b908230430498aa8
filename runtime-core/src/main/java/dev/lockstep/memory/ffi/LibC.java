package dev.lockstep.memory.ffi;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.StructLayout;
import java.lang.invoke.MethodHandle;
import java.lang.invoke.VarHandle;
import org.jspecify.annotations.Nullable;

/// Functions of the C library, Linux. One Java method per C function.
///
/// Nothing here throws where the library lacks a function or native access is denied:
/// [#isAvailable] says so beforehand.
@SuppressWarnings("restricted") // the only class of this module that links
public final class LibC {
  /// Status of a function that reports no error number.
  public static final int FAILED = -1;

  /// Error number of a file system that is full: `ENOSPC` of errno-base.h.
  public static final int ENOSPC = 28;

  /// Error number of a process that has too many files open: `EMFILE` of errno-base.h.
  public static final int EMFILE = 24;

  /// Error number of a system that has too many files open: `ENFILE` of errno-base.h.
  public static final int ENFILE = 23;

  private static final int EINVAL = 22; // asm-generic/errno-base.h

  /// Error number of an interrupted call: `EINTR` of errno-base.h.
  public static final int EINTR = 4;

  private static final int MFD_CLOEXEC = 1; // linux/memfd.h
  private static final int MFD_NOEXEC_SEAL = 8; // linux/memfd.h
  private static final int PROT_READ_WRITE = 1 | 2; // asm-generic/mman-common.h
  private static final int MAP_PRIVATE_ANONYMOUS = 0x02 | 0x20; // asm-generic/mman-common.h

  private static final String ERRNO_NAME = "errno";
  private static final StructLayout CALL_STATE = Linker.Option.captureStateLayout();
  private static final VarHandle ERRNO =
      CALL_STATE.varHandle(MemoryLayout.PathElement.groupElement(ERRNO_NAME));

  private static final @Nullable MethodHandle MEMFD_CREATE =
      bind(
          "memfd_create",
          FunctionDescriptor.of(JAVA_INT, ADDRESS, JAVA_INT),
          Linker.Option.captureCallState(ERRNO_NAME));
  private static final @Nullable MethodHandle POSIX_FALLOCATE =
      bind("posix_fallocate", FunctionDescriptor.of(JAVA_INT, JAVA_INT, JAVA_LONG, JAVA_LONG));
  private static final @Nullable MethodHandle CLOSE =
      bind("close", FunctionDescriptor.of(JAVA_INT, JAVA_INT));
  private static final @Nullable MethodHandle MMAP =
      bind(
          "mmap",
          FunctionDescriptor.of(
              ADDRESS, ADDRESS, JAVA_LONG, JAVA_INT, JAVA_INT, JAVA_INT, JAVA_LONG));
  private static final int CALLING_THREAD = 0; // sched_setaffinity(2)
  private static final int MADV_HUGEPAGE = 14; // asm-generic/mman-common.h
  private static final long HUGE_PAGES_FROM = 4 << 20; // two pages of x86-64 and of aarch64

  private static final @Nullable MethodHandle MADVISE =
      bind("madvise", FunctionDescriptor.of(JAVA_INT, ADDRESS, JAVA_LONG, JAVA_INT));
  private static final @Nullable MethodHandle MUNMAP =
      bind("munmap", FunctionDescriptor.of(JAVA_INT, ADDRESS, JAVA_LONG));

  // Reads a word that the kernel keeps for the thread: too short a call to leave Java for.
  private static final @Nullable MethodHandle SCHED_GETCPU =
      bind("sched_getcpu", FunctionDescriptor.of(JAVA_INT), Linker.Option.critical(false));

  private LibC() {}

  /// Returns whether the JVM denies this module native access: it has neither
  /// `--enable-native-access` nor leave by default.
  public static boolean isDenied() {
    return CLOSE == null && !LibC.class.getModule().isNativeAccessEnabled();
  }

  /// Returns whether every function is there and may be called.
  public static boolean isAvailable() {
    return MEMFD_CREATE != null
        && POSIX_FALLOCATE != null
        && CLOSE != null
        && MMAP != null
        && MADVISE != null
        && MUNMAP != null;
  }

  /// memfd_create(2): makes a file that lives in memory only, has no name in any file system and
  /// cannot be executed.
  ///
  /// @return the descriptor, or the negative error number
  public static int memfdCreate(String name) {
    int made = memfdCreate(name, MFD_CLOEXEC | MFD_NOEXEC_SEAL);
    // Linux before 6.3 does not know the flag; later ones may demand it (vm.memfd_noexec=2).
    return made == -EINVAL ? memfdCreate(name, MFD_CLOEXEC) : made;
  }

  private static int memfdCreate(String name, int flags) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment state = arena.allocate(CALL_STATE);
      int made = (int) handle(MEMFD_CREATE).invokeExact(state, arena.allocateFrom(name), flags);
      return made == FAILED ? -(int) ERRNO.get(state, 0L) : made;
    } catch (Throwable cause) {
      throw cannotHappen("memfd_create", cause);
    }
  }

  /// posix_fallocate(3): sizes a file and reserves every page of it.
  ///
  /// @return 0 or an error number
  public static int posixFallocate(int descriptor, long bytes) {
    try {
      return (int) handle(POSIX_FALLOCATE).invokeExact(descriptor, 0L, bytes);
    } catch (Throwable cause) {
      throw cannotHappen("posix_fallocate", cause);
    }
  }

  /// close(2).
  ///
  /// @return 0, or [#FAILED]
  public static int close(int descriptor) {
    try {
      return (int) handle(CLOSE).invokeExact(descriptor);
    } catch (Throwable cause) {
      throw cannotHappen("close", cause);
    }
  }

  /// mmap(2) of private zeroed pages that belong to no file; they are given back when `arena`
  /// closes. Large memory asks for huge pages by madvise(2): walking down the columns of a matrix
  /// touches a page per row. A kernel without them says no, which changes nothing but speed.
  ///
  /// @return the memory, or null where the system has none left
  public static @Nullable MemorySegment mapAnonymous(long bytes, Arena arena) {
    MemorySegment pages;
    try {
      pages =
          (MemorySegment)
              handle(MMAP)
                  .invokeExact(
                      MemorySegment.NULL, bytes, PROT_READ_WRITE, MAP_PRIVATE_ANONYMOUS, -1, 0L);
      if (bytes >= HUGE_PAGES_FROM && pages.address() != FAILED) {
        var _ = (int) handle(MADVISE).invokeExact(pages, bytes, MADV_HUGEPAGE);
      }
    } catch (Throwable cause) {
      throw cannotHappen("mmap", cause);
    }
    return pages.address() == FAILED ? null : pages.reinterpret(bytes, arena, LibC::unmap);
  }

  private static void unmap(MemorySegment pages) {
    try {
      var _ = (int) handle(MUNMAP).invokeExact(pages, pages.byteSize());
    } catch (Throwable cause) {
      throw cannotHappen("munmap", cause);
    }
  }

  /// sched_getcpu(3).
  ///
  /// @return the core that the calling thread runs on, or [#FAILED], also where there is no such
  ///   function
  public static int schedGetcpu() {
    if (SCHED_GETCPU == null) {
      return FAILED;
    }
    try {
      return (int) SCHED_GETCPU.invokeExact();
    } catch (Throwable cause) {
      throw cannotHappen("sched_getcpu", cause);
    }
  }

  /// Bound when first asked for: few processes do, and to bind takes milliseconds.
  private static final class Scheduling {
    static final @Nullable MethodHandle SCHED_GETAFFINITY =
        bind("sched_getaffinity", FunctionDescriptor.of(JAVA_INT, JAVA_INT, JAVA_LONG, ADDRESS));
    static final @Nullable MethodHandle SCHED_SETAFFINITY =
        bind("sched_setaffinity", FunctionDescriptor.of(JAVA_INT, JAVA_INT, JAVA_LONG, ADDRESS));

    private Scheduling() {}
  }

  /// sched_getaffinity(2) of the calling thread.
  ///
  /// @param mask is given a bit for each core that the thread may run on; long enough for all cores
  ///   that the kernel was built for
  /// @return 0, or [#FAILED], also where there is no such function
  public static int schedGetaffinity(MemorySegment mask) {
    if (Scheduling.SCHED_GETAFFINITY == null) {
      return FAILED;
    }
    try {
      return (int) Scheduling.SCHED_GETAFFINITY.invokeExact(CALLING_THREAD, mask.byteSize(), mask);
    } catch (Throwable cause) {
      throw cannotHappen("sched_getaffinity", cause);
    }
  }

  /// sched_setaffinity(2) of the calling thread.
  ///
  /// @param mask a bit for each core that the thread may run on from now on
  /// @return 0, or [#FAILED], also where there is no such function
  public static int schedSetaffinity(MemorySegment mask) {
    if (Scheduling.SCHED_SETAFFINITY == null) {
      return FAILED;
    }
    try {
      return (int) Scheduling.SCHED_SETAFFINITY.invokeExact(CALLING_THREAD, mask.byteSize(), mask);
    } catch (Throwable cause) {
      throw cannotHappen("sched_setaffinity", cause);
    }
  }

  private static MethodHandle handle(@Nullable MethodHandle handle) {
    if (handle == null) {
      throw new IllegalStateException("C library is not available (ask isAvailable first)");
    }
    return handle;
  }

  private static AssertionError cannotHappen(String function, Throwable cause) {
    return new AssertionError("downcall failed: function=" + function, cause);
  }

  private static @Nullable MethodHandle bind(
      String name, FunctionDescriptor descriptor, Linker.Option... options) {
    try {
      Linker linker = Linker.nativeLinker();
      return linker
          .defaultLookup()
          .find(name)
          .map(address -> linker.downcallHandle(address, descriptor, options))
          .orElse(null);
    } catch (IllegalCallerException | UnsupportedOperationException denied) {
      return null;
    }
  }
}
