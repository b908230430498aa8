package dev.lockstep.device.neuron.hlo;

import dev.lockstep.graph.ValueType;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.NarrowFloat;
import dev.lockstep.tensor.Shape;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;

/// One computation of a module in the making: each call adds an instruction. Instructions that take
/// a computation of their own, reductions and scatters, find it in the module.
final class Computation {
  private final ModuleBuilder module;
  private final String name;
  private final long id;
  private final List<ProtoWriter> instructions = new ArrayList<>();
  private final List<ValueType> parameters = new ArrayList<>();
  private final List<String> parameterNames = new ArrayList<>();
  private final Map<Scalar, Hlo> scalars = new HashMap<>();
  private String prefix = "";
  private String cause = "";

  private record Scalar(DType dtype, long bits) {}

  Computation(ModuleBuilder module, String name) {
    this.module = module;
    this.name = name;
    this.id = module.nextId();
  }

  private static void nothing(ProtoWriter proto) {}

  long id() {
    return id;
  }

  /// Says what the following instructions come from.
  ///
  /// @param prefix of their names
  /// @param cause the op, kept as metadata
  void from(String prefix, String cause) {
    this.prefix = prefix;
    this.cause = cause;
  }

  /// Adds an instruction with an array as result.
  ///
  /// @param fields writes what the opcode needs beside its operands
  Hlo add(String opcode, ValueType type, List<Hlo> operands, Consumer<ProtoWriter> fields) {
    long[] operandIds = operands.stream().mapToLong(Hlo::id).toArray();
    return new Hlo(append(opcode, Schema.shape(type), operandIds, fields), type);
  }

  private long append(
      String opcode, ProtoWriter shape, long[] operandIds, Consumer<ProtoWriter> fields) {
    long instruction = module.nextId();
    String start = prefix.isEmpty() ? opcode : prefix;
    ProtoWriter proto =
        new ProtoWriter()
            .text(1, start + "." + instruction)
            .text(2, opcode)
            .message(3, shape)
            .number(35, instruction)
            .packed(36, operandIds);
    if (!cause.isEmpty()) {
      proto.message(7, new ProtoWriter().text(1, opcode).text(2, cause));
    }
    fields.accept(proto);
    instructions.add(proto);
    return instruction;
  }

  Hlo parameter(String parameterName, ValueType type, Consumer<ProtoWriter> fields) {
    int number = parameters.size();
    parameters.add(type);
    parameterNames.add(parameterName);
    return add(
        "parameter",
        type,
        List.of(),
        proto -> {
          proto.number(9, number);
          fields.accept(proto);
        });
  }

  /// The results of the whole; it is added last.
  long tuple(List<Hlo> results, Consumer<ProtoWriter> fields) {
    List<ValueType> types = results.stream().map(Hlo::type).toList();
    long[] operandIds = results.stream().mapToLong(Hlo::id).toArray();
    return append("tuple", Schema.tuple(types), operandIds, fields);
  }

  /// A scalar of the type, rounded once, to nearest even and into the range of whole numbers; one
  /// instruction however often it is asked for.
  Hlo scalar(DType dtype, double value) {
    Scalar wanted = new Scalar(dtype, Double.doubleToRawLongBits(value));
    Hlo known = scalars.get(wanted);
    if (known == null) {
      known = newScalar(dtype, value);
      scalars.put(wanted, known);
    }
    return known;
  }

  private Hlo newScalar(DType dtype, double value) {
    ValueType type = new ValueType(dtype, Shape.scalar());
    return switch (dtype) {
      case BOOL, F32 -> literal(type, value);
      case I32 -> literal(type, Math.rint(value));
      case BF16, F16, F8_E4M3FN, F8_E4M3, F8_E5M2 ->
          convert(scalar(DType.F32, NarrowFloat.roundedToOdd(value)), dtype);
      case I16 -> whole(dtype, value, Short.MIN_VALUE, Short.MAX_VALUE);
      case I8 -> whole(dtype, value, Byte.MIN_VALUE, Byte.MAX_VALUE);
      case U8 -> whole(dtype, value, 0, 255);
      // No target has them: the nearest literal will do.
      case F64 -> convert(scalar(DType.F32, value), dtype);
      case I64 -> convert(scalar(DType.I32, value), dtype);
    };
  }

  private Hlo literal(ValueType type, double value) {
    return add("constant", type, List.of(), p -> p.message(8, Schema.literal(type, value)));
  }

  private Hlo whole(DType dtype, double value, int least, int greatest) {
    return convert(scalar(DType.I32, Math.clamp((long) Math.rint(value), least, greatest)), dtype);
  }

