package dev.lockstep.device;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.params.provider.Arguments.arguments;

import dev.lockstep.graph.Blocks;
import dev.lockstep.graph.Graph;
import dev.lockstep.graph.GraphBuilder;
import dev.lockstep.graph.Op;
import dev.lockstep.graph.OpCase;
import dev.lockstep.graph.Primitive.Add;
import dev.lockstep.graph.Primitive.Concat;
import dev.lockstep.graph.Primitive.MatMul;
import dev.lockstep.graph.Primitive.ReduceSum;
import dev.lockstep.graph.Primitive.ScatterAdd;
import dev.lockstep.graph.Primitive.Slice;
import dev.lockstep.graph.Samples;
import dev.lockstep.graph.SumTree;
import dev.lockstep.graph.Value;
import dev.lockstep.graph.ValueType;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;

/// The order of sums that every device must keep: a sum in blocks has the bits of its blocks summed
/// apart and joined by the tree, and a row has the same bits whatever stands beside it. Layouts
/// that split blocks or rows over ranks stand on that.
public abstract class DeviceOrderContractTest extends DeviceContract {
  static Stream<Arguments> blockedProducts() {
    return Stream.of(
        arguments(3, 5, 7, new Blocks(1, 4)),
        arguments(17, 33, 130, new Blocks(1, 4)),
        arguments(12, 24, 96, new Blocks(3, 4)),
        arguments(128, 128, 192, new Blocks(3, 64)),
        arguments(2, 3, 5, new Blocks(1, 8)));
  }

  @ParameterizedTest(name = "{0}x{1}, summed={2}, {3}")
  @MethodSource("blockedProducts")
  void aProductInBlocksIsTheJoinOfItsParts(int m, int n, int k, Blocks blocks) {
    OpCase product = new Samples(k).normal(m, k).normal(k, n).of(new MatMul(false, false, blocks));
    GraphBuilder builder = new GraphBuilder("parts");
    Value a = builder.input("in0", ValueType.f32(m, k));
    Value b = builder.input("in1", ValueType.f32(k, n));
    MatMul whole = new MatMul(false, false, Blocks.WHOLE);
    List<Value> parts = new ArrayList<>();
    for (int block = 0; block < blocks.count(); block++) {
      Value left = block(builder, a, 1, blocks, block);
      parts.add(builder.one(whole, left, block(builder, b, 0, blocks, block)));
    }
    assertSameBits(product, builder, join(builder, parts));
  }

  static Stream<Arguments> blockedSums() {
    return Stream.of(
        arguments(new long[] {5, 130}, List.of(1), 1, new Blocks(1, 4)),
        arguments(new long[] {5, 96}, List.of(1), 1, new Blocks(3, 4)),
        arguments(new long[] {24, 37}, List.of(0), 0, new Blocks(1, 4)),
        arguments(new long[] {24, 37}, List.of(0), 0, new Blocks(3, 4)),
        arguments(new long[] {3, 22, 37}, List.of(0, 1), 1, new Blocks(3, 4)),
        arguments(new long[] {3, 22}, List.of(0, 1), 1, new Blocks(3, 4)),
        arguments(new long[] {3}, List.of(0), 0, new Blocks(1, 8)));
  }

  /// @param cut the dimension that the blocks cut; those before it are the outer ones
  @ParameterizedTest(name = "dims={1}, {3}")
  @MethodSource("blockedSums")
  void aSumInBlocksIsTheJoinOfItsParts(long[] shape, List<Integer> dims, int cut, Blocks blocks) {
    OpCase sum = new Samples(shape[cut]).normal(shape).of(new ReduceSum(dims, blocks));
    GraphBuilder builder = new GraphBuilder("parts");
    Value x = builder.input("in0", ValueType.f32(shape));
    // Where outer dimensions are summed too, the cut dimension is the whole inner extent.
    Blocks along = dims.size() == 1 ? blocks : new Blocks(1, blocks.count());
    List<Value> parts = new ArrayList<>();
    for (int block = 0; block < blocks.count(); block++) {
      Value part = block(builder, x, cut, along, block);
      parts.add(builder.one(new ReduceSum(dims, Blocks.WHOLE), part));
    }
    assertSameBits(sum, builder, join(builder, parts));
  }

