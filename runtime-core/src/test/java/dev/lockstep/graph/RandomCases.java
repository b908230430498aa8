package dev.lockstep.graph;

import dev.lockstep.graph.Composite.AdamW;
import dev.lockstep.graph.Composite.CrossEntropy;
import dev.lockstep.graph.Composite.Gelu;
import dev.lockstep.graph.Composite.GeluGrad;
import dev.lockstep.graph.Composite.GroupedAttention;
import dev.lockstep.graph.Composite.Linear;
import dev.lockstep.graph.Composite.Rotary;
import dev.lockstep.graph.Composite.Silu;
import dev.lockstep.graph.Composite.SiluGrad;
import dev.lockstep.graph.Composite.Split;
import dev.lockstep.graph.Composite.SquaredNorm;
import dev.lockstep.graph.Composite.SwiGlu;
import dev.lockstep.graph.Composite.SwiGluGrad;
import dev.lockstep.graph.Primitive.BroadcastTo;
import dev.lockstep.graph.Primitive.Concat;
import dev.lockstep.graph.Primitive.Convert;
import dev.lockstep.graph.Primitive.MatMul;
import dev.lockstep.graph.Primitive.Part;
import dev.lockstep.graph.Primitive.ReduceMax;
import dev.lockstep.graph.Primitive.ReduceSum;
import dev.lockstep.graph.Primitive.ScatterAdd;
import dev.lockstep.graph.Primitive.Slice;
import dev.lockstep.graph.Primitive.Transpose;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Shape;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.SplittableRandom;
import java.util.stream.IntStream;
import java.util.stream.LongStream;

/// Every op once on a shape drawn from a seed: extents that are no multiple of a vector or a tile,
/// now and then one that is 0, and for most ops so many elements that several threads get some.
public final class RandomCases {
  private static final int ZERO_IN = 25;
  private static final List<DType> NARROW =
      List.of(DType.BF16, DType.F16, DType.F8_E4M3FN, DType.F8_E4M3, DType.F8_E5M2);

  private final SplittableRandom random;
  private final CompositeCases composites;
  private final List<OpCase> cases = new ArrayList<>();

  private RandomCases(long seed) {
    random = new SplittableRandom(seed);
    composites = new CompositeCases(random.nextLong());
  }

  /// Returns the cases of a seed.
  public static List<OpCase> of(long seed) {
    RandomCases made = new RandomCases(seed);
    made.elementwise();
    made.conversions();
    made.moves();
    made.reductions();
    made.products();
    made.tables();
    made.updates();
    made.composites();
    made.cases.addAll(made.composites.made());
    return List.copyOf(made.cases);
  }

  private Samples samples() {
    return new Samples(random.nextLong());
  }

  /// An extent up to `most`, not a multiple of 16.
  private int odd(int most) {
    int extent = random.nextInt(1, most + 1);
    return extent % 16 == 0 ? extent - 1 : extent;
  }

  /// Such an extent, or rarely 0.
  private int some(int most) {
    return random.nextInt(ZERO_IN) == 0 ? 0 : odd(most);
  }

  private int between(int least, int most) {
    return random.nextInt(least, most + 1);
  }

  private Blocks blocks(long outer) {
    return new Blocks(outer, between(1, 6));
  }

  /// Two dimensions, of every third up to some 80,000 elements: ten tiles of element-wise work.
  private long[] matrix() {
    boolean isLarge = random.nextInt(3) == 0;
    return isLarge ? new long[] {between(240, 290), odd(290)} : new long[] {some(60), odd(150)};
  }

  private void elementwise() {
    for (Op op : List.of(new Primitive.Neg(), new Primitive.Exp(), new Primitive.Tanh())) {
      cases.add(samples().normal(matrix()).of(op));
    }
    for (Op op : List.of(new Primitive.Log(), new Primitive.Sqrt(), new Primitive.Rsqrt())) {
      cases.add(samples().positive(matrix()).of(op));
    }
    for (Op op :
        List.of(
            new Primitive.Add(), new Primitive.Sub(), new Primitive.Mul(), new Primitive.Div())) {
      long[] shape = matrix();
      cases.add(samples().normal(shape).positive(shape).of(op));
    }
    for (Op op :
        List.of(
            new Primitive.Max(),
            new Primitive.Min(),
            new Primitive.Less(),
            new Primitive.Equal())) {
      long[] shape = matrix();
      cases.add(samples().coarse(shape).coarse(shape).of(op));
    }
    long[] shape = matrix();
    cases.add(samples().booleans(shape).normal(shape).normal(shape).of(new Primitive.Select()));
    for (Op op : List.of(new Gelu(), new Silu())) {
      cases.add(samples().normal(matrix()).of(op));
    }
    for (Op op : List.of(new GeluGrad(), new SiluGrad(), new SwiGlu())) {
      long[] both = matrix();
      cases.add(samples().normal(both).normal(both).of(op));
    }
    long[] gates = matrix();
    cases.add(samples().normal(gates).normal(gates).normal(gates).of(new SwiGluGrad()));
    cases.add(samples().of(new Primitive.Constant(ValueType.f32(matrix()), 0.75)));
    cases.add(samples().of(new Primitive.Iota(ValueType.f32(matrix()), between(0, 1))));
    Part part = Part.all(Shape.of(matrix()));
    cases.add(samples().integers(5, 9).integers(3, 9).of(new Primitive.Uniform(part, 42, 7)));
    composites.dropout(0.3f, Part.all(Shape.of(matrix())), between(1, 9), between(0, 9));
  }

