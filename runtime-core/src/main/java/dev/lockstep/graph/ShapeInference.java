package dev.lockstep.graph;

import dev.lockstep.graph.Composite.AdamW;
import dev.lockstep.graph.Composite.CausalAttention;
import dev.lockstep.graph.Composite.CausalAttentionGrad;
import dev.lockstep.graph.Composite.CrossEntropy;
import dev.lockstep.graph.Composite.CrossEntropyGrad;
import dev.lockstep.graph.Composite.Dropout;
import dev.lockstep.graph.Composite.Gelu;
import dev.lockstep.graph.Composite.GeluGrad;
import dev.lockstep.graph.Composite.GroupedAttention;
import dev.lockstep.graph.Composite.GroupedAttentionGrad;
import dev.lockstep.graph.Composite.LayerNorm;
import dev.lockstep.graph.Composite.LayerNormGrad;
import dev.lockstep.graph.Composite.Linear;
import dev.lockstep.graph.Composite.RmsNorm;
import dev.lockstep.graph.Composite.RmsNormGrad;
import dev.lockstep.graph.Composite.Rotary;
import dev.lockstep.graph.Composite.Silu;
import dev.lockstep.graph.Composite.SiluGrad;
import dev.lockstep.graph.Composite.SquaredNorm;
import dev.lockstep.graph.Composite.SwiGlu;
import dev.lockstep.graph.Composite.SwiGluGrad;
import dev.lockstep.graph.Primitive.Add;
import dev.lockstep.graph.Primitive.AllGather;
import dev.lockstep.graph.Primitive.AllReduce;
import dev.lockstep.graph.Primitive.BroadcastFrom;
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
import dev.lockstep.graph.Primitive.ReduceScatter;
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
import dev.lockstep.graph.Primitive.Uniform;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Shape;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/// Result types of an op from its operands' types; refuses operands that do not fit, naming op and
/// types.
public final class ShapeInference {
  private final Op op;
  private final List<ValueType> in;

  private ShapeInference(Op op, List<ValueType> in) {
    this.op = op;
    this.in = in;
  }

  /// Returns the types of the results of `op` on operands of the types `in`.
  ///
  /// @throws IllegalArgumentException if the operands do not fit
  public static List<ValueType> infer(Op op, List<ValueType> in) {
    ShapeInference inference = new ShapeInference(op, List.copyOf(in));
    return switch (op) {
      case Primitive primitive -> List.of(inference.primitive(primitive));
      case Composite composite -> inference.composite(composite);
    };
  }

  private ValueType primitive(Primitive primitive) {
    return switch (primitive) {
      case Constant(ValueType type, double _) -> operands(0, type);
      case Iota(ValueType type, int dim) -> {
        require(dim >= 0 && dim < type.shape().rank(), "dim lies outside the shape");
        yield operands(0, type);
      }
      case Neg _, Exp _, Log _, Tanh _, Sqrt _, Rsqrt _ -> elementwise(1);
      case Add _, Sub _, Mul _, Div _, Max _, Min _ -> elementwise(2);
      case Less _, Equal _ -> new ValueType(DType.BOOL, elementwise(2).shape());
      case Select _ -> select();
      case Convert(DType to) -> new ValueType(to, elementwise(1).shape());
      case Reshape(Shape to) -> reshape(to);
      case Transpose(List<Integer> permutation) -> transpose(permutation);
      case BroadcastTo(Shape to, List<Integer> dims) -> broadcast(to, dims);
      case Slice(List<Long> starts, List<Long> limits) -> slice(starts, limits);
      case Concat(int dim) -> concat(dim);
      case ReduceSum(List<Integer> dims, Blocks blocks) -> reduceSum(dims, blocks);
      case ReduceMax(List<Integer> dims) -> reduced(dims);
      case MatMul matMul -> matMul(matMul);
      case Gather _ -> gather();
      case ScatterAdd(long rows, Blocks order) -> scatterAdd(rows, order);
      case Uniform uniform -> {
        arity(2);
        require(in.stream().allMatch(ValueType.i32()::equals), "takes step and lane, both I32[]");
        yield new ValueType(DType.F32, uniform.part().shape());
      }
      case AllReduce _ -> contributions();
      case AllGather(String _, int ranks, int dim) -> scaled(arity(1).getFirst(), dim, ranks, 1);
      case ReduceScatter(String _, ReduceOp _, LaneSplit lanes, int dim) ->
          scaled(contributions(), dim, 1, lanes.ranks().size());
      case BroadcastFrom _ -> arity(1).getFirst();
    };
  }

