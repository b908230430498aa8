package dev.lockstep.device.cuda;

import dev.lockstep.graph.Node;
import dev.lockstep.graph.Value;
import dev.lockstep.tensor.DType;
import java.util.List;

/// Causal attention and its gradient by tensor cores, where sums need not keep the CPU's order. The
/// order is a function of the extents; blocks of queries are not cut.
///
/// An operand that was widened from bfloat16 is read as that; one of float32 becomes three planes
/// of bfloat16 in working memory first, whose sum it is.
final class TensorAttention {
  private static final int LARGEST_HEAD = 128;
  private static final int HEAD_MULTIPLE = 16;

  /// Threads that make the product of a query's output and its gradient.
  private static final int DELTA_THREADS = 16;

  /// Planes of bfloat16 that hold a float32.
  private static final int FLOAT_TERMS = 3;

  /// Shared memory that a block may have on each GPU since Hopper; sm_120 has the least.
  private static final int MOST_SHARED_BYTES = 99 * 1024;

  private final Emission emit;
  private final List<Value> out;
  private final AttentionCall call;
  private final List<Value> values;
  private final Operand query;
  private final Operand key;
  private final Operand value;

  /// An operand as planes of bfloat16.
  ///
  /// @param at where the first plane begins
  /// @param plane elements from one plane to the next
  /// @param terms number of planes
  private record Operand(Ref at, long plane, int terms) {
    Operand plus(long elements) {
      return new Operand(at.plus(2 * elements), plane, terms);
    }
  }

  /// How many planes the operands of a kernel have.
  ///
  /// @param queryKey of queries and keys
  /// @param value of values
  /// @param dout of the output's gradient; 1 if there is none
  record Terms(int queryKey, int value, int dout) {}

  /// How a kernel is cut.
  ///
  /// @param warps of a thread block
  /// @param rows blocks of 16 tokens that a warp owns
  /// @param stream tokens of a tile that streams through shared memory
  /// @param step of those, how many are taken at once
  /// @param stages tiles in shared memory
  /// @param blocks that a multiprocessor shall have registers for
  /// @param keeps whether what a warp owns stays in registers, if it was bfloat16
  record Tiling(int warps, int rows, int stream, int step, int stages, int blocks, boolean keeps) {
    int threads() {
      return 32 * warps;
    }

    /// Returns the tokens that a thread block owns.
    int owned() {
      return 16 * rows * warps;
    }

    int sharedBytes(int size, int ownedTerms, int streamTerms) {
      int tokens = owned() * ownedTerms + stages * stream * streamTerms;
      return 2 * (size + 8) * tokens + 2 * Float.BYTES * stages * stream;
    }
  }

  /// A kernel: its file and how it is compiled and cut.
  ///
  /// @param name of its file and its function
  /// @param size of a head
  /// @param terms planes of its operands
  /// @param tiling how it is cut
  /// @param sharedBytes shared memory of a thread block
  record Kernel(String name, int size, Terms terms, Tiling tiling, int sharedBytes) {
    /// Returns the source.
    ///
    /// @param rounds whether gradients are rounded to bfloat16
    Kernels.Source source(boolean rounds) {
      return new Kernels.Source(
          name + ".cu",
          List.of(
              "HEAD_SIZE=" + size,
              "QK_TERMS=" + terms.queryKey,
              "V_TERMS=" + terms.value,
              "D_TERMS=" + terms.dout,
              "ROUNDS=" + (rounds ? 1 : 0),
              "WARPS=" + tiling.warps,
              "ROWS=" + tiling.rows,
              "STREAM=" + tiling.stream,
              "STEP=" + tiling.step,
              "STAGES=" + tiling.stages,
              "BLOCKS=" + tiling.blocks,
              "KEEP=" + (tiling.keeps ? 1 : 0)));
    }
  }

  /// @param reads what the node reads
  TensorAttention(Emission emit, List<Value> reads, List<Value> out, AttentionCall call) {
    this.emit = emit;
    this.out = out;
    this.call = call;
    this.values = reads;
    int firstValue = reads.size() == (call.packed() ? 1 : 3) ? 0 : 1;
    Operand first = planes(reads.get(firstValue));
    this.query = first;
    this.key = call.packed() ? first.plus(call.features()) : planes(reads.get(firstValue + 1));
    this.value =
        call.packed() ? first.plus(2 * call.features()) : planes(reads.get(firstValue + 2));
  }

  /// Whether a node is attention, or its gradient, that there are kernels for.
  static boolean serves(Node node) {
    return AttentionCall.of(node).filter(TensorAttention::serves).isPresent();
  }

  static boolean serves(AttentionCall call) {
    return call.size() % HEAD_MULTIPLE == 0 && call.size() > 0 && call.size() <= LARGEST_HEAD;
  }

  /// Returns the operands of a node that are read in bfloat16 if all of a group were widened from
  /// it.
  static List<List<Integer>> narrowOperands(Node node) {
    int inputs = node.inputs().size();
    return switch (inputs) {
      case 1 -> List.of(List.of(0)); // qkv
      case 3 -> List.of(List.of(0, 1), List.of(2)); // q, k, v
      case 4 -> List.of(List.of(0), List.of(1)); // dout, qkv, out, logSumExp
      default -> List.of(List.of(0), List.of(1, 2), List.of(3)); // dout, q, k, v, out, logSumExp
    };
  }

  /// Returns the kernel of the way forward.
  static Kernel forward(int size, Terms terms) {
    List<Tiling> tilings =
        List.of(
            new Tiling(4, size <= 64 ? 2 : 1, 64, 64, 2, 2, false),
            new Tiling(4, 1, 32, 32, 2, 2, false),
            new Tiling(4, 1, 32, 32, 1, 2, false),
            new Tiling(2, 1, 32, 32, 1, 1, false));
    return fitting(
        "attention_mma", size, terms, tilings, terms.queryKey, terms.queryKey + terms.value);
  }