  /// Numbers, F32 or I32 `[n]`.
  Hlo table(DType dtype, double... numbers) {
    ValueType type = new ValueType(dtype, Shape.of(numbers.length));
    return add("constant", type, List.of(), p -> p.message(8, Schema.literal(type, numbers)));
  }

  /// Every element `value`.
  Hlo fill(ValueType type, double value) {
    Hlo scalar = scalar(type.dtype(), value);
    return type.shape().rank() == 0 ? scalar : broadcast(scalar, type.shape());
  }

  Hlo unary(String opcode, Hlo x) {
    return add(opcode, x.type(), List.of(x), Computation::nothing);
  }

  Hlo binary(String opcode, Hlo a, Hlo b) {
    return add(opcode, a.type(), List.of(a, b), Computation::nothing);
  }

  /// `x OPCODE value`, the value repeated.
  Hlo binary(String opcode, Hlo x, double value) {
    return binary(opcode, x, fill(x.type(), value));
  }

  /// @param direction `EQ`, `NE`, `LT`, `GE`, …
  Hlo compare(String direction, Hlo a, Hlo b) {
    ValueType type = new ValueType(DType.BOOL, a.shape());
    return add("compare", type, List.of(a, b), p -> p.text(63, direction));
  }

  Hlo select(Hlo condition, Hlo a, Hlo b) {
    return add("select", a.type(), List.of(condition, a, b), Computation::nothing);
  }

  /// Floats to integers are cut off towards zero.
  Hlo convert(Hlo x, DType to) {
    return x.dtype() == to
        ? x
        : add("convert", new ValueType(to, x.shape()), List.of(x), Computation::nothing);
  }

  Hlo iota(ValueType type, int dim) {
    return add("iota", type, List.of(), p -> p.packed(14, dim));
  }

  Hlo reshape(Hlo x, Shape to) {
    return x.shape().equals(to)
        ? x
        : add("reshape", new ValueType(x.dtype(), to), List.of(x), Computation::nothing);
  }

  Hlo transpose(Hlo x, Shape to, long... permutation) {
    return add(
        "transpose", new ValueType(x.dtype(), to), List.of(x), p -> p.packed(14, permutation));
  }

  /// Repeats `x` over `to`; its dimension `i` is dimension `dims[i]` there, of equal extent.
  Hlo broadcast(Hlo x, Shape to, long... dims) {
    return add("broadcast", new ValueType(x.dtype(), to), List.of(x), p -> p.packed(14, dims));
  }

  Hlo slice(Hlo x, long[] starts, long[] limits) {
    long[] dims = new long[starts.length];
    for (int i = 0; i < dims.length; i++) {
      dims[i] = limits[i] - starts[i];
    }
    Shape shape = Shape.of(dims);
    if (shape.equals(x.shape())) {
      return x;
    }
    return add(
        "slice",
        new ValueType(x.dtype(), shape),
        List.of(x),
        proto -> {
          for (int i = 0; i < dims.length; i++) {
            proto.message(
                17, new ProtoWriter().number(1, starts[i]).number(2, limits[i]).number(3, 1));
          }
        });
  }

  /// The elements whose index along `dim` lies in `[start, limit)`.
  Hlo slice(Hlo x, int dim, long start, long limit) {
    long[] starts = new long[x.shape().rank()];
    long[] limits = x.shape().dims();
    starts[dim] = start;
    limits[dim] = limit;
    return slice(x, starts, limits);
  }

  /// The box of `x` that begins at `starts`, each I32 `[]`; it must lie within.
  Hlo dynamicSlice(Hlo x, List<Hlo> starts, Shape box) {
    List<Hlo> operands = new ArrayList<>(List.of(x));
    operands.addAll(starts);
    return add(
        "dynamic-slice", new ValueType(x.dtype(), box), operands, p -> p.packed(20, box.dims()));
  }

  Hlo concat(List<Hlo> parts, int dim) {
    Hlo first = parts.getFirst();
    if (parts.size() == 1) {
      return first;
    }
    long extent = parts.stream().mapToLong(part -> part.shape().dim(dim)).sum();
    ValueType type = new ValueType(first.dtype(), first.shape().with(dim, extent));
    return add("concatenate", type, parts, p -> p.packed(14, dim));
  }

  /// @param opcode `add`, `maximum`, … of two elements
  /// @param dims which disappear
  Hlo reduce(Hlo x, String opcode, double init, long... dims) {
    Shape shape = x.shape();
    List<Long> kept = new ArrayList<>();
    for (int dim = 0; dim < shape.rank(); dim++) {
      boolean stays = true;
      for (long gone : dims) {
        stays &= gone != dim;
      }
      if (stays) {
        kept.add(shape.dim(dim));
      }
    }
    return add(
        "reduce",
        new ValueType(x.dtype(), Shape.of(kept)),
        List.of(x, scalar(x.dtype(), init)),
        p -> p.packed(14, dims).packed(38, module.join(opcode, x.dtype())));
  }

