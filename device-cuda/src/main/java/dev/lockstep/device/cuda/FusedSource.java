package dev.lockstep.device.cuda;

import dev.lockstep.graph.Node;
import dev.lockstep.graph.Primitive;
import dev.lockstep.graph.Value;
import dev.lockstep.graph.ValueType;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.IntFunction;
import java.util.stream.IntStream;

/// Writes the kernel of a [FusedUnit] as CUDA C++. The text depends on the ops, their element types
/// and how they hang together only, so that chains that are alike share a kernel: extents and
/// constants are its parameters.
///
/// A thread takes one or two packs of four elements and reads all of them before it computes: the
/// more is on the way, the nearer it comes to the memory's bandwidth. What is not aligned, or left
/// over, goes an element at a time.
final class FusedSource {
  /// Threads of a block.
  static final int THREADS = 256;

  private static final int PACK = 4;

  /// Operands and results of which a thread holds two packs.
  private static final int MOST_IN_PAIRS = 6;

  /// Ops that a kernel's name tells of.
  private static final int MOST_NAMED = 12;

  /// How an operand lies to the results.
  enum Kind {
    /// It has as many elements.
    WHOLE,
    /// It repeats.
    ROW,
    /// It is one number for all.
    SCALAR;

    static Kind of(FusedUnit unit, Value read) {
      long elements = read.type().shape().elements();
      return elements == unit.elements() ? WHOLE : elements == 1 ? SCALAR : ROW;
    }
  }

  private final FusedUnit unit;
  private final List<Kind> kinds = new ArrayList<>();
  private final List<Integer> constants = new ArrayList<>();
  private final String kernel;
  private final int packs;
  private final String text;

  private FusedSource(FusedUnit unit) {
    this.unit = unit;
    unit.reads().forEach(read -> kinds.add(Kind.of(unit, read)));
    kernel = kernel(unit);
    packs = unit.reads().size() + unit.writes().size() <= MOST_IN_PAIRS ? 2 : 1;
    String statements = statements();
    text =
        """
        #include "packs.cuh"
        #include "types.cuh"

        // One element.
        LS_INLINE void chain(%s) {
        %s}

        extern "C" __global__ void __launch_bounds__(%s) %s(%s) {
        %s}
        """
            .formatted(elementParameters(), statements, THREADS, kernel, parameters(), loops());
  }

  static FusedSource of(FusedUnit unit) {
    return new FusedSource(unit);
  }

  Kernels.Source source() {
    return Kernels.Source.generated(kernel + ".cu", text);
  }

  String kernel() {
    return kernel;
  }

  /// Returns the bits of the constants that the kernel takes.
  List<Integer> constants() {
    return List.copyOf(constants);
  }

  /// Returns how many elements a block takes at a time.
  int tile() {
    return THREADS * PACK * packs;
  }

  private static String kernel(FusedUnit unit) {
    List<String> ops =
        unit.nodes().stream()
            .map(node -> ElementOps.name(node.op()))
            .filter(name -> !name.isEmpty())
            .toList();
    int more = ops.size() - MOST_NAMED;
    String name = String.join("_", ops.subList(0, Math.min(ops.size(), MOST_NAMED)));
    return "fused_" + name + (more > 0 ? "_and_" + more + "_more" : "");
  }

  private static String type(Value value) {
    return ElementOps.type(value.type().dtype());
  }

  private String readType(int operand) {
    return type(unit.reads().get(operand));
  }

  private String writeType(int result) {
    return type(unit.writes().get(result));
  }

  /// Returns the numbers of the operands of these kinds.
  private List<Integer> operands(Kind... wanted) {
    List<Kind> all = List.of(wanted);
    return IntStream.range(0, kinds.size())
        .filter(i -> all.contains(kinds.get(i)))
        .boxed()
        .toList();
  }

  private static List<Integer> upTo(int count) {
    return IntStream.range(0, count).boxed().toList();
  }

  private static List<String> map(List<Integer> numbers, IntFunction<String> text) {
    return numbers.stream().map(text::apply).toList();
  }

  @SafeVarargs
  private static String joined(List<String>... lists) {
    List<String> all = new ArrayList<>();
    for (List<String> list : lists) {
      all.addAll(list);
    }
    return String.join(", ", all);
  }

  private static String lines(String indent, List<String> statements) {
    StringBuilder lines = new StringBuilder();
    statements.forEach(each -> lines.append(indent).append(each).append(";\n"));
    return lines.toString();
  }

  private List<Integer> reads() {
    return upTo(unit.reads().size());
  }

  private List<Integer> writes() {
    return upTo(unit.writes().size());
  }

  private List<String> constantParameters() {
    return map(upTo(constants.size()), i -> "unsigned c" + i);
  }

