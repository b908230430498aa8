package dev.lockstep.device.cuda;

import dev.lockstep.graph.Composite;
import dev.lockstep.graph.Node;
import dev.lockstep.graph.Primitive;
import dev.lockstep.graph.Value;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.NarrowFloat;
import dev.lockstep.tensor.Shape;
import java.util.EnumSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;

/// Ops as actions. Element-wise ops and sources are here, the other families in classes of their
/// own.
final class Lowering {
  private static final int WHOLE_ADD = 0;
  private static final int WHOLE_SUB = 1;
  private static final int WHOLE_MUL = 2;
  private static final int WHOLE_DIV = 3;
  private static final int WHOLE_MAX = 4;
  private static final int WHOLE_MIN = 5;

  /// Types for which there are kernels that convert to and from float32.
  private static final Set<DType> NARROW =
      EnumSet.of(DType.BF16, DType.F16, DType.F8_E4M3FN, DType.F8_E5M2);

  private final CudaUnit unit;
  private final Emission emit;
  private final List<Value> in;
  private final Value out;

  private Lowering(CudaUnit unit, Emission emit) {
    this.unit = unit;
    this.emit = emit;
    this.in = unit.node().inputs();
    this.out = unit.writes().getFirst();
  }

  /// Appends the actions of a unit.
  ///
  /// @param library multiplies matrices, if there is one
  static void lower(CudaUnit unit, Emission emit, Optional<LtMultiplier> library) {
    Node node = unit.node();
    switch (node.op()) {
      case Primitive primitive -> new Lowering(unit, emit).primitive(primitive, library);
      case Composite.Linear(var _, var contraction) ->
          new ProductLowering(unit, emit, library).multiply(contraction);
      case Composite composite ->
          new CompositeLowering(unit, emit, library.isEmpty()).lower(composite);
    }
  }

  /// Returns the number by which kernels know an element type.
  static int code(DType dtype) {
    return switch (dtype) {
      case F64 -> 0;
      case F32 -> 1;
      case BF16 -> 2;
      case F16 -> 3;
      case F8_E4M3FN -> 4;
      case F8_E4M3 -> 5;
      case F8_E5M2 -> 6;
      case I64 -> 7;
      case I32 -> 8;
      case I16 -> 9;
      case I8 -> 10;
      case U8 -> 11;
      case BOOL -> 12;
    };
  }

  private void primitive(Primitive primitive, Optional<LtMultiplier> library) {
    switch (primitive) {
      case Primitive.Constant(var type, double value) ->
          emit.fill(Emission.at(out), itemBytes(), bits(type.dtype(), value), elements());
      case Primitive.Iota(var _, int dim) -> iota(dim);
      case Primitive.Uniform uniform -> new RandomLowering(emit).uniform(uniform, in, out);
      case Primitive.Neg _ -> negate();
      case Primitive.Exp _ -> unary("exp_f32");
      case Primitive.Log _ -> unary("log_f32");
      case Primitive.Tanh _ -> unary("tanh_f32");
      case Primitive.Sqrt _ -> unary("sqrt_f32");
      case Primitive.Rsqrt _ -> unary("rsqrt_f32");
      case Primitive.Add _ -> binary("add_f32", WHOLE_ADD);
      case Primitive.Sub _ -> binary("sub_f32", WHOLE_SUB);
      case Primitive.Mul _ -> binary("mul_f32", WHOLE_MUL);
      case Primitive.Div _ -> binary("div_f32", WHOLE_DIV);
      case Primitive.Max _ -> binary("max_f32", WHOLE_MAX);
      case Primitive.Min _ -> binary("min_f32", WHOLE_MIN);
      case Primitive.Less _ -> compare("less");
      case Primitive.Equal _ -> compare("equal");
      case Primitive.Select _ -> select();
      case Primitive.Convert(DType to) -> convert(in.getFirst().type().dtype(), to);
      case Primitive.Reshape _ -> throw new IllegalStateException("a reshape computes nothing");
      case Primitive.Transpose _, Primitive.BroadcastTo _, Primitive.Slice _, Primitive.Concat _ ->
          new LayoutLowering(emit, in, out).lower(primitive);
      case Primitive.ReduceSum _, Primitive.ReduceMax _ ->
          new ReduceLowering(
                  emit,
                  in.getFirst().type().shape(),
                  unit.reads().getFirst(),
                  out,
                  library.isEmpty())
              .lower(primitive);
      case Primitive.MatMul(var _, var _, var contraction) ->
          new ProductLowering(unit, emit, library).multiply(contraction);
      case Primitive.Gather _ -> new TableLowering(emit, in, out).gather();
      case Primitive.ScatterAdd(long rows, var order) ->
          new TableLowering(emit, in, out).scatterAdd(rows, order);
      case Primitive.AllReduce _,
          Primitive.AllGather _,
          Primitive.ReduceScatter _,
          Primitive.BroadcastFrom _ ->
          throw new IllegalStateException("collectives are the host's: op=" + primitive.label());
    }
  }

