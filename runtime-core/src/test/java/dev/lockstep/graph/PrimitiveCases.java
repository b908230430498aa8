package dev.lockstep.graph;

import dev.lockstep.graph.Primitive.Add;
import dev.lockstep.graph.Primitive.BroadcastTo;
import dev.lockstep.graph.Primitive.Concat;
import dev.lockstep.graph.Primitive.Constant;
import dev.lockstep.graph.Primitive.Convert;
import dev.lockstep.graph.Primitive.Div;
import dev.lockstep.graph.Primitive.Equal;
import dev.lockstep.graph.Primitive.Exp;
import dev.lockstep.graph.Primitive.Gather;
import dev.lockstep.graph.Primitive.Iota;
import dev.lockstep.graph.Primitive.Less;
import dev.lockstep.graph.Primitive.Log;
import dev.lockstep.graph.Primitive.MatMul;
import dev.lockstep.graph.Primitive.Max;
import dev.lockstep.graph.Primitive.Min;
import dev.lockstep.graph.Primitive.Mul;
import dev.lockstep.graph.Primitive.Neg;
import dev.lockstep.graph.Primitive.ReduceMax;
import dev.lockstep.graph.Primitive.ReduceSum;
import dev.lockstep.graph.Primitive.Reshape;
import dev.lockstep.graph.Primitive.Rsqrt;
import dev.lockstep.graph.Primitive.ScatterAdd;
import dev.lockstep.graph.Primitive.Select;
import dev.lockstep.graph.Primitive.Slice;
import dev.lockstep.graph.Primitive.Sqrt;
import dev.lockstep.graph.Primitive.Sub;
import dev.lockstep.graph.Primitive.Tanh;
import dev.lockstep.graph.Primitive.Transpose;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Shape;
import java.util.ArrayList;
import java.util.List;

/// Every primitive on odd shapes.
public final class PrimitiveCases {
  private static final List<long[]> SHAPES =
      List.of(
          new long[] {},
          new long[] {1},
          new long[] {17},
          new long[] {3, 5},
          new long[] {2, 3, 7},
          new long[] {1031},
          new long[] {0},
          new long[] {3, 0, 2});

  private final List<OpCase> cases = new ArrayList<>();

  private PrimitiveCases() {}

  /// Returns the cases in F32, with I32 ids, and BOOL conditions: what every device must run.
  public static List<OpCase> all() {
    PrimitiveCases made = new PrimitiveCases();
    made.elementwise();
    made.comparisons();
    made.moves();
    made.reductions();
    made.products();
    made.tables();
    made.conversions();
    made.randoms();
    return List.copyOf(made.cases);
  }

  /// Returns ops on types that a device may refuse: layout ops and arithmetic on I32 and BOOL, and
  /// conversions between F32 and every type.
  public static List<OpCase> ofOtherTypes() {
    PrimitiveCases made = new PrimitiveCases();
    made.integers();
    made.everyConversion();
    made.limits();
    return List.copyOf(made.cases);
  }

  /// Operands drawn anew for each case.
  private Samples samples() {
    return new Samples(cases.size());
  }

  private void elementwise() {
    for (long[] shape : SHAPES) {
      ValueType type = ValueType.f32(shape);
      cases.add(samples().of(new Constant(type, -1.5)));
      for (int dim = 0; dim < shape.length; dim++) {
        cases.add(samples().of(new Iota(type, dim)));
        cases.add(samples().of(new Iota(new ValueType(DType.I32, type.shape()), dim)));
      }
      for (Primitive op : List.of(new Neg(), new Exp(), new Tanh())) {
        cases.add(samples().normal(shape).of(op));
        cases.add(samples().wide(shape).of(op));
      }
      for (Primitive op : List.of(new Log(), new Sqrt(), new Rsqrt())) {
        cases.add(samples().positive(shape).of(op));
      }
      for (Primitive op : List.of(new Add(), new Sub(), new Mul(), new Div())) {
        cases.add(samples().normal(shape).positive(shape).of(op));
      }
      for (Primitive op : List.of(new Max(), new Min())) {
        cases.add(samples().normal(shape).normal(shape).of(op));
      }
    }
  }

  private void randoms() {
    for (long[] shape : SHAPES) {
      Primitive.Part whole = Primitive.Part.all(Shape.of(shape));
      cases.add(samples().integers(5, 6).integers(3, 4).of(new Primitive.Uniform(whole, 42, 7)));
    }
  }

  private void comparisons() {
    for (long[] shape : SHAPES) {
      cases.add(samples().coarse(shape).coarse(shape).of(new Less()));
      cases.add(samples().coarse(shape).coarse(shape).of(new Equal()));
      cases.add(samples().integers(-2, 3, shape).integers(-2, 3, shape).of(new Less()));
      cases.add(samples().integers(-2, 3, shape).integers(-2, 3, shape).of(new Equal()));
      cases.add(samples().booleans(shape).normal(shape).normal(shape).of(new Select()));
    }
  }