  /// `xla.DotDimensionNumbers` are written by `numbers`; floats are multiplied as they are.
  Hlo dot(Hlo a, Hlo b, ValueType type, Consumer<ProtoWriter> numbers) {
    ProtoWriter dimensionNumbers = new ProtoWriter();
    numbers.accept(dimensionNumbers);
    // PrecisionConfig.HIGHEST for both operands: no narrower floats on the way.
    ProtoWriter precision = new ProtoWriter().packed(1, 2, 2);
    return add(
        "dot", type, List.of(a, b), p -> p.message(30, dimensionNumbers).message(51, precision));
  }

  /// The rows of `table` that `ids` name; ids outside are clamped.
  Hlo gatherRows(Hlo table, Hlo ids, ValueType type) {
    int idRank = ids.shape().rank();
    long[] offsets = new long[table.shape().rank() - 1];
    for (int i = 0; i < offsets.length; i++) {
      offsets[i] = idRank + (long) i;
    }
    ProtoWriter numbers =
        new ProtoWriter().packed(1, offsets).packed(2, 0).packed(3, 0).number(4, idRank);
    long[] sizes = table.shape().with(0, 1).dims();
    return add("gather", type, List.of(table, ids), p -> p.message(33, numbers).packed(34, sizes));
  }

  /// `into` with each of `updates` `[n, C]` added to the row that its id names; ids outside are
  /// passed over.
  Hlo scatterAddRows(Hlo into, Hlo ids, Hlo updates) {
    ProtoWriter numbers = new ProtoWriter().packed(1, 1).packed(2, 0).packed(3, 0).number(4, 1);
    return add(
        "scatter",
        into.type(),
        List.of(into, ids, updates),
        p -> p.message(48, numbers).packed(38, module.join("add", into.dtype())));
  }

  /// @param opcode `all-gather` or `all-to-all` along `dim`
  Hlo exchange(String opcode, Hlo x, Shape to, int dim, List<List<Integer>> groups) {
    return add(
        opcode,
        new ValueType(x.dtype(), to),
        List.of(x),
        proto -> {
          proto.packed(14, dim);
          replicaGroups(proto, groups);
        });
  }

  /// The elements of all ranks of a group, joined in the compiler's order.
  ///
  /// @param opcode `add`, `maximum`, … of two elements
  Hlo allReduce(Hlo x, String opcode, List<List<Integer>> groups) {
    return add(
        "all-reduce",
        x.type(),
        List.of(x),
        proto -> {
          proto.packed(38, module.join(opcode, x.dtype()));
          replicaGroups(proto, groups);
        });
  }

  /// Part `r` of the elements of all ranks, joined in the compiler's order, on rank `r`.
  Hlo reduceScatter(Hlo x, String opcode, Shape to, int dim, List<List<Integer>> groups) {
    return add(
        "reduce-scatter",
        new ValueType(x.dtype(), to),
        List.of(x),
        proto -> {
          proto.packed(14, dim).packed(38, module.join(opcode, x.dtype()));
          replicaGroups(proto, groups);
        });
  }

  /// What the other rank of each group of two has.
  Hlo swap(Hlo x, List<List<Integer>> pairs) {
    return add(
        "collective-permute",
        x.type(),
        List.of(x),
        proto -> {
          for (List<Integer> pair : pairs) {
            proto.message(52, Schema.sourceTarget(pair.getFirst(), pair.getLast()));
            proto.message(52, Schema.sourceTarget(pair.getLast(), pair.getFirst()));
          }
        });
  }

  private static void replicaGroups(ProtoWriter proto, List<List<Integer>> groups) {
    for (List<Integer> group : groups) {
      long[] ranks = group.stream().mapToLong(Integer::longValue).toArray();
      proto.message(49, new ProtoWriter().packed(1, ranks));
    }
  }

  /// The finished computation.
  ///
  /// @param root its last instruction
  /// @param result the root's shape
  ProtoWriter finish(long root, ProtoWriter result) {
    ProtoWriter proto = new ProtoWriter().text(1, name);
    instructions.forEach(instruction -> proto.message(2, instruction));
    return proto.message(4, programShape(result)).number(5, id).number(6, root);
  }

  ProtoWriter programShape(ProtoWriter result) {
    ProtoWriter shape = new ProtoWriter();
    parameters.forEach(type -> shape.message(1, Schema.shape(type)));
    shape.message(2, result);
    parameterNames.forEach(parameter -> shape.text(3, parameter));
    return shape;
  }
}