  private List<ValueType> composite(Composite composite) {
    return switch (composite) {
      case Linear linear -> List.of(linear(linear));
      case Gelu _, Silu _ -> List.of(f32(elementwise(1)));
      case GeluGrad _, SiluGrad _, SwiGlu _ -> List.of(f32(elementwise(2)));
      case Dropout dropout -> {
        ValueType x = f32(arity(3).getFirst());
        require(infer(dropout.random(), in.subList(1, 3)).contains(x), "part must be of x's shape");
        yield List.of(x);
      }
      case SwiGluGrad _ -> List.of(f32(elementwise(3)), in.getFirst());
      case RmsNorm _ -> rmsNorm();
      case RmsNormGrad(Blocks tokens) -> rmsNormGrad(tokens);
      case Rotary rotary -> rotary(rotary);
      case GroupedAttention attention -> groupedAttention(attention);
      case GroupedAttentionGrad gradient -> groupedAttentionGrad(gradient);
      case LayerNorm _ -> layerNorm();
      case LayerNormGrad(Blocks tokens) -> layerNormGrad(tokens);
      case CausalAttention(int heads) -> attention(heads);
      case CausalAttentionGrad(int heads, Blocks _) -> attentionGrad(heads);
      case CrossEntropy(Blocks tokens, Blocks vocabulary) -> crossEntropy(tokens, vocabulary);
      case CrossEntropyGrad _ -> crossEntropyGrad();
      case SquaredNorm(List<Composite.Split> splits) -> squaredNorm(splits);
      case AdamW _ -> adamW();
    };
  }

  private ValueType operands(int count, ValueType result) {
    arity(count);
    return result;
  }

  private List<ValueType> arity(int count) {
    require(in.size() == count, "takes " + count + " operands");
    return in;
  }

  private ValueType elementwise(int count) {
    arity(count);
    require(in.stream().allMatch(in.getFirst()::equals), "operands must have one type");
    return in.getFirst();
  }

  private ValueType f32(ValueType type) {
    require(type.dtype() == DType.F32, "operands must be F32");
    return type;
  }

  private ValueType select() {
    arity(3);
    require(
        in.get(0).dtype() == DType.BOOL
            && in.get(1).equals(in.get(2))
            && in.get(0).shape().equals(in.get(1).shape()),
        "takes a BOOL condition and two operands of one type and the same shape");
    return in.get(1);
  }

  private ValueType reshape(Shape to) {
    ValueType from = arity(1).getFirst();
    require(from.shape().elements() == to.elements(), "must keep the number of elements");
    return new ValueType(from.dtype(), to);
  }

  private ValueType transpose(List<Integer> permutation) {
    ValueType from = arity(1).getFirst();
    int rank = from.shape().rank();
    require(
        permutation.size() == rank && permutation.stream().distinct().count() == rank,
        "must permute every dimension once");
    long[] dims = new long[rank];
    for (int i = 0; i < rank; i++) {
      dims[i] = from.shape().dim(requireDim(permutation.get(i), rank));
    }
    return new ValueType(from.dtype(), Shape.of(dims));
  }

  private ValueType broadcast(Shape to, List<Integer> dims) {
    ValueType from = arity(1).getFirst();
    require(dims.size() == from.shape().rank(), "must place every input dimension");
    int previous = -1;
    for (int i = 0; i < dims.size(); i++) {
      int dim = requireDim(dims.get(i), to.rank());
      require(dim > previous, "must place dimensions in ascending order");
      long extent = from.shape().dim(i);
      require(extent == to.dim(dim) || extent == 1, "extents must be equal or 1");
      previous = dim;
    }
    return new ValueType(from.dtype(), to);
  }