  private void moves() {
    cases.add(samples().normal(6, 4).of(new Reshape(Shape.of(2, 3, 4))));
    cases.add(samples().normal(1).of(new Reshape(Shape.scalar())));
    cases.add(samples().normal(0, 4).of(new Reshape(Shape.of(2, 0))));
    cases.add(samples().normal(5, 7).of(new Transpose(List.of(1, 0))));
    cases.add(samples().normal(33, 65).of(new Transpose(List.of(1, 0))));
    cases.add(samples().normal(2, 3, 4, 5).of(new Transpose(List.of(0, 2, 1, 3))));
    cases.add(samples().normal(2, 3, 5).of(new Transpose(List.of(2, 0, 1))));
    cases.add(samples().normal(2, 0, 5).of(new Transpose(List.of(2, 1, 0))));
    cases.add(samples().normal().of(new BroadcastTo(Shape.of(3, 5), List.of())));
    cases.add(samples().normal(5).of(new BroadcastTo(Shape.of(2, 3, 5), List.of(2))));
    cases.add(samples().normal(2, 3).of(new BroadcastTo(Shape.of(2, 3, 5), List.of(0, 1))));
    cases.add(samples().normal(3, 5).of(new BroadcastTo(Shape.of(2, 3, 5), List.of(1, 2))));
    cases.add(samples().normal(3, 1).of(new BroadcastTo(Shape.of(3, 5), List.of(0, 1))));
    cases.add(samples().normal(2, 5).of(new BroadcastTo(Shape.of(2, 3, 5), List.of(0, 2))));
    cases.add(samples().normal(5).of(new BroadcastTo(Shape.of(0, 5), List.of(1))));
    cases.add(samples().normal(7, 9).of(new Slice(List.of(2L, 0L), List.of(5L, 9L))));
    cases.add(samples().normal(7, 9).of(new Slice(List.of(0L, 3L), List.of(7L, 8L))));
    cases.add(samples().normal(4).of(new Slice(List.of(2L), List.of(2L))));
    cases.add(samples().normal(2, 3).normal(2, 1).normal(2, 4).of(new Concat(1)));
    cases.add(samples().normal(2, 3).normal(0, 3).normal(1, 3).of(new Concat(0)));
    cases.add(samples().normal(3).of(new Concat(0)));
  }

  private void reductions() {
    List<List<Integer>> dims =
        List.of(List.of(0), List.of(1), List.of(2), List.of(0, 1), List.of(1, 2), List.of(0, 1, 2));
    for (List<Integer> summed : dims) {
      cases.add(samples().normal(2, 12, 37).of(new ReduceSum(summed, Blocks.WHOLE)));
      cases.add(samples().normal(4, 6, 20).of(new ReduceSum(summed, new Blocks(2, 3))));
      cases.add(samples().normal(2, 3, 37).of(new ReduceMax(summed)));
    }
    cases.add(samples().normal(2, 5).of(new ReduceSum(List.of(), Blocks.WHOLE)));
    cases.add(samples().normal().of(new ReduceSum(List.of(), Blocks.WHOLE)));
    cases.add(samples().normal(70_001).of(new ReduceSum(List.of(0), Blocks.WHOLE)));
    cases.add(samples().normal(3, 2).of(new ReduceSum(List.of(1), new Blocks(1, 4))));
    cases.add(samples().normal(3, 0).of(new ReduceSum(List.of(1), Blocks.WHOLE)));
    cases.add(samples().normal(0, 3).of(new ReduceSum(List.of(0), new Blocks(1, 4))));
    cases.add(samples().normal(3, 0).of(new ReduceSum(List.of(0), Blocks.WHOLE)));
    cases.add(samples().normal(3, 0).of(new ReduceMax(List.of(1))));
  }

  private void products() {
    int[][] sizes = {
      {1, 1, 1}, {3, 5, 7}, {17, 33, 65}, {1, 130, 12}, {64, 1, 24}, {96, 24, 48}, {5, 0, 24}
    };
    for (int[] size : sizes) {
      for (Blocks blocks : List.of(Blocks.WHOLE, new Blocks(1, 4), new Blocks(3, 4))) {
        if (size[2] % blocks.outer() == 0) {
          product(size[0], size[1], size[2], blocks);
        }
      }
    }
    MatMul plain = new MatMul(false, false, Blocks.WHOLE);
    cases.add(samples().normal(2, 3, 5).normal(5, 4).of(plain));
    cases.add(samples().normal(2, 2, 3, 5).normal(4, 5).of(new MatMul(false, true, Blocks.WHOLE)));
    cases.add(samples().normal(3, 0).normal(0, 4).of(plain));
    cases.add(samples().normal(0, 3, 5).normal(5, 4).of(plain));
    cases.add(samples().normal(0, 3, 5).normal(0, 5, 4).of(plain));
  }

  private void product(int m, int n, int k, Blocks blocks) {
    for (boolean left : new boolean[] {false, true}) {
      for (boolean right : new boolean[] {false, true}) {
        MatMul op = new MatMul(left, right, blocks);
        long[] a = left ? new long[] {k, m} : new long[] {m, k};
        long[] b = right ? new long[] {n, k} : new long[] {k, n};
        cases.add(samples().normal(a).normal(b).of(op));
        cases.add(samples().normal(2, a[0], a[1]).normal(2, b[0], b[1]).of(op));
      }
    }
  }

