package dev.lockstep.device.cpu;

import dev.lockstep.device.cpu.Chain.Slot;
import dev.lockstep.device.cpu.ElementKernels.Binary;
import dev.lockstep.device.cpu.ElementKernels.Unary;
import dev.lockstep.graph.Composite;
import dev.lockstep.graph.Node;
import dev.lockstep.graph.Op;
import dev.lockstep.graph.Primitive;
import dev.lockstep.graph.Value;
import dev.lockstep.tensor.DType;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/// Turns the element-wise nodes of a [Unit] into a [Chain].
final class Links {
  private final Unit unit;
  private final KernelSet kernels;
  private final List<ChainLink> links = new ArrayList<>();
  private final List<Slot> slots = new ArrayList<>();
  private final Map<Integer, Integer> slotOf = new HashMap<>();
  private final Map<Integer, Integer> lastReads = new HashMap<>();
  private final Set<Integer> written = new HashSet<>();
  private final List<Integer> freeCells = new ArrayList<>();
  private int cells;

  private Links(Unit unit, KernelSet kernels) {
    this.unit = unit;
    this.kernels = kernels;
    unit.writes().forEach(value -> written.add(value.id()));
    for (int i = 0; i < unit.chain().size(); i++) {
      for (Value value : unit.chain().get(i).inputs()) {
        lastReads.put(value.id(), i);
      }
    }
  }

  /// Whether a node can be a link: element-wise, of float32 or between it and narrower floats.
  static boolean isLink(Node node) {
    DType to = node.outputs().getFirst().type().dtype();
    if (node.inputs().isEmpty()) {
      return false;
    }
    DType from = node.inputs().getFirst().type().dtype();
    if (node.op() instanceof Primitive.Convert) {
      return CastKernels.casts(from, to);
    }
    boolean isKnown =
        unary(node.op()) != null
            || binary(node.op()) != null
            || node.op() instanceof Composite.SwiGluGrad
            || node.op() instanceof Composite.Dropout;
    return isKnown && from == DType.F32 && to == DType.F32;
  }

  /// Whether a node fills with one number, or widens: cheaper done again than read.
  static boolean isSource(Node node) {
    if (node.outputs().getFirst().type().dtype() != DType.F32) {
      return false;
    }
    return switch (node.op()) {
      case Primitive.Constant _ -> true;
      case Primitive.BroadcastTo _ -> node.inputs().getFirst().type().shape().elements() == 1;
      case Primitive.Convert _ -> isLink(node);
      default -> false;
    };
  }

  /// Makes the chain of a unit that has one.
  static Chain chain(Unit unit, KernelSet kernels) {
    Links links = new Links(unit, kernels);
    if (unit.isProduct()) {
      links.product();
    }
    for (int i = 0; i < unit.chain().size(); i++) {
      links.add(unit.chain().get(i), i);
    }
    return new Chain(links.links, links.slots);
  }

  private void product() {
    int id = unit.product().id();
    slotOf.put(id, 0);
    slots.add(new Slot(written.contains(id) ? id : -1, 4, false, written.contains(id), 0));
  }