  private ValueType slice(List<Long> starts, List<Long> limits) {
    ValueType from = arity(1).getFirst();
    int rank = from.shape().rank();
    require(starts.size() == rank && limits.size() == rank, "must bound every dimension");
    long[] dims = new long[rank];
    for (int i = 0; i < rank; i++) {
      long start = starts.get(i);
      long limit = limits.get(i);
      require(0 <= start && start <= limit && limit <= from.shape().dim(i), "lies outside");
      dims[i] = limit - start;
    }
    return new ValueType(from.dtype(), Shape.of(dims));
  }

  private ValueType concat(int dim) {
    require(!in.isEmpty(), "takes at least one operand");
    ValueType first = in.getFirst();
    requireDim(dim, first.shape().rank());
    long extent = 0;
    for (ValueType part : in) {
      require(
          part.dtype() == first.dtype()
              && part.shape().rank() == first.shape().rank()
              && part.shape().with(dim, 0).equals(first.shape().with(dim, 0)),
          "operands must agree but for the joined dimension");
      extent += part.shape().dim(dim);
    }
    return new ValueType(first.dtype(), first.shape().with(dim, extent));
  }

  private ValueType reduceSum(List<Integer> dims, Blocks blocks) {
    ValueType result = reduced(dims);
    long summed = 1;
    for (int dim : dims) {
      summed *= in.getFirst().shape().dim(dim);
    }
    require(summed % blocks.outer() == 0, "summed extent must be a multiple of blocks.outer");
    return result;
  }

  private ValueType reduced(List<Integer> dims) {
    ValueType from = arity(1).getFirst();
    int rank = from.shape().rank();
    List<Long> kept = new ArrayList<>();
    for (int i = 0; i < rank; i++) {
      if (!dims.contains(i)) {
        kept.add(from.shape().dim(i));
      }
    }
    dims.forEach(dim -> requireDim(dim, rank));
    require(dims.stream().sorted().distinct().toList().equals(dims), "dims must ascend");
    return new ValueType(from.dtype(), Shape.of(kept));
  }

  private ValueType matMul(MatMul matMul) {
    ValueType left = arity(2).get(0);
    ValueType right = in.get(1);
    int rank = left.shape().rank();
    require(left.dtype() == right.dtype() && left.dtype().isFloat(), "operands must be one float");
    require(rank >= 2 && right.shape().rank() >= 2, "operands must be matrices");
    boolean shared = right.shape().rank() == 2 && rank > 2;
    require(!shared || !matMul.transposeA(), "a transposed left operand needs equal batches");
    require(shared || right.shape().rank() == rank, "operands must have equal batches");
    long m = left.shape().dim(matMul.transposeA() ? -1 : -2);
    long k = left.shape().dim(matMul.transposeA() ? -2 : -1);
    long rightK = right.shape().dim(matMul.transposeB() ? -1 : -2);
    long n = right.shape().dim(matMul.transposeB() ? -2 : -1);
    require(k == rightK, "summed extents differ: " + k + " and " + rightK);
    require(k % matMul.contraction().outer() == 0, "summed extent must be a multiple of outer");
    for (int i = 0; !shared && i < rank - 2; i++) {
      require(left.shape().dim(i) == right.shape().dim(i), "operands must have equal batches");
    }
    return new ValueType(left.dtype(), left.shape().with(rank - 2, m).with(rank - 1, n));
  }

  private ValueType gather() {
    ValueType table = arity(2).get(0);
    ValueType ids = in.get(1);
    require(ids.dtype() == DType.I32 && table.shape().rank() >= 1, "takes a table and I32 ids");
    return new ValueType(table.dtype(), joined(ids.shape(), table.shape(), 1));
  }

  private ValueType scatterAdd(long rows, Blocks order) {
    ValueType ids = arity(2).get(0);
    ValueType updates = in.get(1);
    int rank = ids.shape().rank();
    require(
        ids.dtype() == DType.I32
            && updates.shape().rank() == rank + 1
            && joined(ids.shape(), updates.shape(), rank).equals(updates.shape()),
        "takes I32 ids [d…] and updates [d…, C]");
    require(ids.shape().elements() % order.outer() == 0, "ids must be a multiple of outer");
    return new ValueType(updates.dtype(), Shape.of(rows, updates.shape().dim(-1)));
  }