  @ParameterizedTest(name = "ids=[{0}, {1}], outer={0}, count={2}")
  @CsvSource({"1, 40, 4", "3, 22, 4", "2, 3, 8"})
  void embeddingGradientsInBlocksAreTheJoinOfTheirParts(int batch, int positions, int count) {
    Blocks blocks = new Blocks(batch, count);
    OpCase scatter =
        new Samples(count)
            .integers(0, 5, batch, positions)
            .normal(batch, positions, 17)
            .of(new ScatterAdd(6, blocks));
    GraphBuilder builder = new GraphBuilder("parts");
    Value ids = builder.input("in0", ValueType.i32(batch, positions));
    Value updates = builder.input("in1", ValueType.f32(batch, positions, 17));
    Blocks along = new Blocks(1, count);
    List<Value> parts = new ArrayList<>();
    for (int block = 0; block < count; block++) {
      Value part = block(builder, ids, 1, along, block);
      Value rows = block(builder, updates, 1, along, block);
      parts.add(builder.one(new ScatterAdd(6, Blocks.WHOLE), part, rows));
    }
    assertSameBits(scatter, builder, join(builder, parts));
  }

  static Stream<Arguments> rowWise() {
    return Stream.of(
        arguments(new MatMul(false, false, new Blocks(1, 4)), 33L),
        arguments(new MatMul(false, true, Blocks.WHOLE), 33L),
        arguments(new ReduceSum(List.of(1), new Blocks(1, 3)), 0L));
  }

  /// @param columns of the right operand; 0 for an op of one operand
  @ParameterizedTest(name = "{0}")
  @MethodSource("rowWise")
  void aRowDoesNotDependOnItsNeighbours(Op op, long columns) {
    long summed = 70;
    Samples samples = new Samples(1).normal(37, summed);
    if (columns > 0) {
      boolean transposed = op instanceof MatMul(boolean _, boolean b, Blocks _) && b;
      samples = transposed ? samples.normal(columns, summed) : samples.normal(summed, columns);
    }
    OpCase all = samples.of(op);
    GraphBuilder builder = new GraphBuilder("rows");
    List<Value> operands = new ArrayList<>();
    all.types().forEach(type -> operands.add(builder.input("in" + operands.size(), type)));
    Value x = operands.getFirst();
    List<Value> rows = new ArrayList<>();
    long[] borders = {0, 1, 3, 20, 37};
    for (int i = 1; i < borders.length; i++) {
      operands.set(0, slice(builder, x, 0, borders[i - 1], borders[i]));
      rows.add(builder.apply(op, operands).getFirst());
    }
    assertSameBits(all, builder, builder.apply(new Concat(0), rows).getFirst());
  }

  private void assertSameBits(OpCase whole, GraphBuilder builder, Value parts) {
    builder.output("out0", parts);
    Graph apart = builder.build();
    Map<String, double[]> inputs = whole.inputs();
    for (Device device : devices()) {
      byte[] expected = DeviceRunner.bits(device, whole.graph(), inputs).getFirst();
      assertThat(DeviceRunner.bits(device, apart, inputs).getFirst())
          .as("%s", device.info())
          .isEqualTo(expected);
    }
  }

  private static Value join(GraphBuilder builder, List<Value> parts) {
    if (parts.size() == 1) {
      return parts.getFirst();
    }
    int left = SumTree.left(parts.size());
    Value first = join(builder, parts.subList(0, left));
    return builder.one(new Add(), first, join(builder, parts.subList(left, parts.size())));
  }

  /// The elements of one block of dimension `dim`, the outer slices one after another.
  private static Value block(GraphBuilder builder, Value x, int dim, Blocks blocks, int block) {
    long extent = x.type().shape().dim(dim);
    long inner = extent / blocks.outer();
    List<Value> slices = new ArrayList<>();
    for (long outer = 0; outer < blocks.outer(); outer++) {
      long start = outer * inner + blocks.start(block, extent);
      long limit = outer * inner + blocks.start(block + 1, extent);
      slices.add(slice(builder, x, dim, start, limit));
    }
    return builder.apply(new Concat(dim), slices).getFirst();
  }

  private static Value slice(GraphBuilder builder, Value x, int dim, long start, long limit) {
    List<Long> starts = new ArrayList<>();
    List<Long> limits = new ArrayList<>();
    for (int i = 0; i < x.type().shape().rank(); i++) {
      starts.add(i == dim ? start : 0);
      limits.add(i == dim ? limit : x.type().shape().dim(i));
    }
    return builder.one(new Slice(starts, limits), x);
  }
}