  private void tables() {
    cases.add(samples().normal(11, 5).integers(0, 11, 2, 3).of(new Gather()));
    cases.add(samples().normal(11).integers(0, 11, 4).of(new Gather()));
    cases.add(samples().normal(11, 2, 3).integers(0, 11, 4).of(new Gather()));
    cases.add(samples().normal(11, 5).integers(0, 11).of(new Gather()));
    cases.add(samples().normal(11, 5).integers(0, 11, 0).of(new Gather()));
    cases.add(samples().integers(0, 5, 40).normal(40, 7).of(new ScatterAdd(5, Blocks.WHOLE)));
    cases.add(
        samples().integers(0, 5, 3, 8).normal(3, 8, 17).of(new ScatterAdd(6, new Blocks(3, 4))));
    cases.add(samples().integers(0, 5, 0).normal(0, 3).of(new ScatterAdd(2, Blocks.WHOLE)));
  }

  private void conversions() {
    cases.add(samples().integers(-100, 100, 19).of(new Convert(DType.F32)));
    cases.add(samples().booleans(19).of(new Convert(DType.F32)));
    cases.add(samples().normal(19).of(new Convert(DType.I32)));
  }

  private void integers() {
    cases.add(samples().of(new Constant(ValueType.i32(3, 5), -7)));
    cases.add(samples().integers(-9, 9, 5, 7).of(new Transpose(List.of(1, 0))));
    cases.add(samples().integers(-9, 9, 6).of(new Reshape(Shape.of(2, 3))));
    cases.add(samples().integers(-9, 9, 5).of(new BroadcastTo(Shape.of(5, 3), List.of(0))));
    cases.add(samples().integers(-9, 9, 5).of(new Slice(List.of(1L), List.of(4L))));
    cases.add(samples().integers(-9, 9, 5).integers(-9, 9, 2).of(new Concat(0)));
    for (Primitive op : List.of(new Add(), new Sub(), new Mul(), new Max(), new Min())) {
      cases.add(samples().integers(-9, 9, 3, 5).integers(-9, 9, 3, 5).of(op));
    }
    cases.add(samples().integers(-9, 9, 3, 5).of(new ReduceMax(List.of(1))));
    cases.add(samples().integers(-9, 9, 3, 5).of(new ReduceSum(List.of(0), Blocks.WHOLE)));
    cases.add(samples().booleans(5).of(new BroadcastTo(Shape.of(5, 3), List.of(0))));
    cases.add(samples().booleans(6).of(new Reshape(Shape.of(2, 3))));
  }

  /// Quotients, conversions and constants at and beyond what types hold.
  private void limits() {
    cases.add(
        samples()
            .numbers(DType.I32, 7, 0, -7, 7, Integer.MIN_VALUE, Integer.MIN_VALUE, -9)
            .numbers(DType.I32, 0, 0, 2, -1, -1, 0, -4)
            .of(new Div()));
    cases.add(
        samples().numbers(DType.I8, -128, -128, 5).numbers(DType.I8, -1, 0, -2).of(new Div()));
    cases.add(
        samples().numbers(DType.U8, 255, 255, 200).numbers(DType.U8, 0, 7, 255).of(new Div()));
    double infinity = Double.POSITIVE_INFINITY;
    double[] far = {Double.NaN, infinity, -infinity, 0x1p31, -0x1p31, -0x1.000002p31, 1e30f, -4e9f};
    double[] near = {Double.NaN, 127.5, 128, -129, 255.5, 256, -0.5, 32_768, -32_769, 65_504};
    for (DType to : List.of(DType.I32, DType.I16, DType.I8, DType.U8)) {
      cases.add(samples().numbers(DType.F32, far).of(new Convert(to)));
      cases.add(samples().numbers(DType.F32, near).of(new Convert(to)));
      cases.add(samples().numbers(DType.F16, Double.NaN, 2.5, -40_000, 65_504).of(new Convert(to)));
      cases.add(
          samples().numbers(DType.BF16, infinity, -infinity, 0x1p31, -0x1p20).of(new Convert(to)));
      for (double constant : new double[] {2.75, 300, -70_000, -1e12}) {
        cases.add(samples().of(new Constant(new ValueType(to, Shape.of(2)), constant)));
      }
    }
    // Just past the middle of two: what is rounded to float32 first lies in it.
    for (DType narrow : List.of(DType.BF16, DType.F16, DType.F8_E4M3, DType.F8_E5M2)) {
      int bits =
          narrow == DType.BF16 ? 8 : narrow == DType.F16 ? 11 : narrow == DType.F8_E4M3 ? 4 : 3;
      double constant = 1 + Math.scalb(1.0, -bits) + 0x1p-40;
      cases.add(samples().of(new Constant(new ValueType(narrow, Shape.of(3)), constant)));
    }
  }

  private void everyConversion() {
    for (DType dtype : DType.values()) {
      cases.add(samples().of(DType.F32, 37).of(new Convert(dtype)));
      cases.add(samples().of(dtype, 37).of(new Convert(DType.F32)));
    }
  }
}