  private static Shape joined(Shape front, Shape back, int skip) {
    long[] tail = back.dims();
    long[] dims = Arrays.copyOf(front.dims(), front.rank() + tail.length - skip);
    System.arraycopy(tail, skip, dims, front.rank(), tail.length - skip);
    return Shape.of(dims);
  }

  private ValueType contributions() {
    require(!in.isEmpty(), "takes at least one contribution");
    return elementwise(in.size());
  }

  private ValueType scaled(ValueType type, int dim, long times, long over) {
    requireDim(dim, type.shape().rank());
    long extent = type.shape().dim(dim) * times;
    require(extent % over == 0, "extent must be a multiple of the ranks");
    return new ValueType(type.dtype(), type.shape().with(dim, extent / over));
  }

  private ValueType linear(Linear linear) {
    ValueType bias = arity(3).get(2);
    MatMul product = new MatMul(false, linear.transposeWeight(), linear.contraction());
    ValueType result = infer(product, in.subList(0, 2)).getFirst();
    require(bias.equals(vector(result)), "bias must be [N]");
    return f32(result);
  }

  /// The type of one row of `type`.
  private ValueType vector(ValueType type) {
    require(type.shape().rank() >= 1, "takes at least one dimension");
    return new ValueType(type.dtype(), Shape.of(type.shape().dim(-1)));
  }

  /// The type of one number per row of `type`.
  private ValueType perRow(ValueType type) {
    require(type.shape().rank() >= 1, "takes at least one dimension");
    long[] dims = type.shape().dims();
    return new ValueType(DType.F32, Shape.of(Arrays.copyOf(dims, dims.length - 1)));
  }

  private List<ValueType> layerNorm() {
    ValueType x = f32(arity(3).get(0));
    require(
        in.get(1).equals(vector(x)) && in.get(2).equals(vector(x)), "gain and bias must be [C]");
    return List.of(x, perRow(x), perRow(x));
  }

  private List<ValueType> layerNormGrad(Blocks tokens) {
    ValueType x = f32(arity(5).get(1));
    require(in.get(0).equals(x) && in.get(2).equals(vector(x)), "takes dy, x and gain [C]");
    require(in.get(3).equals(perRow(x)) && in.get(4).equals(perRow(x)), "takes mean and rstd");
    require(perRow(x).shape().elements() % tokens.outer() == 0, "rows must be a multiple of outer");
    return List.of(x, vector(x), vector(x));
  }

  private List<ValueType> rmsNorm() {
    ValueType x = f32(arity(2).get(0));
    require(in.get(1).equals(vector(x)), "gain must be [C]");
    return List.of(x, perRow(x));
  }

  private List<ValueType> rmsNormGrad(Blocks tokens) {
    ValueType x = f32(arity(4).get(1));
    require(
        in.get(0).equals(x) && in.get(2).equals(vector(x)) && in.get(3).equals(perRow(x)),
        "takes dy, x, gain [C] and rstd");
    require(perRow(x).shape().elements() % tokens.outer() == 0, "rows must be a multiple of outer");
    return List.of(x, vector(x));
  }

  private List<ValueType> rotary(Rotary rotary) {
    ValueType x = f32(arity(1).getFirst());
    int size = rotary.size();
    require(
        size > 0 && size % 2 == 0 && x.shape().rank() == 3 && x.shape().dim(2) % size == 0,
        "takes [B, T, heads · size] with an even size");
    require(rotary.firstPosition() >= 0 && rotary.base() > 0, "positions start at 0 or later");
    return List.of(x);
  }

  private List<ValueType> groupedAttention(GroupedAttention op) {
    ValueType q = f32(arity(3).getFirst());
    Shape keys = f32(in.get(1)).shape();
    int groups = op.keyValueHeads();
    require(
        groups > 0 && op.heads() > 0 && op.heads() % groups == 0,
        "heads must be a multiple of key/value heads");
    require(
        q.shape().rank() == 3
            && keys.rank() == 3
            && q.shape().dim(2) % op.heads() == 0
            && keys.dim(0) == q.shape().dim(0)
            && keys.dim(2) == q.shape().dim(2) / op.heads() * groups
            && in.get(2).equals(in.get(1)),
        "takes q [B, T, heads · size], k and v [B, K, key/value heads · size]");
    require(
        op.firstQuery() >= 0 && op.firstQuery() + q.shape().dim(1) <= keys.dim(1),
        "every query must have its own key");
    return List.of(q, ValueType.f32(q.shape().dim(0), op.heads(), q.shape().dim(1)));
  }

