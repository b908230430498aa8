package dev.lockstep.device.cpu;

import dev.lockstep.device.cpu.ElementKernels.Binary;
import dev.lockstep.device.cpu.ElementKernels.Unary;
import dev.lockstep.graph.Composite;
import dev.lockstep.graph.Primitive;
import dev.lockstep.graph.Primitive.Constant;
import dev.lockstep.graph.Primitive.Iota;
import dev.lockstep.graph.Value;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Shape;
import java.util.List;

/// Turns a unit of a graph into the step that computes it.
final class Lowering {
  private final KernelSet kernels;
  private final int threads;
  private final Unit unit;
  private final List<Value> in;
  private final Value out;

  private Lowering(Unit unit, KernelSet kernels, int threads) {
    this.kernels = kernels;
    this.threads = threads;
    this.unit = unit;
    this.in = unit.node().inputs();
    this.out = unit.writes().getFirst();
  }

  /// Returns the step of `unit`, whose op is supported.
  static Step step(Unit unit, KernelSet kernels, int threads) {
    if (!unit.chain().isEmpty() && !unit.isProduct()) {
      long elements = unit.writes().getFirst().type().shape().elements();
      return new ChainStep(Links.chain(unit, kernels), elements);
    }
    Lowering lowering = new Lowering(unit, kernels, threads);
    return switch (unit.node().op()) {
      case Primitive primitive -> lowering.primitive(primitive);
      case Composite composite -> lowering.composites().step(composite);
    };
  }

  private CompositeLowering composites() {
    return new CompositeLowering(unit, kernels, threads);
  }

  private Step primitive(Primitive primitive) {
    return switch (primitive) {
      case Constant(var type, double value) ->
          new ScalarStep.Fill(type.dtype(), value, out.id(), elements());
      case Iota(var type, int dim) -> iota(type.dtype(), dim);
      case Primitive.Uniform uniform ->
          new RandomStep(new Counters(uniform), new RandomStep.Values(id(0), id(1), -1, out.id()));
      case Primitive.Neg _ -> neg();
      case Primitive.Exp _ -> unary(Unary.EXP);
      case Primitive.Log _ -> unary(Unary.LOG);
      case Primitive.Tanh _ -> unary(Unary.TANH);
      case Primitive.Sqrt _ -> unary(Unary.SQRT);
      case Primitive.Rsqrt _ -> unary(Unary.RSQRT);
      case Primitive.Add _ -> binary(Binary.ADD);
      case Primitive.Sub _ -> binary(Binary.SUB);
      case Primitive.Mul _ -> binary(Binary.MUL);
      case Primitive.Div _ -> binary(Binary.DIV);
      case Primitive.Max _ -> binary(Binary.MAX);
      case Primitive.Min _ -> binary(Binary.MIN);
      case Primitive.Less _ -> compare(true);
      case Primitive.Equal _ -> compare(false);
      case Primitive.Select _ ->
          new ScalarStep.Choose(itemBytes(out), id(0), id(1), id(2), out.id(), elements());
      case Primitive.Convert(DType to) ->
          new ScalarStep.Cast(in.get(0).type().dtype(), to, id(0), out.id(), elements());
      case Primitive.Reshape _ -> throw new IllegalStateException("a reshape is a view: " + out);
      case Primitive.Transpose _, Primitive.BroadcastTo _, Primitive.Slice _, Primitive.Concat _ ->
          new LayoutLowering(in, out).step(primitive);
      case Primitive.ReduceSum _, Primitive.ReduceMax _ ->
          new ReduceLowering(in.get(0), out).step(primitive);
      case Primitive.MatMul(boolean a, boolean b, var blocks) ->
          CompositeLowering.gemm(unit, a, b, blocks, -1, kernels, threads);
      case Primitive.Gather _ -> gather();
      case Primitive.ScatterAdd(long rows, var order) ->
          new TableStep.ScatterAdd(
              id(0),
              id(1),
              out.id(),
              Extents.of(in.get(0).type().shape().elements()),
              Extents.of(rows),
              Extents.last(in.get(1).type().shape()),
              order);
      case Primitive.AllReduce _,
          Primitive.AllGather _,
          Primitive.ReduceScatter _,
          Primitive.BroadcastFrom _ ->
          throw new IllegalStateException("collectives are the host's: op=" + primitive.label());
    };
  }

  private int id(int operand) {
    return in.get(operand).id();
  }

  private long elements() {
    return out.type().shape().elements();
  }

  static int itemBytes(Value value) {
    return value.type().dtype().bytes();
  }

  private Step iota(DType dtype, int dim) {
    Shape shape = out.type().shape();
    long step = 1;
    for (int i = dim + 1; i < shape.rank(); i++) {
      step *= shape.dim(i);
    }
    return new ScalarStep.Index(dtype, shape.dim(dim), step, out.id(), elements());
  }

  private Step neg() {
    return unit.isAll(DType.F32)
        ? unary(Unary.NEG)
        : new ScalarStep.Whole(out.type().dtype(), Binary.SUB, -1, id(0), out.id(), elements());
  }

  private Step unary(Unary op) {
    return ElementStep.of(op, id(0), out.id(), elements());
  }

  private Step binary(Binary op) {
    return unit.isAll(DType.F32)
        ? ElementStep.of(op, id(0), id(1), out.id(), elements())
        : new ScalarStep.Whole(out.type().dtype(), op, id(0), id(1), out.id(), elements());
  }

  private Step compare(boolean less) {
    DType dtype = in.get(0).type().dtype();
    return new ScalarStep.Compare(dtype, less, id(0), id(1), out.id(), elements());
  }

  private Step gather() {
    Shape table = in.get(0).type().shape();
    long rows = table.dim(0);
    long rowBytes = itemBytes(out);
    for (int dim = 1; dim < table.rank(); dim++) {
      rowBytes *= table.dim(dim);
    }
    int ids = Extents.of(in.get(1).type().shape().elements());
    return new TableStep.Gather(id(0), id(1), out.id(), ids, Extents.of(rows), rowBytes);
  }
}
