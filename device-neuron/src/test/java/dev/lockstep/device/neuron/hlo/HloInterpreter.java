package dev.lockstep.device.neuron.hlo;

import dev.lockstep.device.neuron.hlo.HloProgram.Array;
import dev.lockstep.device.neuron.hlo.HloProgram.Instruction;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.NarrowFloat;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/// Runs a module in float64 as one replica, by the meaning that XLA's "Operation Semantics" gives
/// each instruction, and refuses what they leave to the compiler. F32 is not rounded, narrower
/// floats are, integers wrap. At a collective it stops: whoever runs the replicas says what comes
/// of it ([HloReplicas]).
final class HloInterpreter {
  private final HloProgram program;
  private final List<double[]> parameters;
  private final Map<Long, double[]> values = new HashMap<>();
  private final Map<Long, Array> types = new HashMap<>();
  private int next;

  HloInterpreter(HloProgram program, List<double[]> parameters) {
    this.program = program;
    this.parameters = parameters;
  }

  /// A collective that has been reached.
  ///
  /// @param at the instruction
  /// @param operand its operand's type
  /// @param mine what this replica contributes
  /// @param join opcode that joins two elements; empty where nothing is joined
  @SuppressWarnings("ArrayRecordComponent") // never compared
  record Collective(Instruction at, Array operand, double[] mine, String join) {}

  /// Runs on to the next collective; empty at the end.
  Optional<Collective> advance() {
    List<Instruction> all = program.main().instructions();
    while (all.get(next).id() != program.main().root()) {
      Instruction each = all.get(next);
      if (HloReplicas.isCollective(each.opcode())) {
        boolean joins = each.proto().packed(38).length > 0;
        String join = joins ? program.joinOf(each) : "";
        return Optional.of(new Collective(each, type(each, 0), in(each, 0), join));
      }
      give(evaluate(each));
    }
    return Optional.empty();
  }

  /// Gives the result of what was reached, and goes on behind it.
  void give(double[] result) {
    Instruction at = program.main().instructions().get(next++);
    if (result.length != at.type().size()) {
      throw new IllegalStateException("wrong size: " + at.name());
    }
    values.put(at.id(), rounded(at.type(), result));
    types.put(at.id(), at.type());
  }

  /// The elements of the root's tuple, at the end.
  List<double[]> results() {
    Instruction root = program.main().instructions().get(next);
    List<double[]> results = new ArrayList<>();
    for (int i = 0; i < root.operands().length; i++) {
      results.add(in(root, i));
    }
    return results;
  }

  private double[] in(Instruction instruction, int operand) {
    double[] found = values.get(instruction.operands()[operand]);
    if (found == null) {
      throw new IllegalStateException("operand comes after its use: " + instruction.name());
    }
    return found;
  }

  private Array type(Instruction instruction, int operand) {
    Array found = types.get(instruction.operands()[operand]);
    if (found == null) {
      throw new IllegalStateException("operand comes after its use: " + instruction.name());
    }
    return found;
  }

  private double[] evaluate(Instruction at) {
    return switch (at.opcode()) {
      case "parameter" -> parameters.get((int) at.proto().number(9));
      case "constant" -> literal(at);
      case "iota" -> iota(at);
      case "reshape", "copy" -> in(at, 0);
      case "broadcast" -> broadcast(at);
      case "transpose" -> transpose(at);
      case "slice" -> slice(at);
      case "dynamic-slice" -> dynamicSlice(at);
      case "concatenate" -> concatenate(at);
      case "convert" -> convert(at, in(at, 0));
      case "compare" -> compare(at);
      case "select" -> select(at);
      case "reduce" -> reduce(at);
      case "dot" -> HloProducts.dot(at, type(at, 0), type(at, 1), in(at, 0), in(at, 1));
      case "gather" -> gather(at);
      case "scatter" -> scatter(at);
      default -> elements(at);
    };
  }