  private List<ValueType> groupedAttentionGrad(GroupedAttentionGrad op) {
    var attention = new GroupedAttention(op.heads(), op.keyValueHeads(), op.firstQuery());
    List<ValueType> forward = infer(attention, arity(6).subList(1, 4));
    require(
        in.get(0).equals(forward.get(0))
            && in.get(4).equals(forward.get(0))
            && in.get(5).equals(forward.get(1))
            && in.get(0).shape().dim(1) % op.queries().outer() == 0,
        "takes dout, q, k, v, out and logSumExp");
    return in.subList(1, 4);
  }

  private List<ValueType> attention(int heads) {
    Shape qkv = f32(arity(1).getFirst()).shape();
    require(qkv.rank() == 3 && qkv.dim(2) % (3L * heads) == 0, "takes [B, T, 3 · heads · size]");
    return List.of(
        ValueType.f32(qkv.dim(0), qkv.dim(1), qkv.dim(2) / 3),
        ValueType.f32(qkv.dim(0), heads, qkv.dim(1)));
  }

  private List<ValueType> attentionGrad(int heads) {
    ValueType qkv = arity(4).get(1);
    List<ValueType> forward = infer(new CausalAttention(heads), List.of(qkv));
    require(
        in.get(0).equals(forward.get(0))
            && in.get(2).equals(forward.get(0))
            && in.get(3).equals(forward.get(1)),
        "takes dout, qkv, out and logSumExp");
    return List.of(qkv);
  }

  private List<ValueType> crossEntropy(Blocks tokens, Blocks vocabulary) {
    ValueType logits = f32(arity(2).get(0));
    requireTargets(logits, in.get(1));
    require(
        perRow(logits).shape().elements() % tokens.outer() == 0
            && logits.shape().dim(-1) % vocabulary.outer() == 0,
        "extents must be multiples of outer");
    return List.of(ValueType.f32(), ValueType.f32(), perRow(logits));
  }

  private List<ValueType> crossEntropyGrad() {
    ValueType logits = f32(arity(4).get(1));
    require(in.get(0).equals(ValueType.f32()), "the loss's gradient must be F32[]");
    requireTargets(logits, in.get(2));
    require(in.get(3).equals(perRow(logits)), "takes logSumExp per row");
    return List.of(logits);
  }

  private void requireTargets(ValueType logits, ValueType targets) {
    require(
        targets.equals(new ValueType(DType.I32, perRow(logits).shape())),
        "targets must be I32, one per row");
  }

  private List<ValueType> squaredNorm(List<Composite.Split> splits) {
    require(!in.isEmpty() && splits.size() == in.size(), "takes one split per operand");
    for (int i = 0; i < in.size(); i++) {
      Shape shape = f32(in.get(i)).shape();
      Composite.Split split = splits.get(i);
      if (!split.equals(Composite.Split.NONE)) {
        requireDim(split.dim(), shape.rank());
        require(shape.dim(split.dim()) % split.blocks().outer() == 0, "extent must fit outer");
      }
    }
    return List.of(ValueType.f32());
  }

  private List<ValueType> adamW() {
    ValueType parameter = f32(arity(7).getFirst());
    for (int i = 1; i < 7; i++) {
      ValueType wanted = i < 4 ? parameter : ValueType.f32();
      require(in.get(i).equals(wanted), "takes param, grad, m, v and three F32 scalars");
    }
    return List.of(parameter, parameter, parameter);
  }

  private int requireDim(int dim, int rank) {
    require(dim >= 0 && dim < rank, "dimension lies outside: dim=" + dim);
    return dim;
  }

  private void require(boolean holds, String rule) {
    if (!holds) {
      throw new IllegalArgumentException(
          "operands do not fit: op=" + op + ", operands=" + in + " (" + rule + ")");
    }
  }
}
