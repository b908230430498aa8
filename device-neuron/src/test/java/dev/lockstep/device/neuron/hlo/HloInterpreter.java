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

/// Runs a module in float64 on any number of replicas at once, by the meaning that XLA's "Operation
/// Semantics" gives each instruction. F32 is not rounded, narrower floats are, integers wrap.
final class HloInterpreter {
  private final HloProgram program;
  private final List<List<double[]>> parameters;
  private final int replicas;

  /// Results by instruction, one array per replica.
  private final Map<Long, double[][]> values = new HashMap<>();

  private final Map<Long, Array> types = new HashMap<>();

  private HloInterpreter(HloProgram program, List<List<double[]>> parameters) {
    this.program = program;
    this.parameters = parameters;
    this.replicas = parameters.size();
  }

  /// Runs the entry.
  ///
  /// @param parameters for each replica its parameters
  /// @return for each replica the elements of the root's tuple
  static List<List<double[]>> run(HloProgram program, List<List<double[]>> parameters) {
    return new HloInterpreter(program, parameters).run();
  }

  private List<List<double[]>> run() {
    HloProgram.Routine main = program.main();
    for (Instruction each : main.instructions()) {
      if (each.id() == main.root()) {
        return results(each);
      }
      double[][] result = new double[replicas][];
      if (isCollective(each.opcode())) {
        collective(each, result);
      } else {
        for (int replica = 0; replica < replicas; replica++) {
          result[replica] = rounded(each.type(), evaluate(each, replica));
        }
      }
      for (double[] elements : result) {
        if (elements.length != each.type().size()) {
          throw new IllegalStateException("wrong size: " + each.name());
        }
      }
      values.put(each.id(), result);
      types.put(each.id(), each.type());
    }
    throw new IllegalStateException("module without root");
  }

  private List<List<double[]>> results(Instruction root) {
    List<List<double[]>> results = new ArrayList<>();
    for (int replica = 0; replica < replicas; replica++) {
      List<double[]> own = new ArrayList<>();
      for (int i = 0; i < root.operands().length; i++) {
        own.add(in(root, i, replica));
      }
      results.add(own);
    }
    return results;
  }

  private double[] in(Instruction instruction, int operand, int replica) {
    double[][] found = values.get(instruction.operands()[operand]);
    if (found == null) {
      throw new IllegalStateException("operand comes after its use: " + instruction.name());
    }
    return found[replica];
  }

  private Array type(Instruction instruction, int operand) {
    Array found = types.get(instruction.operands()[operand]);
    if (found == null) {
      throw new IllegalStateException("operand comes after its use: " + instruction.name());
    }
    return found;
  }

  private double[] evaluate(Instruction at, int replica) {
    return switch (at.opcode()) {
      case "parameter" -> parameters.get(replica).get((int) at.proto().number(9));
      case "constant" -> new double[] {literal(at)};
      case "iota" -> iota(at);
      case "reshape", "copy" -> in(at, 0, replica);
      case "broadcast" -> broadcast(at, replica);
      case "transpose" -> transpose(at, replica);
      case "slice" -> slice(at, replica);
      case "concatenate" -> concatenate(at, replica);
      case "convert" -> convert(at, in(at, 0, replica));
      case "compare" -> compare(at, replica);
      case "select" -> select(at, replica);
      case "reduce" -> reduce(at, replica);
      case "dot" ->
          HloProducts.dot(at, type(at, 0), type(at, 1), in(at, 0, replica), in(at, 1, replica));
      case "gather" -> gather(at, replica);
      case "scatter" -> scatter(at, replica);
      default -> elements(at, replica);
    };
  }

