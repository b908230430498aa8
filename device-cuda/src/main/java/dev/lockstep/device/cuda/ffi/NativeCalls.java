package dev.lockstep.device.cuda.ffi;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.invoke.MethodHandle;

/// Calls of C functions by their signatures. CUDA's libraries take addresses, sizes and ints and
/// return a status, so that a dozen handles serve all of their functions; a handle's first argument
/// is the function. `L` is an address or a size, `I` an int.
@SuppressWarnings("restricted") // the only class of this module that links
final class NativeCalls {
  private static final Linker LINKER = Linker.nativeLinker();
  private static final long LONGEST_TEXT = 1024;

  private static final MethodHandle NONE = status();
  private static final MethodHandle I = status(JAVA_INT);
  private static final MethodHandle L = status(JAVA_LONG);
  private static final MethodHandle IL = status(JAVA_INT, JAVA_LONG);
  private static final MethodHandle LI = status(JAVA_LONG, JAVA_INT);
  private static final MethodHandle LL = status(JAVA_LONG, JAVA_LONG);
  private static final MethodHandle LII = status(JAVA_LONG, JAVA_INT, JAVA_INT);
  private static final MethodHandle LIL = status(JAVA_LONG, JAVA_INT, JAVA_LONG);
  private static final MethodHandle LLI = status(JAVA_LONG, JAVA_LONG, JAVA_INT);
  private static final MethodHandle LLL = status(JAVA_LONG, JAVA_LONG, JAVA_LONG);
  private static final MethodHandle LILL = status(JAVA_LONG, JAVA_INT, JAVA_LONG, JAVA_LONG);
  private static final MethodHandle LLLL = status(JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG);
  private static final MethodHandle LLILL =
      status(JAVA_LONG, JAVA_LONG, JAVA_INT, JAVA_LONG, JAVA_LONG);
  private static final MethodHandle LILLL =
      status(JAVA_LONG, JAVA_INT, JAVA_LONG, JAVA_LONG, JAVA_LONG);
  private static final MethodHandle LLLILL =
      status(JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_INT, JAVA_LONG, JAVA_LONG);
  private static final MethodHandle LLIILL =
      status(JAVA_LONG, JAVA_LONG, JAVA_INT, JAVA_INT, JAVA_LONG, JAVA_LONG);
  private static final MethodHandle LLLIILL =
      status(JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_INT, JAVA_INT, JAVA_LONG, JAVA_LONG);
  private static final MethodHandle LAUNCH =
      status(
          JAVA_LONG, JAVA_INT, JAVA_INT, JAVA_INT, JAVA_INT, JAVA_INT, JAVA_INT, JAVA_INT,
          JAVA_LONG, JAVA_LONG, JAVA_LONG);
  private static final MethodHandle HEURISTIC =
      status(
          JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_INT,
          JAVA_LONG, JAVA_LONG);
  private static final MethodHandle MATMUL =
      status(
          JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG,
          JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG);
  private static final MethodHandle INIT_RANK =
      status(
          JAVA_LONG,
          JAVA_INT,
          MemoryLayout.structLayout(
              MemoryLayout.sequenceLayout(NcclConfig.ID_BYTES, JAVA_BYTE)), // by value
          JAVA_INT,
          JAVA_LONG);
  private static final MethodHandle ADDRESS_OF_LONG =
      LINKER.downcallHandle(FunctionDescriptor.of(JAVA_LONG, JAVA_LONG));
  private static final MethodHandle ADDRESS_OF_INT =
      LINKER.downcallHandle(FunctionDescriptor.of(JAVA_LONG, JAVA_INT));
  private static final MethodHandle SIZE = LINKER.downcallHandle(FunctionDescriptor.of(JAVA_LONG));

  private NativeCalls() {}

  private static MethodHandle status(MemoryLayout... arguments) {
    return LINKER.downcallHandle(FunctionDescriptor.of(JAVA_INT, arguments));
  }

  /// Opens a library for as long as the JVM runs.
  ///
  /// @param name a path, or a name that the system's linker looks for
  /// @throws IllegalArgumentException if there is none
  static SymbolLookup open(String name) {
    return SymbolLookup.libraryLookup(name, Arena.global());
  }

  /// Returns the memory at an address.
  static MemorySegment memory(long address, long bytes) {
    return MemorySegment.ofAddress(address).reinterpret(bytes);
  }

  /// Returns the C string at an address; empty for null.
  static String string(long address) {
    return address == 0 ? "" : memory(address, LONGEST_TEXT).getString(0);
  }

  static int call(MemorySegment function) {
    try {
      return (int) NONE.invokeExact(function);
    } catch (Throwable cause) {
      throw cannotHappen(cause);
    }
  }

  static int call(MemorySegment function, int a) {
    try {
      return (int) I.invokeExact(function, a);
    } catch (Throwable cause) {
      throw cannotHappen(cause);
    }
  }

  static int call(MemorySegment function, long a) {
    try {
      return (int) L.invokeExact(function, a);
    } catch (Throwable cause) {
      throw cannotHappen(cause);
    }
  }

  static int call(MemorySegment function, int a, long b) {
    try {
      return (int) IL.invokeExact(function, a, b);
    } catch (Throwable cause) {
      throw cannotHappen(cause);
    }
  }

  static int call(MemorySegment function, long a, int b) {
    try {
      return (int) LI.invokeExact(function, a, b);
    } catch (Throwable cause) {
      throw cannotHappen(cause);
    }
  }

  static int call(MemorySegment function, long a, long b) {
    try {
      return (int) LL.invokeExact(function, a, b);
    } catch (Throwable cause) {
      throw cannotHappen(cause);
    }
  }