  private double[] elements(Instruction at) {
    double[] a = in(at, 0);
    double[] out = new double[a.length];
    boolean integer = at.type().isInteger();
    if (at.operands().length == 1) {
      for (int i = 0; i < out.length; i++) {
        out[i] = unary(at.opcode(), a[i]);
      }
      return out;
    }
    double[] b = in(at, 1);
    if (a.length != b.length) {
      throw new IllegalStateException("operands differ in size: " + at.name());
    }
    for (int i = 0; i < out.length; i++) {
      out[i] = binary(at.opcode(), integer, a[i], b[i]);
    }
    return out;
  }

  private static double unary(String opcode, double x) {
    return switch (opcode) {
      case "negate" -> -x;
      case "exponential" -> Math.exp(x);
      case "log" -> Math.log(x);
      case "tanh" -> Math.tanh(x);
      case "sqrt" -> Math.sqrt(x);
      case "round-nearest-even" -> Math.rint(x);
      default -> throw new IllegalArgumentException("unknown opcode: " + opcode);
    };
  }

  static double binary(String opcode, boolean integer, double a, double b) {
    return switch (opcode) {
      case "add" -> a + b;
      case "subtract" -> a - b;
      case "multiply" -> integer ? whole(Math.multiplyExact(whole(a), whole(b))) : a * b;
      case "divide" -> integer ? quotient(whole(a), whole(b)) : a / b;
      case "maximum" -> Math.max(a, b);
      case "minimum" -> Math.min(a, b);
      case "and" -> (int) a & (int) b;
      case "or" -> (int) a | (int) b;
      case "xor" -> (int) a ^ (int) b;
      case "shift-left" -> b >= 32 ? 0 : (int) a << (int) b;
      case "shift-right-logical" -> b >= 32 ? 0 : (int) a >>> (int) b;
      default -> throw new IllegalArgumentException("unknown opcode: " + opcode);
    };
  }

  private static double quotient(long a, long b) {
    if (b == -1) {
      throw new IllegalStateException("the least number may be divided by -1: dividend=" + a);
    }
    return whole(a / b);
  }

  private static long whole(double x) {
    return (long) x;
  }

  /// As a number again; a product is wrapped to its type before it loses digits.
  private static double whole(long x) {
    return (int) x == x ? x : (double) (int) x;
  }

  /// What an array of this type holds of these numbers.
  static double[] rounded(Array type, double[] numbers) {
    DType narrow =
        switch (type.element()) {
          case 16 -> DType.BF16;
          case 10 -> DType.F16;
          case 19 -> DType.F8_E5M2;
          case 20 -> DType.F8_E4M3FN;
          case 28 -> DType.F8_E4M3;
          default -> null;
        };
    int bits =
        switch (type.element()) {
          case 2 -> 8;
          case 3 -> 16;
          case 4 -> 32;
          default -> 0;
        };
    double[] out = numbers.clone();
    for (int i = 0; i < out.length; i++) {
      if (narrow != null) {
        out[i] = NarrowFloat.decode(narrow, NarrowFloat.encode(narrow, (float) out[i]));
      } else if (bits != 0) {
        out[i] = (long) out[i] << (64 - bits) >> (64 - bits);
      } else if (type.element() == 6) {
        out[i] = (long) out[i] & 0xFF;
      }
    }
    return out;
  }

  private static double[] literal(Instruction at) {
    ProtoFields literal = at.proto().message(8);
    return switch (at.type().element()) {
      case 1 -> Arrays.stream(literal.packed(2)).asDoubleStream().toArray();
      case 4 -> Arrays.stream(literal.packed(4)).mapToInt(x -> (int) x).asDoubleStream().toArray();
      case 11 -> literal.packedFloats(8);
      default -> throw new IllegalArgumentException("literal is not read: " + at.name());
    };
  }

  private static double[] iota(Instruction at) {
    int[] dims = at.type().dims();
    int[] index = new int[dims.length];
    double[] out = new double[at.type().size()];
    for (int i = 0; i < out.length; i++) {
      out[i] = index[(int) at.dims()[0]];
      next(index, dims);
    }
    return out;
  }

  /// Counts on by one, the last place fastest.
  private static void next(int[] index, int[] dims) {
    for (int dim = dims.length - 1; dim >= 0; dim--) {
      if (++index[dim] < dims[dim]) {
        return;
      }
      index[dim] = 0;
    }
  }