  private double[] elements(Instruction at, int replica) {
    double[] a = in(at, 0, replica);
    double[] out = new double[a.length];
    boolean integer = at.type().isInteger();
    if (at.operands().length == 1) {
      for (int i = 0; i < out.length; i++) {
        out[i] = unary(at.opcode(), a[i]);
      }
      return out;
    }
    double[] b = in(at, 1, replica);
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
      case "divide" -> integer ? whole(whole(a) / whole(b)) : a / b;
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

  private static double literal(Instruction at) {
    ProtoFields literal = at.proto().message(8);
    return switch (at.type().element()) {
      case 1 -> literal.packed(2)[0];
      case 4 -> (int) literal.packed(4)[0];
      case 11 -> literal.packedFloat(8);
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

  private double[] broadcast(Instruction at, int replica) {
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
    return view(in(at, 0, replica), at.type().dims(), strides, 0);
  }

  private double[] transpose(Instruction at, int replica) {
    int[] of = strides(type(at, 0).dims());
    int[] strides = new int[of.length];
    for (int i = 0; i < strides.length; i++) {
      strides[i] = of[(int) at.dims()[i]];
    }
    return view(in(at, 0, replica), at.type().dims(), strides, 0);
  }

  private double[] slice(Instruction at, int replica) {
    int[] strides = strides(type(at, 0).dims());
    int offset = 0;
    List<ProtoFields> slices = at.proto().messages(17);
    for (int i = 0; i < strides.length; i++) {
      offset += (int) slices.get(i).number(1) * strides[i];
    }
    return view(in(at, 0, replica), at.type().dims(), strides, offset);
  }

  private double[] concatenate(Instruction at, int replica) {
    List<double[]> parts = new ArrayList<>();
    List<int[]> dims = new ArrayList<>();
    for (int i = 0; i < at.operands().length; i++) {
      parts.add(in(at, i, replica));
      dims.add(type(at, i).dims());
    }
    return joined(parts, dims, (int) at.dims()[0], at.type());
  }

  /// Arrays one after another along `dim`.
  private static double[] joined(List<double[]> parts, List<int[]> dims, int dim, Array type) {
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
    for (int i = 0; i < x.length; i++) {
      boolean truth = at.type().element() == 1;
      out[i] = truth ? (x[i] != 0 ? 1 : 0) : at.type().isInteger() ? (long) x[i] : x[i];
    }
    return out;
  }

  private double[] compare(Instruction at, int replica) {
    double[] a = in(at, 0, replica);
    double[] b = in(at, 1, replica);
    String direction = at.proto().text(63);
    double[] out = new double[a.length];
    for (int i = 0; i < out.length; i++) {
      boolean holds =
          switch (direction) {
            case "EQ" -> a[i] == b[i];
            case "NE" -> a[i] != b[i];
            case "LT" -> a[i] < b[i];
            default -> throw new IllegalArgumentException("unknown direction: " + direction);
          };
      out[i] = holds ? 1 : 0;
    }
    return out;
  }

  private double[] select(Instruction at, int replica) {
    double[] condition = in(at, 0, replica);
    double[] out = new double[condition.length];
    for (int i = 0; i < out.length; i++) {
      out[i] = in(at, condition[i] != 0 ? 1 : 2, replica)[i];
    }
    return out;
  }

  private double[] reduce(Instruction at, int replica) {
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
    Arrays.fill(out, in(at, 1, replica)[0]);
    String join = program.joinOf(at);
    int[] index = new int[from.length];
    for (double x : in(at, 0, replica)) {
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
  private double[] gather(Instruction at, int replica) {
    ProtoFields numbers = at.proto().message(33);
    int[] table = type(at, 0).dims();
    int idRank = type(at, 1).dims().length;
    require(Arrays.equals(numbers.packed(2), new long[] {0}), at);
    require(Arrays.equals(numbers.packed(3), new long[] {0}), at);
    require(numbers.number(4) == idRank && numbers.packed(1).length == table.length - 1, at);
    require(at.proto().packed(34)[0] == 1, at);
    double[] ids = in(at, 1, replica);
    int width = ids.length == 0 ? 0 : at.type().size() / ids.length;
    double[] out = new double[at.type().size()];
    for (int i = 0; i < ids.length; i++) {
      int row = Math.clamp((long) ids[i], 0, table[0] - 1);
      System.arraycopy(in(at, 0, replica), row * width, out, i * width, width);
    }
    return out;
  }

  /// Rows added to a table: the only scatter that is emitted.
  private double[] scatter(Instruction at, int replica) {
    ProtoFields numbers = at.proto().message(48);
    require(Arrays.equals(numbers.packed(1), new long[] {1}), at);
    require(Arrays.equals(numbers.packed(2), new long[] {0}), at);
    require(Arrays.equals(numbers.packed(3), new long[] {0}), at);
    require(numbers.number(4) == 1 && program.joinOf(at).equals("add"), at);
    double[] out = in(at, 0, replica).clone();
    double[] ids = in(at, 1, replica);
    double[] updates = in(at, 2, replica);
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
      throw new IllegalStateException("dimension numbers are not those of rows: " + at.name());
    }
  }

  private static boolean isCollective(String opcode) {
    return List.of("all-reduce", "all-gather", "all-to-all", "reduce-scatter").contains(opcode);
  }

  private void collective(Instruction at, double[][] result) {
    for (ProtoFields list : at.proto().messages(49)) {
      long[] group = list.packed(1);
      List<double[]> each = new ArrayList<>();
      for (long replica : group) {
        each.add(in(at, 0, (int) replica));
      }
      for (int place = 0; place < group.length; place++) {
        result[(int) group[place]] = rounded(at.type(), exchanged(at, each, place));
      }
    }
  }

  private double[] exchanged(Instruction at, List<double[]> each, int place) {
    int[] from = type(at, 0).dims();
    int size = each.size();
    return switch (at.opcode()) {
      case "all-reduce" -> sum(at, each);
      case "all-gather" ->
          joined(each, each.stream().map(_ -> from).toList(), (int) at.dims()[0], at.type());
      case "reduce-scatter" -> part(sum(at, each), from, (int) at.dims()[0], place, size);
      default -> {
        int dim = (int) at.dims()[0];
        int[] piece = from.clone();
        piece[dim] /= size;
        List<double[]> pieces = each.stream().map(x -> part(x, from, dim, place, size)).toList();
        yield joined(pieces, pieces.stream().map(_ -> piece).toList(), dim, at.type());
      }
    };
  }

  private double[] sum(Instruction at, List<double[]> each) {
    String join = program.joinOf(at);
    double[] sum = each.getFirst().clone();
    for (double[] other : each.subList(1, each.size())) {
      for (int i = 0; i < sum.length; i++) {
        sum[i] = binary(join, at.type().isInteger(), sum[i], other[i]);
      }
    }
    return sum;
  }

  /// Part `place` of `size` equal ones along `dim`.
  private static double[] part(double[] x, int[] dims, int dim, int place, int size) {
    int[] piece = dims.clone();
    piece[dim] /= size;
    int[] strides = strides(dims);
    return view(x, piece, strides, place * piece[dim] * strides[dim]);
  }
}