  private void conversions() {
    for (DType dtype : NARROW) {
      cases.add(samples().of(DType.F32, matrix()).of(new Convert(dtype)));
      cases.add(samples().of(dtype, matrix()).of(new Convert(DType.F32)));
    }
    cases.add(samples().integers(-100, 100, matrix()).of(new Convert(DType.F32)));
  }

  private void moves() {
    long[] dims = {some(30), odd(40), odd(50)};
    List<Integer> order = new ArrayList<>(List.of(0, 1, 2));
    Collections.shuffle(order, new java.util.Random(random.nextLong()));
    cases.add(samples().normal(dims).of(new Transpose(order)));
    List<Long> starts = LongStream.of(dims).mapToObj(d -> random.nextLong(d + 1)).toList();
    List<Long> limits =
        IntStream.range(0, 3)
            .mapToObj(i -> starts.get(i) + random.nextLong(dims[i] - starts.get(i) + 1))
            .toList();
    cases.add(samples().normal(dims).of(new Slice(starts, limits)));
    int dim = between(0, 2);
    Samples parts = samples();
    for (int i = between(1, 4); i > 0; i--) {
      long[] part = dims.clone();
      part[dim] = some(30);
      parts.normal(part);
    }
    cases.add(parts.of(new Concat(dim)));
    int kept = between(0, 2);
    cases.add(samples().normal(dims[kept]).of(new BroadcastTo(Shape.of(dims), List.of(kept))));
  }

  private void reductions() {
    List<List<Integer>> choices =
        List.of(List.of(0), List.of(1), List.of(2), List.of(0, 1), List.of(1, 2), List.of(0, 2));
    for (int round = 0; round < 2; round++) {
      long[] dims = {some(40), odd(40), odd(70)};
      List<Integer> summed = choices.get(random.nextInt(choices.size()));
      long outer = dims[summed.getFirst()] == 0 ? 1 : dims[summed.getFirst()];
      Blocks blocks = blocks(summed.size() > 1 ? outer : 1);
      cases.add(samples().normal(dims).of(new ReduceSum(summed, blocks)));
      cases.add(samples().normal(dims).of(new ReduceMax(summed)));
    }
    cases.add(samples().normal(odd(900), odd(130)).of(new ReduceSum(List.of(1), blocks(1))));
    cases.add(samples().normal(odd(130), odd(900)).of(new ReduceSum(List.of(0), blocks(1))));
  }

  private void products() {
    for (boolean left : new boolean[] {false, true}) {
      for (boolean right : new boolean[] {false, true}) {
        int outer = between(1, 3);
        long m = some(150);
        long n = odd(150);
        long k = (long) outer * odd(40);
        MatMul op = new MatMul(left, right, blocks(outer));
        long[] a = left ? new long[] {k, m} : new long[] {m, k};
        long[] b = right ? new long[] {n, k} : new long[] {k, n};
        cases.add(samples().normal(a).normal(b).of(op));
        long batch = between(1, 3);
        cases.add(samples().normal(batch, a[0], a[1]).normal(batch, b[0], b[1]).of(op));
      }
    }
    long k = odd(120);
    long n = odd(150);
    boolean turned = random.nextBoolean();
    Samples linear = samples().normal(between(1, 3), some(70), k);
    linear = turned ? linear.normal(n, k) : linear.normal(k, n);
    cases.add(linear.normal(n).of(new Linear(turned, blocks(1))));
  }

  private void tables() {
    int rows = odd(900);
    long width = odd(70);
    cases.add(
        samples().normal(rows, width).integers(0, rows, some(900)).of(new Primitive.Gather()));
    long outer = between(1, 3);
    long ids = outer * some(300);
    cases.add(
        samples()
            .integers(0, rows, ids)
            .normal(ids, width)
            .of(new ScatterAdd(rows, blocks(outer))));
  }

  private void updates() {
    long[] shape = matrix();
    cases.add(
        samples()
            .normal(shape)
            .normal(shape)
            .normal(shape)
            .positive(shape)
            .scalar(1e-3f)
            .scalar(between(1, 1_000))
            .scalar(0.25)
            .of(new AdamW(0.9f, 0.999f, 1e-8f, 0.1f)));
    Samples squared = samples();
    List<Split> splits = new ArrayList<>();
    for (int i = between(2, 9); i > 0; i--) {
      int dim = between(0, 1);
      long[] dims = {some(200), odd(200)};
      squared.normal(dims);
      splits.add(random.nextBoolean() ? Split.NONE : new Split(dim, blocks(1)));
    }
    cases.add(squared.of(new SquaredNorm(splits)));
  }

  private void composites() {
    long batch = between(1, 4);
    long tokens = some(60);
    Blocks sums = blocks(batch);
    composites.layerNorm(new long[] {batch, tokens, 4 + odd(130)}, sums);
    composites.rmsNorm(new long[] {batch, tokens, 4 + odd(130)}, sums);
    composites.crossEntropy(
        odd(300), new long[] {batch, tokens}, new CrossEntropy(sums, blocks(1)));
    int size = 2 * odd(15);
    int heads = between(1, 4);
    cases.add(
        samples()
            .normal(batch, tokens, (long) heads * size)
            .of(new Rotary(size, 10_000, between(0, 99), random.nextBoolean())));
    composites.attention(batch, odd(70), (long) heads * odd(40), heads);
    int groups = between(1, 3);
    long queries = odd(70);
    long first = random.nextBoolean() ? 0 : odd(30);
    composites.groupedAttention(
        new long[] {batch, queries, queries + first},
        new GroupedAttention(groups * between(1, 3), groups, first),
        odd(40));
  }
}