  static int call(MemorySegment function, long a, int b, int c) {
    try {
      return (int) LII.invokeExact(function, a, b, c);
    } catch (Throwable cause) {
      throw cannotHappen(cause);
    }
  }

  static int call(MemorySegment function, long a, int b, long c) {
    try {
      return (int) LIL.invokeExact(function, a, b, c);
    } catch (Throwable cause) {
      throw cannotHappen(cause);
    }
  }

  static int call(MemorySegment function, long a, long b, int c) {
    try {
      return (int) LLI.invokeExact(function, a, b, c);
    } catch (Throwable cause) {
      throw cannotHappen(cause);
    }
  }

  static int call(MemorySegment function, long a, long b, long c) {
    try {
      return (int) LLL.invokeExact(function, a, b, c);
    } catch (Throwable cause) {
      throw cannotHappen(cause);
    }
  }

  static int call(MemorySegment function, long a, int b, long c, long d) {
    try {
      return (int) LILL.invokeExact(function, a, b, c, d);
    } catch (Throwable cause) {
      throw cannotHappen(cause);
    }
  }

  static int call(MemorySegment function, long a, long b, long c, long d) {
    try {
      return (int) LLLL.invokeExact(function, a, b, c, d);
    } catch (Throwable cause) {
      throw cannotHappen(cause);
    }
  }

  static int call(MemorySegment function, long a, long b, int c, long d, long e) {
    try {
      return (int) LLILL.invokeExact(function, a, b, c, d, e);
    } catch (Throwable cause) {
      throw cannotHappen(cause);
    }
  }

  static int call(MemorySegment function, long a, int b, long c, long d, long e) {
    try {
      return (int) LILLL.invokeExact(function, a, b, c, d, e);
    } catch (Throwable cause) {
      throw cannotHappen(cause);
    }
  }

  static int call(MemorySegment function, long a, long b, long c, int d, long e, long f) {
    try {
      return (int) LLLILL.invokeExact(function, a, b, c, d, e, f);
    } catch (Throwable cause) {
      throw cannotHappen(cause);
    }
  }

  static int call(MemorySegment function, long a, long b, int c, int d, long e, long f) {
    try {
      return (int) LLIILL.invokeExact(function, a, b, c, d, e, f);
    } catch (Throwable cause) {
      throw cannotHappen(cause);
    }
  }

  static int call(MemorySegment function, long a, long b, long c, int d, int e, long f, long g) {
    try {
      return (int) LLLIILL.invokeExact(function, a, b, c, d, e, f, g);
    } catch (Throwable cause) {
      throw cannotHappen(cause);
    }
  }

  /// `ncclCommInitRankConfig`.
  static int initRank(
      MemorySegment function, long communicator, int ranks, long id, int rank, long config) {
    MemorySegment value = memory(id, NcclConfig.ID_BYTES);
    try {
      return (int) INIT_RANK.invokeExact(function, communicator, ranks, value, rank, config);
    } catch (Throwable cause) {
      throw cannotHappen(cause);
    }
  }

  /// `cuLaunchKernel` without its last argument.
  static int launch(
      MemorySegment function,
      long kernel,
      CudaDriver.Geometry geometry,
      long stream,
      long parameters) {
    try {
      return (int)
          LAUNCH.invokeExact(
              function,
              kernel,
              geometry.gridX(),
              geometry.gridY(),
              geometry.gridZ(),
              geometry.blockX(),
              geometry.blockY(),
              geometry.blockZ(),
              geometry.sharedBytes(),
              stream,
              parameters,
              0L);
    } catch (Throwable cause) {
      throw cannotHappen(cause);
    }
  }

  /// `cublasLtMatmulAlgoGetHeuristic`.
  static int heuristic(
      MemorySegment function,
      long handle,
      CublasLt.Product product,
      long preference,
      int requested,
      long results,
      long found) {
    try {
      return (int)
          HEURISTIC.invokeExact(
              function,
              handle,
              product.description(),
              product.a(),
              product.b(),
              product.c(),
              product.c(),
              preference,
              requested,
              results,
              found);
    } catch (Throwable cause) {
      throw cannotHappen(cause);
    }
  }

  /// `cublasLtMatmul`.
  static int matmul(
      MemorySegment function,
      long handle,
      CublasLt.Product product,
      CublasLt.Operands operands,
      long stream) {
    try {
      return (int)
          MATMUL.invokeExact(
              function,
              handle,
              product.description(),
              operands.alpha(),
              operands.a(),
              product.a(),
              operands.b(),
              product.b(),
              operands.beta(),
              operands.c(),
              product.c(),
              operands.c(),
              product.c(),
              operands.algorithm(),
              operands.workspace(),
              operands.workspaceBytes(),
              stream);
    } catch (Throwable cause) {
      throw cannotHappen(cause);
    }
  }

  static String text(MemorySegment function, int a) {
    try {
      return string((long) ADDRESS_OF_INT.invokeExact(function, a));
    } catch (Throwable cause) {
      throw cannotHappen(cause);
    }
  }

  static String text(MemorySegment function, long a) {
    try {
      return string((long) ADDRESS_OF_LONG.invokeExact(function, a));
    } catch (Throwable cause) {
      throw cannotHappen(cause);
    }
  }

  static long size(MemorySegment function) {
    try {
      return (long) SIZE.invokeExact(function);
    } catch (Throwable cause) {
      throw cannotHappen(cause);
    }
  }

  /// The handles' types are those of the calls, which throw nothing.
  private static AssertionError cannotHappen(Throwable cause) {
    return new AssertionError("call of a native function", cause);
  }
}
