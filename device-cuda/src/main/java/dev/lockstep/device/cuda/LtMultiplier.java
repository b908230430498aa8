package dev.lockstep.device.cuda;

import dev.lockstep.device.cuda.ffi.Cu;
import dev.lockstep.device.cuda.ffi.CublasLt;
import dev.lockstep.failure.DeviceException;
import dev.lockstep.tensor.DType;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.HashMap;
import java.util.Map;
import java.util.OptionalLong;

/// Products of matrices by cuBLASLt. What multiplies is chosen once for each product, by the
/// library's own heuristic, and stays for as long as the device is open: the same bits at every
/// run. Thread-safe.
///
/// cuBLASLt's matrices are column-major: a row-major `out = A·B` is its `outᵀ = Bᵀ·Aᵀ`, and a
/// row-major matrix is the transpose of a column-major one, so `B` goes first and nothing moves.
final class LtMultiplier implements AutoCloseable {
  /// What the library may ask for at most: NVIDIA's advice for Hopper and Blackwell.
  private static final long MOST_WORKSPACE = 32L << 20;

  private static final int[] SCALE_POINTERS = {Cu.DESC_A_SCALE_POINTER, Cu.DESC_B_SCALE_POINTER};

  private final CublasLt library;
  private final String device;
  private final Arena arena;
  private final long handle;
  private final MemorySegment one;
  private final MemorySegment zero;
  private final Map<LtProduct, Plan> plans = new HashMap<>();

  /// A product ready to be multiplied.
  ///
  /// @param descriptors what it is
  /// @param algorithm address of what multiplies; 0 if the library has nothing
  /// @param workspaceBytes what that works in
  private record Plan(CublasLt.Product descriptors, long algorithm, long workspaceBytes) {}

  /// Makes a handle; the device's context is current.
  ///
  /// @throws DeviceException if the library refuses
  @SuppressWarnings("MustBeClosedChecker") // closed with this
  LtMultiplier(CublasLt library, String device) {
    this.library = library;
    this.device = device;
    this.arena = Arena.ofShared();
    this.one = arena.allocateFrom(ValueLayout.JAVA_FLOAT, 1f);
    this.zero = arena.allocateFrom(ValueLayout.JAVA_FLOAT, 0f);
    MemorySegment word = arena.allocate(ValueLayout.JAVA_LONG);
    try {
      check(library.create(word.address()), "cublasLtCreate", "");
    } catch (DeviceException refused) {
      arena.close();
      throw refused;
    }
    this.handle = word.get(ValueLayout.JAVA_LONG, 0);
  }

  /// Returns the library's version, `13.1.0`.
  String version() {
    long version = library.version();
    return version / 10_000 + "." + version / 100 % 100 + "." + version % 100;
  }

  /// Chooses what multiplies and returns how much working memory that takes; empty if cuBLASLt has
  /// nothing for the product.
  ///
  /// @throws DeviceException if the library fails
  synchronized OptionalLong workspaceBytes(LtProduct product) {
    Plan plan = plans.computeIfAbsent(product, this::plan);
    return plan.algorithm == 0 ? OptionalLong.empty() : OptionalLong.of(plan.workspaceBytes);
  }

  /// Where a product's matrices are, each aligned.
  ///
  /// @param a address of the left operand
  /// @param b address of the right operand
  /// @param out address of the result
  /// @param bias address of what is added to its rows, if anything is
  record Places(long a, long b, long out, long bias) {}

  /// Puts a product into a stream.
  ///
  /// @param frame where scales and working memory lie
  synchronized void multiply(Action.Multiply call, Frame frame, Places places, long stream) {
    Plan plan = plans.get(call.product());
    if (plan == null || plan.algorithm == 0) {
      throw new IllegalStateException("product was not planned: product=" + call.product());
    }
    if (call.product().addsBias()) {
      point(plan.descriptors.description(), Cu.DESC_BIAS_POINTER, places.bias);
    }
    for (int i = 0; i < call.scales().size(); i++) {
      long scale = frame.address(call.scales().get(i));
      point(plan.descriptors.description(), SCALE_POINTERS[i], scale);
    }
    CublasLt.Operands operands =
        new CublasLt.Operands(
            one.address(),
            places.b,
            places.a,
            zero.address(),
            places.out,
            plan.algorithm,
            frame.address(call.workspace().at()),
            call.workspace().bytes());
    check(
        library.matmul(handle, plan.descriptors, operands, stream),
        "cublasLtMatmul",
        call.product().toString());
  }