  /// Returns the kernel of the gradient of queries.
  static Kernel queryGradient(int size, Terms terms) {
    return fitting(
        "attention_dq_mma",
        size,
        terms,
        gradientTilings(size <= 64 ? 2 : 1, false),
        terms.queryKey + terms.dout,
        terms.queryKey + terms.value);
  }

  /// Returns the kernel of the gradients of keys and values.
  static Kernel keyGradient(int size, Terms terms) {
    return fitting(
        "attention_dkv_mma",
        size,
        terms,
        gradientTilings(1, size <= 64),
        terms.queryKey + terms.value,
        terms.queryKey + terms.dout);
  }

  private static List<Tiling> gradientTilings(int rows, boolean keeps) {
    return List.of(
        new Tiling(4, rows, 64, 32, 2, 2, keeps),
        new Tiling(4, 1, 32, 32, 2, 2, false),
        new Tiling(4, 1, 32, 32, 1, 2, false),
        new Tiling(2, 1, 16, 16, 1, 1, false));
  }

  /// Returns the kernel cut in the first of some ways that fits shared memory.
  private static Kernel fitting(
      String name, int size, Terms terms, List<Tiling> tilings, int ownedTerms, int streamTerms) {
    for (Tiling tiling : tilings) {
      int bytes = tiling.sharedBytes(size, ownedTerms, streamTerms);
      if (bytes <= MOST_SHARED_BYTES) {
        return new Kernel(name, size, terms, tiling, bytes);
      }
    }
    throw new IllegalStateException(
        "no tiling of attention fits: kernel=%s, headSize=%d, terms=%s"
            .formatted(name, size, terms));
  }

  private Operand planes(Value operand) {
    if (operand.type().dtype() == DType.BF16) {
      return new Operand(Emission.at(operand), 0, 1);
    }
    long n = operand.type().shape().elements();
    Ref planes = emit.scratch(Math.max(1, (long) FLOAT_TERMS * Short.BYTES * n));
    emit.elements(LaunchBuilder.of("split.cu", "split_f32").at(operand).at(planes).wide(n), n);
    return new Operand(planes, n, FLOAT_TERMS);
  }

  private StructBuilder struct(long doutPlane) {
    return new StructBuilder()
        .words(call.batch(), call.queries())
        .words(call.keys(), call.firstQuery())
        .words(call.heads(), call.groups())
        .wide(call.queryStride(), call.keyStride(), call.features())
        .wide(query.plane, key.plane, value.plane, doutPlane)
        .real(call.scale());
  }

  /// Appends the way forward.
  void forward() {
    if (call.isEmpty() || call.queries() == 0) {
      return;
    }
    Kernel kernel = forward(call.size(), new Terms(query.terms, value.terms, 1));
    LaunchBuilder launch =
        launch(kernel)
            .at(query.at)
            .at(key.at)
            .at(value.at)
            .at(out.get(0))
            .at(out.get(1))
            .struct(struct(0));
    emit.add(grid(launch, kernel, call.heads(), call.queries()));
  }

  /// Appends the gradient.
  void backward() {
    if (call.isEmpty()) {
      return;
    }
    Operand dout = planes(values.getFirst());
    Terms terms = new Terms(query.terms, value.terms, dout.terms);
    long rows = (long) call.batch() * call.heads() * call.queries();
    Ref delta = emit.scratch(4 * Math.max(1, rows));
    if (rows > 0) {
      Kernel kernel = queryGradient(call.size(), terms);
      emit.add(
          new LaunchBuilder(kernel.source(rounds()), "attention_delta_mma")
              .at(values.getFirst())
              .at(values.get(values.size() - 2))
              .at(delta)
              .struct(struct(0))
              .grid(
                  Sizes.of(Math.ceilDiv(rows, kernel.tiling.threads() / DELTA_THREADS)),
                  kernel.tiling.threads()));
      LaunchBuilder launch = gradient(kernel, dout, delta).at(part(0)).struct(struct(dout.plane));
      emit.add(grid(launch, kernel, call.heads(), call.queries()));
    }
    if (call.keys() > 0) {
      Kernel kernel = keyGradient(call.size(), terms);
      LaunchBuilder launch =
          gradient(kernel, dout, delta).at(part(1)).at(part(2)).struct(struct(dout.plane));
      emit.add(grid(launch, kernel, call.groups(), call.keys()));
    }
  }

  private LaunchBuilder launch(Kernel kernel) {
    return new LaunchBuilder(kernel.source(rounds()), kernel.name);
  }

  private boolean rounds() {
    return out.getFirst().type().dtype() == DType.BF16;
  }

  private LaunchBuilder gradient(Kernel kernel, Operand dout, Ref delta) {
    return launch(kernel)
        .at(dout.at)
        .at(query.at)
        .at(key.at)
        .at(value.at)
        .at(values.getLast())
        .at(delta);
  }

  /// Where the gradient of q (0), k (1) or v (2) goes.
  private Ref part(int part) {
    return call.packed()
        ? Emission.at(out.getFirst())
            .plus((long) part * call.features() * out.getFirst().type().dtype().bytes())
        : Emission.at(out.get(part));
  }

  private Action.Launch grid(LaunchBuilder launch, Kernel kernel, int heads, int tokens) {
    return launch.grid(
        Sizes.of((long) heads * call.batch()),
        Math.ceilDiv(tokens, kernel.tiling.owned()),
        1,
        kernel.tiling.threads(),
        kernel.sharedBytes);
  }
}