  static int[] strides(int[] dims) {
    int[] strides = new int[dims.length];
    int stride = 1;
    for (int dim = dims.length - 1; dim >= 0; dim--) {
      strides[dim] = stride;
      stride *= dims[dim];
    }
    return strides;
  }

  /// The elements at `offset + index · strides`, for each index of `dims`.
  static double[] view(double[] x, int[] dims, int[] strides, int offset) {
    int size = Arrays.stream(dims).reduce(1, (a, b) -> a * b);
    double[] out = new double[size];
    int[] index = new int[dims.length];
    int from = offset;
    for (int i = 0; i < size; i++) {
      out[i] = x[from];
      for (int dim = dims.length - 1; dim >= 0; dim--) {
        from += strides[dim];
        if (++index[dim] < dims[dim]) {
          break;
        }
        from -= dims[dim] * strides[dim];
        index[dim] = 0;
      }
    }
    return out;
  }

  private double[] broadcast(Instruction at) {
    int[] from = type(at, 0).dims();
    int[] of = strides(from);
    int[] strides = new int[at.type().dims().length];
    for (int i = 0; i < from.length; i++) {
      int dim = (int) at.dims()[i];
      if (from[i] != at.type().dims()[dim]) {
        throw new IllegalStateException("broadcast of another extent: " + at.name());
      }
      strides[dim] = of[i];
    }
    return view(in(at, 0), at.type().dims(), strides, 0);
  }

  private double[] transpose(Instruction at) {
    int[] of = strides(type(at, 0).dims());
    int[] strides = new int[of.length];
    for (int i = 0; i < strides.length; i++) {
      strides[i] = of[(int) at.dims()[i]];
    }
    return view(in(at, 0), at.type().dims(), strides, 0);
  }

  private double[] slice(Instruction at) {
    int[] strides = strides(type(at, 0).dims());
    int offset = 0;
    List<ProtoFields> slices = at.proto().messages(17);
    for (int i = 0; i < strides.length; i++) {
      offset += (int) slices.get(i).number(1) * strides[i];
    }
    return view(in(at, 0), at.type().dims(), strides, offset);
  }

  private double[] dynamicSlice(Instruction at) {
    int[] from = type(at, 0).dims();
    int[] dims = at.type().dims();
    require(Arrays.equals(at.proto().packed(20), Arrays.stream(dims).asLongStream().toArray()), at);
    int[] strides = strides(from);
    int offset = 0;
    for (int dim = 0; dim < dims.length; dim++) {
      int start = Math.toIntExact((long) in(at, dim + 1)[0]);
      offset += Math.clamp((long) start, 0, from[dim] - dims[dim]) * strides[dim];
    }
    return view(in(at, 0), dims, strides, offset);
  }

  private double[] concatenate(Instruction at) {
    List<double[]> parts = new ArrayList<>();
    List<int[]> dims = new ArrayList<>();
    for (int i = 0; i < at.operands().length; i++) {
      parts.add(in(at, i));
      dims.add(type(at, i).dims());
    }
    return joined(parts, dims, (int) at.dims()[0], at.type());
  }

  /// Arrays one after another along `dim`.
  static double[] joined(List<double[]> parts, List<int[]> dims, int dim, Array type) {
    int inner = 1;
    for (int i = dim + 1; i < type.dims().length; i++) {
      inner *= type.dims()[i];
    }
    int row = type.dims()[dim] * inner;
    double[] out = new double[type.size()];
    int at = 0;
    for (int i = 0; i < parts.size(); i++) {
      int length = dims.get(i)[dim] * inner;
      for (int outer = 0; outer * row < out.length; outer++) {
        System.arraycopy(parts.get(i), outer * length, out, outer * row + at, length);
      }
      at += length;
    }
    return out;
  }

  private double[] convert(Instruction at, double[] x) {
    double[] out = new double[x.length];
    boolean cutsOff = !type(at, 0).isInteger() && at.type().isInteger() && at.type().element() != 1;
    for (int i = 0; i < x.length; i++) {
      boolean truth = at.type().element() == 1;
      double whole = x[i] < 0 ? Math.ceil(x[i]) : Math.floor(x[i]);
      if (cutsOff && rounded(at.type(), new double[] {whole})[0] != whole) {
        throw new IllegalStateException("does not fit: x=" + x[i] + ", at=" + at.name());
      }
      out[i] = truth ? (x[i] != 0 ? 1 : 0) : at.type().isInteger() ? (long) x[i] : x[i];
    }
    return out;
  }