  private Plan plan(LtProduct product) {
    Deque<Runnable> undo = new ArrayDeque<>();
    try {
      return choose(product, describe(product, undo));
    } catch (DeviceException refused) {
      undo.forEach(Runnable::run);
      throw refused;
    }
  }

  private CublasLt.Product describe(LtProduct product, Deque<Runnable> undo) {
    MemorySegment word = arena.allocate(ValueLayout.JAVA_LONG);
    check(
        library.matmulDescCreate(word.address(), Cu.COMPUTE_32F, Cu.R_32F),
        "cublasLtMatmulDescCreate",
        product.toString());
    long description = word.get(ValueLayout.JAVA_LONG, 0);
    undo.push(() -> library.matmulDescDestroy(description));
    if (product.b().transposed()) {
      describe(description, Cu.DESC_TRANSA, Cu.OP_T);
    }
    if (product.a().transposed()) {
      describe(description, Cu.DESC_TRANSB, Cu.OP_T);
    }
    if (product.addsBias()) {
      describe(description, Cu.DESC_EPILOGUE, Cu.EPILOGUE_BIAS);
    }
    if (product.a().isEightBits()) {
      sumFully(description);
    }
    return new CublasLt.Product(
        description,
        layout(product, product.b(), product.k(), product.n(), undo),
        layout(product, product.a(), product.m(), product.k(), undo),
        layout(
            type(product.outDtype()),
            product.n(),
            product.m(),
            new LtProduct.Operand(
                product.outDtype(), false, product.n(), (long) product.m() * product.n()),
            product.batch(),
            undo));
  }

  private void describe(long description, int attribute, int value) {
    MemorySegment word = arena.allocateFrom(ValueLayout.JAVA_INT, value);
    check(
        library.matmulDescSetAttribute(description, attribute, word.address(), Integer.BYTES),
        "cublasLtMatmulDescSetAttribute",
        "attribute=" + attribute);
  }

  /// Has partial sums of 8-bit floats promoted to float32 time and again, on Hopper's tensor cores
  /// too, whose own sums are shorter.
  private void sumFully(long description) {
    MemorySegment off = arena.allocateFrom(ValueLayout.JAVA_BYTE, (byte) 0);
    check(
        library.matmulDescSetAttribute(
            description, Cu.DESC_FAST_ACCUM, off.address(), off.byteSize()),
        "cublasLtMatmulDescSetAttribute",
        "attribute=" + Cu.DESC_FAST_ACCUM);
  }

  /// Says where a bias or a scale lies; the library reads that when the product is queued.
  private void point(long description, int attribute, long address) {
    try (Arena call = Arena.ofConfined()) {
      MemorySegment word = call.allocateFrom(ValueLayout.JAVA_LONG, address);
      check(
          library.matmulDescSetAttribute(description, attribute, word.address(), Long.BYTES),
          "cublasLtMatmulDescSetAttribute",
          "attribute=" + attribute);
    }
  }

  private static int type(DType dtype) {
    return switch (dtype) {
      case F32 -> Cu.R_32F;
      case BF16 -> Cu.R_16BF;
      case F8_E4M3FN -> Cu.R_8F_E4M3;
      case F8_E5M2 -> Cu.R_8F_E5M2;
      case F64, F16, F8_E4M3, I64, I32, I16, I8, U8, BOOL ->
          throw new IllegalArgumentException("cuBLASLt is given no such matrices: dtype=" + dtype);
    };
  }

  /// The layout of an operand whose logical extents are `rows` by `columns`, row-major.
  private long layout(
      LtProduct product, LtProduct.Operand operand, long rows, long columns, Deque<Runnable> undo) {
    int type = type(operand.dtype());
    return operand.transposed()
        ? layout(type, rows, columns, operand, product.batch(), undo)
        : layout(type, columns, rows, operand, product.batch(), undo);
  }