  private void add(Node node, int index) {
    List<Value> in = node.inputs();
    Op op = node.op();
    Unary unary = unary(op);
    Binary binary = binary(op);
    if (op instanceof Primitive.Constant(var _, double value)) {
      links.add(new ChainLink.Fill(kernels.elements(), -1, (float) value, made(node, 0)));
    } else if (op instanceof Primitive.BroadcastTo) {
      links.add(new ChainLink.Fill(kernels.elements(), in.getFirst().id(), 0f, made(node, 0)));
    } else if (op instanceof Primitive.Convert(DType to)) {
      int x = read(in.getFirst());
      DType from = in.getFirst().type().dtype();
      links.add(new ChainLink.Cast(kernels.casts(), from, to, x, made(node, 0)));
      release(in, index);
    } else if (op instanceof Composite.Dropout dropout) {
      int x = read(in.getFirst());
      int room = room();
      links.add(
          new ChainLink.Drop(
              kernels.random(),
              new Counters(dropout),
              in.get(1).id(),
              in.get(2).id(),
              x,
              made(node, 0),
              room));
      freeCells.add(slots.get(room).cell());
      release(in.subList(0, 1), index);
    } else if (op instanceof Composite.SwiGluGrad) {
      int dy = read(in.get(0));
      int gate = read(in.get(1));
      int up = read(in.get(2));
      int dgate = made(node, 0);
      links.add(new ChainLink.Gate(kernels.elements(), dy, gate, up, dgate, made(node, 1)));
      release(in, index);
    } else if (unary != null) {
      int x = read(in.getFirst());
      links.add(new ChainLink.One(kernels.elements(), unary, x, made(node, 0)));
      release(in, index);
    } else if (binary != null) {
      int a = read(in.get(0));
      int b = read(in.get(1));
      links.add(new ChainLink.Two(kernels.elements(), binary, a, b, made(node, 0)));
      release(in, index);
    } else {
      throw new IllegalStateException("no such link: op=" + op.label());
    }
  }

  /// The slot of what a link reads: made before, or in memory.
  private int read(Value value) {
    Integer known = slotOf.get(value.id());
    if (known != null) {
      return known;
    }
    slots.add(new Slot(value.id(), value.type().dtype().bytes(), true, false, -1));
    slotOf.put(value.id(), slots.size() - 1);
    return slots.size() - 1;
  }

  /// A new slot for a result: in memory if another unit reads it, else in a cell.
  private int made(Node node, int output) {
    Value value = node.outputs().get(output);
    boolean out = written.contains(value.id());
    int bytes = value.type().dtype().bytes();
    slots.add(new Slot(out ? value.id() : -1, bytes, false, out, out ? -1 : takeCell()));
    slotOf.put(value.id(), slots.size() - 1);
    return slots.size() - 1;
  }

  private int room() {
    slots.add(new Slot(-1, 4, false, false, takeCell()));
    return slots.size() - 1;
  }

  private int takeCell() {
    return freeCells.isEmpty() ? cells++ : freeCells.removeLast();
  }

  /// Frees the cells of what link `index` was the last to read.
  private void release(List<Value> in, int index) {
    for (Value value : Set.copyOf(in)) {
      Integer slot = slotOf.get(value.id());
      Integer last = lastReads.get(value.id());
      if (slot != null && last != null && last == index && slots.get(slot).cell() >= 0) {
        freeCells.add(slots.get(slot).cell());
      }
    }
  }

  private static @Nullable Unary unary(Op op) {
    return switch (op) {
      case Primitive.Neg _ -> Unary.NEG;
      case Primitive.Exp _ -> Unary.EXP;
      case Primitive.Log _ -> Unary.LOG;
      case Primitive.Tanh _ -> Unary.TANH;
      case Primitive.Sqrt _ -> Unary.SQRT;
      case Primitive.Rsqrt _ -> Unary.RSQRT;
      case Composite.Gelu _ -> Unary.GELU;
      case Composite.Silu _ -> Unary.SILU;
      default -> null;
    };
  }

  private static @Nullable Binary binary(Op op) {
    return switch (op) {
      case Primitive.Add _ -> Binary.ADD;
      case Primitive.Sub _ -> Binary.SUB;
      case Primitive.Mul _ -> Binary.MUL;
      case Primitive.Div _ -> Binary.DIV;
      case Primitive.Max _ -> Binary.MAX;
      case Primitive.Min _ -> Binary.MIN;
      case Composite.GeluGrad _ -> Binary.GELU_GRAD;
      case Composite.SiluGrad _ -> Binary.SILU_GRAD;
      case Composite.SwiGlu _ -> Binary.SWIGLU;
      default -> null;
    };
  }
}