  private double[] compare(Instruction at) {
    double[] a = in(at, 0);
    double[] b = in(at, 1);
    String direction = at.proto().text(63);
    double[] out = new double[a.length];
    for (int i = 0; i < out.length; i++) {
      boolean holds =
          switch (direction) {
            case "EQ" -> a[i] == b[i];
            case "NE" -> a[i] != b[i];
            case "LT" -> a[i] < b[i];
            case "GE" -> a[i] >= b[i];
            default -> throw new IllegalArgumentException("unknown direction: " + direction);
          };
      out[i] = holds ? 1 : 0;
    }
    return out;
  }

  private double[] select(Instruction at) {
    double[] condition = in(at, 0);
    double[] out = new double[condition.length];
    for (int i = 0; i < out.length; i++) {
      out[i] = in(at, condition[i] != 0 ? 1 : 2)[i];
    }
    return out;
  }

  private double[] reduce(Instruction at) {
    int[] from = type(at, 0).dims();
    int[] of = strides(at.type().dims());
    int[] strides = new int[from.length];
    int kept = 0;
    for (int dim = 0; dim < from.length; dim++) {
      boolean gone = false;
      for (long each : at.dims()) {
        gone |= each == dim;
      }
      strides[dim] = gone ? 0 : of[kept++];
    }
    double[] out = new double[at.type().size()];
    Arrays.fill(out, in(at, 1)[0]);
    String join = program.joinOf(at);
    int[] index = new int[from.length];
    for (double x : in(at, 0)) {
      int target = 0;
      for (int dim = 0; dim < index.length; dim++) {
        target += index[dim] * strides[dim];
      }
      out[target] = binary(join, at.type().isInteger(), out[target], x);
      next(index, from);
    }
    return out;
  }

  /// Rows of a table: the only gather that is emitted.
  private double[] gather(Instruction at) {
    ProtoFields numbers = at.proto().message(33);
    int[] table = type(at, 0).dims();
    int idRank = type(at, 1).dims().length;
    require(Arrays.equals(numbers.packed(2), new long[] {0}), at);
    require(Arrays.equals(numbers.packed(3), new long[] {0}), at);
    require(numbers.number(4) == idRank && numbers.packed(1).length == table.length - 1, at);
    require(at.proto().packed(34)[0] == 1, at);
    double[] ids = in(at, 1);
    int width = ids.length == 0 ? 0 : at.type().size() / ids.length;
    double[] out = new double[at.type().size()];
    for (int i = 0; i < ids.length; i++) {
      int row = Math.clamp((long) ids[i], 0, table[0] - 1);
      System.arraycopy(in(at, 0), row * width, out, i * width, width);
    }
    return out;
  }

  /// Rows added to a table: the only scatter that is emitted.
  private double[] scatter(Instruction at) {
    ProtoFields numbers = at.proto().message(48);
    require(Arrays.equals(numbers.packed(1), new long[] {1}), at);
    require(Arrays.equals(numbers.packed(2), new long[] {0}), at);
    require(Arrays.equals(numbers.packed(3), new long[] {0}), at);
    require(numbers.number(4) == 1 && program.joinOf(at).equals("add"), at);
    double[] out = in(at, 0).clone();
    double[] ids = in(at, 1);
    double[] updates = in(at, 2);
    int rows = at.type().dims()[0];
    int width = at.type().dims()[1];
    for (int i = 0; i < ids.length; i++) {
      for (int column = 0; ids[i] >= 0 && ids[i] < rows && column < width; column++) {
        out[Math.toIntExact((long) ids[i]) * width + column] += updates[i * width + column];
      }
    }
    return out;
  }

  private static void require(boolean holds, Instruction at) {
    if (!holds) {
      throw new IllegalStateException("fields are not those that are emitted: " + at.name());
    }
  }
}
