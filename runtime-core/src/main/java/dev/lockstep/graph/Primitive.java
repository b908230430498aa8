package dev.lockstep.graph;

import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Shape;
import java.util.Collections;
import java.util.List;

/// The closed set of ops that every device, the differentiator and the float64 reference know.
///
/// Element-wise ops take operands of equal type and shape (broadcasting is explicit, by
/// [BroadcastTo]). Sums follow the order that [Blocks] states, or for [ReduceSum] without blocks
/// the order of the extent alone.
public sealed interface Primitive extends Op {
  /// `() → type`, every element `value`.
  record Constant(ValueType type, double value) implements Primitive {}

  /// `() → type`, every element its index along `dim`.
  record Iota(ValueType type, int dim) implements Primitive {}

  /// `-x`.
  record Neg() implements Primitive {}

  /// `e^x`.
  record Exp() implements Primitive {}

  /// Natural logarithm.
  record Log() implements Primitive {}

  /// Hyperbolic tangent.
  record Tanh() implements Primitive {}

  /// Square root, correctly rounded.
  record Sqrt() implements Primitive {}

  /// `1 / sqrt(x)`: the correctly rounded quotient of 1 and the correctly rounded root.
  record Rsqrt() implements Primitive {}

  /// `a + b`.
  record Add() implements Primitive {}

  /// `a - b`.
  record Sub() implements Primitive {}

  /// `a * b`.
  record Mul() implements Primitive {}

  /// `a / b`. Of whole numbers it is cut off towards zero; over 0 it is 0, and the least number
  /// over -1 is itself.
  record Div() implements Primitive {}

  /// The greater; NaN wins.
  record Max() implements Primitive {}

  /// The lesser; NaN wins.
  record Min() implements Primitive {}

  /// `a < b` as `BOOL`.
  record Less() implements Primitive {}

  /// `a == b` as `BOOL`.
  record Equal() implements Primitive {}

  /// `(condition BOOL, a, b) → condition ? a : b`.
  record Select() implements Primitive {}

  /// The same numbers in another element type, rounded to nearest even. A float that is beyond a
  /// type of whole numbers becomes its least or greatest, NaN becomes 0. A whole number that does
  /// not fit another whole type keeps its low bits. As `BOOL` it is whether it is not 0.
  record Convert(DType to) implements Primitive {}

  /// The same elements in row-major order under another shape.
  record Reshape(Shape to) implements Primitive {}

  /// Output dimension `i` is input dimension `permutation[i]`.
  record Transpose(List<Integer> permutation) implements Primitive {
    /// Copies the list.
    public Transpose {
      permutation = List.copyOf(permutation);
    }
  }

  /// Repeats the input over new or unit dimensions: input dimension `i` becomes output dimension
  /// `dims[i]` (ascending), whose extent is equal or is repeated from 1.
  record BroadcastTo(Shape to, List<Integer> dims) implements Primitive {
    /// Copies the list.
    public BroadcastTo {
      dims = List.copyOf(dims);
    }
  }

  /// The elements with `starts[i] <= index[i] < limits[i]`.
  record Slice(List<Long> starts, List<Long> limits) implements Primitive {
    /// Copies the lists.
    public Slice {
      starts = List.copyOf(starts);
      limits = List.copyOf(limits);
    }
  }

  /// The operands one after another along `dim`.
  record Concat(int dim) implements Primitive {}

  /// Sums over `dims` (ascending), which disappear. The summed extents are seen as one, row-major;
  /// `blocks` says how that is cut and joined. Within a block: over leading dimensions (a column
  /// sum) one ascending chain; over the innermost dimension 16 strided partial sums (element `i` of
  /// the block goes to partial `i mod 16`) joined as `((p0+p8)+(p4+p12)) + …`, see the CPU device.
  record ReduceSum(List<Integer> dims, Blocks blocks) implements Primitive {
    /// Copies the list.
    public ReduceSum {
      dims = List.copyOf(dims);
    }
  }

  /// The greatest over `dims`, which disappear; NaN wins.
  record ReduceMax(List<Integer> dims) implements Primitive {
    /// Copies the list.
    public ReduceMax {
      dims = List.copyOf(dims);
    }
  }