  private String elementParameters() {
    return joined(
        map(reads(), i -> readType(i) + " x" + i),
        map(writes(), i -> writeType(i) + "& y" + i),
        constantParameters());
  }

  private String parameters() {
    return joined(
        map(reads(), i -> "const " + readType(i) + "* x" + i),
        map(writes(), i -> writeType(i) + "* y" + i),
        constantParameters(),
        map(operands(Kind.ROW), i -> "long long row" + i),
        List.of("long long n"));
  }

  /// What is done with one element; collects the constants.
  private String statements() {
    Map<Integer, String> names = new HashMap<>();
    for (int i = 0; i < unit.reads().size(); i++) {
      names.put(unit.reads().get(i).id(), "x" + i);
    }
    List<String> statements = new ArrayList<>();
    for (Node node : unit.nodes()) {
      List<String> results = results(node, names);
      for (int i = 0; i < results.size(); i++) {
        Value out = node.outputs().get(i);
        String name = "v" + statements.size();
        statements.add("const %s %s = %s".formatted(type(out), name, results.get(i)));
        names.put(out.id(), name);
      }
    }
    writes().forEach(i -> statements.add("y" + i + " = " + names.get(unit.writes().get(i).id())));
    return lines("  ", statements);
  }

  private List<String> results(Node node, Map<Integer, String> names) {
    if (node.op() instanceof Primitive.Constant(ValueType type, double value)) {
      String bits = "c" + constants.size();
      constants.add((int) Lowering.bits(type.dtype(), value));
      return List.of(ElementOps.literal(type.dtype(), bits));
    }
    return ElementOps.expressions(
        node, node.inputs().stream().map(value -> String.valueOf(names.get(value.id()))).toList());
  }

  private String loops() {
    List<Integer> packed = operands(Kind.WHOLE, Kind.ROW);
    List<Integer> rows = operands(Kind.ROW);
    List<String> conditions = new ArrayList<>(map(packed, i -> "ls_packed(x" + i + ")"));
    conditions.addAll(map(writes(), i -> "ls_packed(y" + i + ")"));
    conditions.addAll(map(rows, i -> "row%s %% 4 == 0".formatted(i)));
    return """
      const bool packed = %s;
      const long long tiles = packed ? n / %s : 0;
    %s  for (long long tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
        const long long first = tile * %s + threadIdx.x;
    %s#pragma unroll
        for (int i = 0; i < %s; i++) {
          const long long at = first + i * %s;
    %s    }
    #pragma unroll
        for (int i = 0; i < %s; i++) {
    #pragma unroll
          for (int k = 0; k < 4; k++) {
            chain(%s);
          }
        }
    #pragma unroll
        for (int i = 0; i < %s; i++) {
          const long long at = first + i * %s;
    %s    }
      }
      for (long long i = tiles * %s + LS_GRID_INDEX; i < n; i += LS_GRID_STRIDE) {
        chain(%s);
      }
    """
        .formatted(
            String.join(" && ", conditions),
            tile(),
            lines(
                "  ",
                map(
                    operands(Kind.SCALAR),
                    i -> "const %s s%s = *x%s".formatted(readType(i), i, i))),
            THREADS * packs,
            lines("    ", holders(packed)),
            packs,
            THREADS,
            lines("      ", map(packed, this::load)),
            packs,
            call(
                i -> "p%s[i].at[k]".formatted(i), i -> "p%s[i].at[k]".formatted(i), "q%s[i].at[k]"),
            packs,
            THREADS,
            lines("      ", map(writes(), i -> "ls_put_pack(y%s, at, q%s[i])".formatted(i, i))),
            tile(),
            call(
                i -> "x%s[i]".formatted(i),
                i -> "x%s[ls_modulo(i, row%s)]".formatted(i, i),
                "y%s[i]"));
  }

  private List<String> holders(List<Integer> packed) {
    List<String> holders = new ArrayList<>();
    holders.addAll(map(packed, i -> "Pack<%s> p%s[%s]".formatted(readType(i), i, packs)));
    holders.addAll(map(writes(), i -> "Pack<%s> q%s[%s]".formatted(writeType(i), i, packs)));
    return holders;
  }

  private String load(int operand) {
    String at =
        kinds.get(operand) == Kind.ROW ? "ls_modulo(at, row%s / 4)".formatted(operand) : "at";
    return "p%s[i] = ls_pack(x%s, %s)".formatted(operand, operand, at);
  }

  private String call(IntFunction<String> whole, IntFunction<String> row, String result) {
    return joined(
        map(
            reads(),
            i ->
                switch (kinds.get(i)) {
                  case WHOLE -> whole.apply(i);
                  case ROW -> row.apply(i);
                  case SCALAR -> "s" + i;
                }),
        map(writes(), i -> result.formatted(i)),
        map(upTo(constants.size()), i -> "c" + i));
  }
}