  /// The layout of a column-major matrix.
  private long layout(
      int type,
      long rows,
      long columns,
      LtProduct.Operand operand,
      int batch,
      Deque<Runnable> undo) {
    MemorySegment word = arena.allocate(ValueLayout.JAVA_LONG);
    check(
        library.matrixLayoutCreate(word.address(), type, rows, columns, operand.row()),
        "cublasLtMatrixLayoutCreate",
        "rows=%d, columns=%d, leading=%d".formatted(rows, columns, operand.row()));
    long layout = word.get(ValueLayout.JAVA_LONG, 0);
    undo.push(() -> library.matrixLayoutDestroy(layout));
    if (batch > 1) {
      layoutAttribute(
          layout,
          Cu.LAYOUT_BATCH_COUNT,
          arena.allocateFrom(ValueLayout.JAVA_INT, batch),
          Integer.BYTES);
      layoutAttribute(
          layout,
          Cu.LAYOUT_BATCH_OFFSET,
          arena.allocateFrom(ValueLayout.JAVA_LONG, operand.stride()),
          Long.BYTES);
    }
    return layout;
  }

  private void layoutAttribute(long layout, int attribute, MemorySegment value, long bytes) {
    check(
        library.matrixLayoutSetAttribute(layout, attribute, value.address(), bytes),
        "cublasLtMatrixLayoutSetAttribute",
        "attribute=" + attribute);
  }

  private Plan choose(LtProduct product, CublasLt.Product descriptors) {
    MemorySegment word = arena.allocate(ValueLayout.JAVA_LONG);
    check(library.preferenceCreate(word.address()), "cublasLtMatmulPreferenceCreate", "");
    long preference = word.get(ValueLayout.JAVA_LONG, 0);
    try {
      prefer(
          preference,
          Cu.PREFERENCE_MAX_WORKSPACE,
          arena.allocateFrom(ValueLayout.JAVA_LONG, MOST_WORKSPACE),
          Long.BYTES);
      MemorySegment alignment = arena.allocateFrom(ValueLayout.JAVA_INT, LtProduct.ALIGNMENT);
      for (int operand = 0; operand < 4; operand++) {
        prefer(preference, Cu.PREFERENCE_MIN_ALIGNMENT_A + operand, alignment, Integer.BYTES);
      }
      MemorySegment result = arena.allocate(Cu.HEURISTIC_BYTES, Long.BYTES);
      int status =
          library.matmulAlgoGetHeuristic(
              handle, descriptors, preference, 1, result.address(), word.address());
      int found = word.get(ValueLayout.JAVA_INT, 0);
      boolean isFound =
          found > 0 && result.get(ValueLayout.JAVA_INT, Cu.STATE_OFFSET) == Cu.SUCCESS;
      if (status == Cu.CUBLAS_NOT_SUPPORTED || (status == Cu.SUCCESS && !isFound)) {
        return new Plan(descriptors, 0, 0);
      }
      check(status, "cublasLtMatmulAlgoGetHeuristic", product.toString());
      long workspace = result.get(ValueLayout.JAVA_LONG, Cu.ALGORITHM_BYTES);
      return new Plan(descriptors, result.address(), workspace);
    } finally {
      library.preferenceDestroy(preference);
    }
  }

  private void prefer(long preference, int attribute, MemorySegment value, long bytes) {
    check(
        library.preferenceSetAttribute(preference, attribute, value.address(), bytes),
        "cublasLtMatmulPreferenceSetAttribute",
        "attribute=" + attribute);
  }

  private void check(int status, String function, String what) {
    if (status != Cu.SUCCESS) {
      throw new DeviceException(
          device,
          function,
          status,
          "%s failed: device=%s, status=%d %s%s (CUBLASLT_LOG_LEVEL=5 makes the library say why)"
              .formatted(
                  function,
                  device,
                  status,
                  library.statusString(status),
                  what.isEmpty() ? "" : ", " + what),
          null);
    }
  }

  private void destroy(CublasLt.Product descriptors) {
    library.matrixLayoutDestroy(descriptors.a());
    library.matrixLayoutDestroy(descriptors.b());
    library.matrixLayoutDestroy(descriptors.c());
    library.matmulDescDestroy(descriptors.description());
  }

  /// Destroys the handle and all plans; the context is current.
  @Override
  public synchronized void close() {
    plans.values().forEach(plan -> destroy(plan.descriptors));
    plans.clear();
    library.destroy(handle);
    arena.close();
  }
}
