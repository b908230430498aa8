package dev.lockstep.device.cuda;

import dev.lockstep.graph.Composite;
import dev.lockstep.graph.Node;
import dev.lockstep.graph.Op;
import dev.lockstep.graph.Primitive;
import dev.lockstep.graph.Value;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Shape;
import java.util.List;
import java.util.Locale;

/// Element-wise ops as expressions of CUDA C++, by the functions of `math.cuh` and `types.cuh` that
/// the kernels of single ops use too: the bits are the same.
final class ElementOps {
  private ElementOps() {}

  /// Whether a node computes each element of its results from the same element of its operands, and
  /// has an expression.
  static boolean isLink(Node node) {
    if (node.inputs().isEmpty()) {
      return false;
    }
    DType from = node.inputs().getFirst().type().dtype();
    return switch (node.op()) {
      case Primitive.Convert(DType to) -> converts(from, to);
      case Primitive.Select _ -> isHeld(node.outputs().getFirst().type().dtype());
      case Primitive.Neg _, Primitive.Exp _, Primitive.Log _ -> from == DType.F32;
      case Primitive.Tanh _, Primitive.Sqrt _, Primitive.Rsqrt _ -> from == DType.F32;
      case Primitive.Add _, Primitive.Sub _, Primitive.Mul _ -> from == DType.F32;
      case Primitive.Div _, Primitive.Max _, Primitive.Min _ -> from == DType.F32;
      case Primitive.Less _, Primitive.Equal _ -> from == DType.F32;
      case Composite.Gelu _, Composite.GeluGrad _ -> true;
      case Composite.Silu _, Composite.SiluGrad _ -> true;
      case Composite.SwiGlu _, Composite.SwiGluGrad _ -> true;
      case Primitive _, Composite _ -> false;
    };
  }

  /// Whether a node fills, widens or repeats: cheaper done again by each reader than read.
  static boolean isSource(Node node) {
    Value out = node.outputs().getFirst();
    return switch (node.op()) {
      case Primitive.Constant _ -> isHeld(out.type().dtype());
      case Primitive.Convert(DType to) -> to == DType.F32 && isLink(node);
      case Primitive.BroadcastTo(Shape to, List<Integer> dims) ->
          isHeld(out.type().dtype()) && repeats(node.inputs().getFirst().type().shape(), to, dims);
      case Primitive _, Composite _ -> false;
    };
  }

  /// Whether a broadcast repeats the whole of its operand, one behind the other.
  private static boolean repeats(Shape from, Shape to, List<Integer> dims) {
    boolean repeated = false;
    int input = dims.size() - 1;
    for (int dim = to.rank() - 1; dim >= 0; dim--) {
      long extent = 1;
      if (input >= 0 && dims.get(input) == dim) {
        extent = from.dim(input--);
      }
      if (extent != to.dim(dim)) {
        repeated = true;
      } else if (repeated && extent != 1) {
        return false;
      }
    }
    return input < 0;
  }

  private static boolean converts(DType from, DType to) {
    return (from == DType.F32) != (to == DType.F32) && isHeld(from) && isHeld(to);
  }

  /// Whether a kernel holds elements of a type as they are.
  private static boolean isHeld(DType dtype) {
    return switch (dtype) {
      case F32, BF16, F16, F8_E4M3FN, F8_E4M3, F8_E5M2, BOOL -> true;
      case F64, I64, I32, I16, I8, U8 -> false;
    };
  }

  /// Returns the type of CUDA C++ that holds an element.
  static String type(DType dtype) {
    return switch (dtype.bytes()) {
      case 4 -> "float";
      case 2 -> "unsigned short";
      default -> "unsigned char";
    };
  }

  /// Returns the element whose bits are in the `unsigned` of this name.
  static String literal(DType dtype, String bits) {
    return dtype == DType.F32 ? "__int_as_float((int)" + bits + ")" : bits;
  }

  /// Returns a link's, a widening's or a repetition's results as expressions of its operands.
  static List<String> expressions(Node node, List<String> in) {
    return switch (node.op()) {
      case Primitive.Convert(DType to) ->
          List.of(convert(node.inputs().getFirst().type().dtype(), to).formatted(in.getFirst()));
      case Primitive.BroadcastTo _ -> List.of(in.getFirst());
      case Primitive.Neg _ -> List.of("-" + in.getFirst());
      case Primitive.Add _ -> infix(in, "+");
      case Primitive.Sub _ -> infix(in, "-");
      case Primitive.Mul _ -> infix(in, "*");
      case Primitive.Div _ -> infix(in, "/");
      case Primitive.Less _ -> infix(in, "<");
      case Primitive.Equal _ -> infix(in, "==");
      case Primitive.Select _ -> List.of("%s ? %s : %s".formatted(in.get(0), in.get(1), in.get(2)));
      case Primitive.Sqrt _ -> List.of("sqrtf(" + in.getFirst() + ")");
      case Composite.SwiGlu _ -> List.of("ls_silu(%s) * %s".formatted(in.get(0), in.get(1)));
      case Composite.SwiGluGrad _ ->
          List.of(
              "ls_silu_grad(%s * %s, %s)".formatted(in.get(0), in.get(2), in.get(1)),
              "%s * ls_silu(%s)".formatted(in.get(0), in.get(1)));
      case Primitive _, Composite _ ->
          List.of("ls_%s(%s)".formatted(name(node.op()), String.join(", ", in)));
    };
  }

  private static List<String> infix(List<String> in, String sign) {
    return List.of("%s %s %s".formatted(in.get(0), sign, in.get(1)));
  }

  private static String convert(DType from, DType to) {
    if (to == DType.F32) {
      return from == DType.BOOL
          ? "(float)(signed char)%s"
          : "ls_from_" + Lowering.name(from) + "(%s)";
    }
    return to == DType.BOOL ? "%s != 0.0f" : "ls_to_" + Lowering.name(to) + "(%s)";
  }

  /// Returns what a kernel that computes an op is called after; nothing for what fills or repeats.
  static String name(Op op) {
    return switch (op) {
      case Primitive.Constant _, Primitive.BroadcastTo _ -> "";
      case Primitive.Convert(DType to) -> Lowering.name(to);
      case Composite.GeluGrad _ -> "gelu_grad";
      case Composite.SiluGrad _ -> "silu_grad";
      case Composite.SwiGluGrad _ -> "swiglu_grad";
      case Primitive _, Composite _ -> op.label().toLowerCase(Locale.ROOT);
    };
  }
}