  /// `([…, M, K], [K, N] or […, K, N]) → […, M, N]`; a transposed operand has its last two
  /// dimensions swapped. If the right operand has rank 2 and is shared, the left one's leading
  /// dimensions count as rows, unless `transposeA` is set (then both have equal leading dimensions,
  /// and rank 2 with rank 2 is the plain product). Each element is a chain of fused multiply-adds
  /// over ascending `k` inside each block of `contraction`, joined by [SumTree].
  record MatMul(boolean transposeA, boolean transposeB, Blocks contraction) implements Primitive {}

  /// `(table [V, …], ids I32 [d…]) → [d…, …]`: the rows that the ids name.
  record Gather() implements Primitive {}

  /// `(ids I32 [d…], updates [d…, C]) → [rows, C]`: adds each update into the row its id names, in
  /// index order inside each block of `order` (which cuts the flattened ids), the blocks joined by
  /// [SumTree].
  record ScatterAdd(long rows, Blocks order) implements Primitive {}

  /// `(step I32 [], lane I32 []) → F32`: numbers in [0, 1) by counter
  /// ([dev.lockstep.tensor.Philox#element]), a pure function of seed, step, tensor and the
  /// element's index among all lanes: a rank that holds a part of a tensor makes its part alone,
  /// and what is made again has the same bits.
  ///
  /// @param part which elements of a lane's tensor are made
  /// @param seed of the run
  /// @param tensor which of a program's tensors this is; another number, other randoms
  record Uniform(Part part, long seed, int tensor) implements Primitive {}

  /// A box of a larger tensor.
  ///
  /// @param whole extents of the larger tensor
  /// @param starts where the box begins in it
  /// @param shape extents of the box
  record Part(Shape whole, List<Long> starts, Shape shape) {
    /// Copies the list and checks that the box lies within.
    public Part {
      starts = List.copyOf(starts);
      boolean fits = starts.size() == whole.rank() && shape.rank() == whole.rank();
      for (int dim = 0; fits && dim < whole.rank(); dim++) {
        long end = starts.get(dim) + shape.dim(dim);
        fits = starts.get(dim) >= 0 && end <= whole.dim(dim);
      }
      if (!fits) {
        throw new IllegalArgumentException(
            "part lies outside its tensor: whole=%s, starts=%s, part=%s"
                .formatted(whole, starts, shape));
      }
    }

    /// Returns the whole tensor as a part of itself.
    public static Part all(Shape shape) {
      return new Part(shape, Collections.nCopies(shape.rank(), 0L), shape);
    }
  }

  /// Reduces over the ranks of a mesh axis; every rank gets the result. The operands are this
  /// rank's subtrees of the sum, in the order of `lanes`; all have one type, and so has the result.
  record AllReduce(String axis, ReduceOp reduceOp, LaneSplit lanes) implements Primitive {}

  /// Joins the ranks' parts along `dim`, in rank order.
  record AllGather(String axis, int ranks, int dim) implements Primitive {}

  /// Reduces over the ranks of an axis; rank `r` gets part `r` of `dim`. Operands as for
  /// [AllReduce].
  record ReduceScatter(String axis, ReduceOp reduceOp, LaneSplit lanes, int dim)
      implements Primitive {}

  /// The value of rank `root` of the axis, on every rank.
  record BroadcastFrom(String axis, int root) implements Primitive {}

  /// Returns whether this op talks to other ranks.
  default boolean isCollective() {
    return switch (this) {
      case AllReduce _, AllGather _, ReduceScatter _, BroadcastFrom _ -> true;
      case Uniform _, Constant _, Iota _, Neg _, Exp _, Log _, Tanh _, Sqrt _, Rsqrt _ -> false;
      case Add _, Sub _, Mul _, Div _, Max _, Min _, Less _, Equal _, Select _, Convert _ -> false;
      case Reshape _, Transpose _, BroadcastTo _, Slice _, Concat _ -> false;
      case ReduceSum _, ReduceMax _, MatMul _, Gather _, ScatterAdd _ -> false;
    };
  }
}