  private long elements() {
    return out.type().shape().elements();
  }

  private int itemBytes() {
    return out.type().dtype().bytes();
  }

  private boolean isWhole() {
    return in.getFirst().type().dtype().isInteger();
  }

  private void unary(String kernel) {
    emit.elements(
        LaunchBuilder.of("elements.cu", kernel).at(in.getFirst()).at(out).wide(elements()),
        elements());
  }

  private void negate() {
    if (isWhole()) {
      whole(WHOLE_SUB, Ref.NOTHING, Emission.at(in.getFirst()));
    } else {
      unary("neg_f32");
    }
  }

  private void binary(String kernel, int whole) {
    if (isWhole()) {
      whole(whole, Emission.at(in.get(0)), Emission.at(in.get(1)));
    } else {
      emit.elements(
          LaunchBuilder.of("elements.cu", kernel)
              .at(in.get(0))
              .at(in.get(1))
              .at(out)
              .wide(elements()),
          elements());
    }
  }

  private void whole(int op, Ref a, Ref b) {
    emit.elements(
        LaunchBuilder.of("whole.cu", "whole_binary")
            .word(code(out.type().dtype()))
            .word(op)
            .at(a)
            .at(b)
            .at(out)
            .wide(elements()),
        elements());
  }

  private void compare(String kernel) {
    emit.elements(
        LaunchBuilder.of("compare.cu", kernel)
            .word(code(in.getFirst().type().dtype()))
            .at(in.get(0))
            .at(in.get(1))
            .at(out)
            .wide(elements()),
        elements());
  }

  private void select() {
    emit.elements(
        LaunchBuilder.of("select.cu", "select_" + itemBytes())
            .at(in.get(0))
            .at(in.get(1))
            .at(in.get(2))
            .at(out)
            .wide(elements()),
        elements());
  }

  private void convert(DType from, DType to) {
    boolean isFast =
        (from == DType.F32 && NARROW.contains(to)) || (to == DType.F32 && NARROW.contains(from));
    LaunchBuilder launch =
        isFast
            ? LaunchBuilder.of("cast.cu", "cast_" + name(from) + "_" + name(to))
            : LaunchBuilder.of("cast.cu", "cast").word(code(from)).word(code(to));
    emit.elements(launch.at(in.getFirst()).at(out).wide(elements()), elements());
  }

  /// Returns the name by which kernels have an element type in theirs.
  static String name(DType dtype) {
    return switch (dtype) {
      case F32 -> "f32";
      case BF16 -> "bf16";
      case F16 -> "f16";
      case F8_E4M3FN -> "e4m3fn";
      case F8_E4M3 -> "e4m3";
      case F8_E5M2 -> "e5m2";
      case BOOL -> "bool";
      case F64, I64, I32, I16, I8, U8 ->
          throw new IllegalStateException("no kernel holds such elements: dtype=" + dtype);
    };
  }

  private void iota(int dim) {
    Shape shape = out.type().shape();
    emit.elements(
        LaunchBuilder.of("fill.cu", "iota")
            .word(code(out.type().dtype()))
            .at(out)
            .wide(shape.dim(dim))
            .wide(Sizes.product(shape, dim + 1, shape.rank()))
            .wide(elements()),
        elements());
  }

  /// Returns a number as an element's bits, rounded once to nearest even as the CPU device rounds
  /// it.
  static long bits(DType dtype, double value) {
    return switch (dtype) {
      case F64 -> Double.doubleToRawLongBits(value);
      case F32 -> Float.floatToRawIntBits((float) value) & 0xFFFF_FFFFL;
      case BF16, F16, F8_E4M3FN, F8_E4M3, F8_E5M2 ->
          NarrowFloat.encode(dtype, NarrowFloat.roundedToOdd(value));
      case I64 -> (long) Math.rint(value);
      case I32 -> (int) Math.rint(value) & 0xFFFF_FFFFL;
      case I16 -> Math.clamp((long) Math.rint(value), Short.MIN_VALUE, Short.MAX_VALUE) & 0xFFFFL;
      case I8 -> Math.clamp((long) Math.rint(value), Byte.MIN_VALUE, Byte.MAX_VALUE) & 0xFFL;
      case U8 -> Math.clamp((long) Math.rint(value), 0, 0xFF);
      case BOOL -> value == 0 ? 0 : 1;
    };
  }
}
