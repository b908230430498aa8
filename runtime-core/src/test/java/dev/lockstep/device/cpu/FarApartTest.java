package dev.lockstep.device.cpu;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.device.Device;
import dev.lockstep.device.Program;
import dev.lockstep.device.Stream;
import dev.lockstep.graph.Composite.Rotary;
import dev.lockstep.graph.Graph;
import dev.lockstep.graph.GraphBuilder;
import dev.lockstep.graph.Primitive;
import dev.lockstep.graph.ValueType;
import dev.lockstep.memory.Buffer;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Shape;
import dev.lockstep.tensor.Tensor;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/// What lies further apart than 32 bits count, in bytes and in elements, is computed as if it lay
/// close, to the bit: rows of few columns out of many, tokens of few heads out of many, and the
/// last rows of many. Products are in [GemmTest].
@Timeout(60)
class FarApartTest {
  private static final long ROOM = 200L << 30;

  /// Rows of a tall matrix, or columns of a wide one.
  private static final int MANY = 100_000_007;

  @TempDir Path folder;
  private FarMemory memory;

  @BeforeEach
  void open() {
    memory = new FarMemory(folder, ROOM);
  }

  @AfterEach
  void close() {
    memory.close();
  }

  /// Room for `elements` float32.
  private long far(long elements) {
    return memory.room(4 * elements).address();
  }

  @Test
  void columnsOfRowsFarApartAreSummed() {
    int rows = 37;
    int columns = 150;
    int first = MANY - columns;
    Kernels kernels = new Kernels(1);
    long scratch = kernels.room(RowKernels.columnScratchBytes(3));
    LayerNorms close = new LayerNorms(rows, columns, 1e-5f, 1, 3);
    LayerNorms wide = new LayerNorms(rows, MANY, 1e-5f, 1, 3);
    close.x = kernels.normal(rows * columns);
    close.dy = kernels.normal(rows * columns);
    wide.x = far((long) rows * MANY);
    wide.dy = far((long) rows * MANY);
    FarMemory.spread(close.x, rows, columns, wide.x + 4L * first, MANY);
    FarMemory.spread(close.dy, rows, columns, wide.dy + 4L * first, MANY);
    close.mean = kernels.normal(rows);
    close.rstd = kernels.normal(rows);
    wide.mean = close.mean;
    wide.rstd = close.rstd;
    close.dgain = kernels.zeros(columns);
    close.dbias = kernels.zeros(columns);
    wide.dgain = far(MANY);
    wide.dbias = far(MANY);
    ColumnSums closeSums = new ColumnSums(rows, columns, 1, 3);
    ColumnSums wideSums = new ColumnSums(rows, MANY, 1, 3);
    closeSums.x = close.x;
    wideSums.x = wide.x;
    closeSums.out = kernels.zeros(columns);
    wideSums.out = far(MANY);
    Kernels.all()
        .forEach(
            set -> {
              set.norms().layerNormParamGrad(close, 0, columns, scratch);
              set.norms().layerNormParamGrad(wide, first, MANY, scratch);
              same(set, wide.dgain + 4L * first, close.dgain, columns);
              same(set, wide.dbias + 4L * first, close.dbias, columns);
              set.norms().rmsNormGainGrad(close, 0, columns, scratch);
              set.norms().rmsNormGainGrad(wide, first, MANY, scratch);
              same(set, wide.dgain + 4L * first, close.dgain, columns);
              set.rows().columnSums(closeSums, 0, columns, scratch);
              set.rows().columnSums(wideSums, first, MANY, scratch);
              same(set, wideSums.out + 4L * first, closeSums.out, columns);
            });
  }

  private static void same(KernelSet set, long found, long wanted, int elements) {
    assertThat(Kernels.bits(found, elements))
        .as("%d bits", set.vectorBits())
        .isEqualTo(Kernels.bits(wanted, elements));
  }

  @Test
  void theLastOfManyRowsAreNormalised() {
    int rows = 13;
    int width = 37;
    int first = MANY - rows;
    Kernels kernels = new Kernels(2);
    long scratch = kernels.room(RowKernels.PARTIAL_BYTES);
    LayerNorms close = new LayerNorms(rows, width, 1e-5f, 1, 1);
    LayerNorms tall = new LayerNorms(MANY, width, 1e-5f, 1, 1);
    close.x = kernels.normal(rows * width);
    close.dy = kernels.normal(rows * width);
    close.gain = kernels.normal(width);
    close.bias = kernels.normal(width);
    close.y = kernels.zeros(rows * width);
    close.dx = kernels.zeros(rows * width);
    close.mean = kernels.zeros(rows);
    close.rstd = kernels.zeros(rows);
    tall.gain = close.gain;
    tall.bias = close.bias;
    tall.x = far((long) MANY * width);
    tall.dy = far((long) MANY * width);
    tall.y = far((long) MANY * width);
    tall.dx = far((long) MANY * width);
    tall.mean = far(MANY);
    tall.rstd = far(MANY);
    long offset = 4L * first * width;
    Memory.copy(close.x, tall.x + offset, 4L * rows * width);
    Memory.copy(close.dy, tall.dy + offset, 4L * rows * width);
    Kernels.all()
        .forEach(
            set -> {
              set.norms().layerNorm(close, 0, rows, scratch);
              set.norms().layerNorm(tall, first, MANY, scratch);
              same(set, tall.y + offset, close.y, rows * width);
              set.norms().layerNormGrad(close, 0, rows, scratch);
              set.norms().layerNormGrad(tall, first, MANY, scratch);
              same(set, tall.dx + offset, close.dx, rows * width);
              set.norms().rmsNorm(close, 0, rows, scratch);
              set.norms().rmsNorm(tall, first, MANY, scratch);
              same(set, tall.y + offset, close.y, rows * width);
              set.norms().rmsNormGrad(close, 0, rows, scratch);
              set.norms().rmsNormGrad(tall, first, MANY, scratch);
              same(set, tall.dx + offset, close.dx, rows * width);
            });
  }

  @Test
  void theLastOfManyRowsHaveTheirCrossEntropy() {
    int rows = 7;
    int width = 37;
    int first = MANY - rows;
    Kernels kernels = new Kernels(3);
    CrossEntropies close = new CrossEntropies(rows, width, 1, 4, 1, 1);
    CrossEntropies tall = new CrossEntropies(MANY, width, 1, 4, 1, 1);
    close.logits = kernels.normal(rows * width);
    close.targets = kernels.ints(3, -1, 36, 0, 17, 5, 20);
    close.logSumExp = kernels.zeros(rows);
    close.rowLoss = kernels.zeros(rows);
    close.dlogits = kernels.zeros(rows * width);
    tall.logits = far((long) MANY * width);
    tall.targets = far(MANY);
    tall.logSumExp = far(MANY);
    tall.rowLoss = far(MANY);
    tall.dlogits = far((long) MANY * width);
    long offset = 4L * first * width;
    Memory.copy(close.logits, tall.logits + offset, 4L * rows * width);
    Memory.copy(close.targets, tall.targets + 4L * first, 4L * rows);
    long scratch = kernels.room(close.scratchBytes());
    Kernels.all()
        .forEach(
            set -> {
              close.rows(set.rows(), 0, rows, scratch);
              tall.rows(set.rows(), first, MANY, scratch);
              same(set, tall.logSumExp + 4L * first, close.logSumExp, rows);
              same(set, tall.rowLoss + 4L * first, close.rowLoss, rows);
              set.rows().crossEntropyGrad(close, 0.5f, 0, rows, scratch);
              set.rows().crossEntropyGrad(tall, 0.5f, first, MANY, scratch);
              same(set, tall.dlogits + offset, close.dlogits, rows * width);
            });
  }

  /// Two heads of queries that share keys, out of so many that a token is gigabytes from the next.
  @Test
  void attentionOfFewHeadsOutOfManyIsTheirs() {
    int queries = 7;
    int keys = 9;
    int size = 5;
    int groups = 60_000_007;
    var span = new Attention.Span(queries, keys, 2);
    Attention close = Attention.grouped(1, span, new Attention.Heads(2, 1, size), 2);
    Attention wide = Attention.grouped(1, span, new Attention.Heads(2 * groups, groups, size), 2);
    Kernels kernels = new Kernels(4);
    close.q = kernels.normal(queries * 2 * size);
    close.k = kernels.normal(keys * size);
    close.v = kernels.normal(keys * size);
    close.dout = kernels.normal(queries * 2 * size);
    close.out = kernels.zeros(queries * 2 * size);
    close.dq = kernels.zeros(queries * 2 * size);
    close.dk = kernels.zeros(keys * size);
    close.dv = kernels.zeros(keys * size);
    close.logSumExp = kernels.zeros(2 * queries);
    long queryWidth = 2L * groups * size;
    long keyWidth = (long) groups * size;
    wide.q = far(queries * queryWidth);
    wide.k = far(keys * keyWidth);
    wide.v = far(keys * keyWidth);
    wide.dout = far(queries * queryWidth);
    wide.out = far(queries * queryWidth);
    wide.dq = far(queries * queryWidth);
    wide.dk = far(keys * keyWidth);
    wide.dv = far(keys * keyWidth);
    wide.logSumExp = far(2L * groups * queries);
    int group = groups - 1;
    long q = 8L * group * size;
    long k = 4L * group * size;
    FarMemory.spread(close.q, queries, 2 * size, wide.q + q, queryWidth);
    FarMemory.spread(close.k, keys, size, wide.k + k, keyWidth);
    FarMemory.spread(close.v, keys, size, wide.v + k, keyWidth);
    FarMemory.spread(close.dout, queries, 2 * size, wide.dout + q, queryWidth);
    Kernels.all()
        .forEach(
            set -> {
              attend(set, kernels, close, 0);
              attend(set, kernels, wide, group);
              same(set, wide.logSumExp + 8L * group * queries, close.logSumExp, 2 * queries);
              sameRows(set, kernels, wide.out + q, close.out, queries, 2 * size, queryWidth);
              sameRows(set, kernels, wide.dq + q, close.dq, queries, 2 * size, queryWidth);
              sameRows(set, kernels, wide.dk + k, close.dk, keys, size, keyWidth);
              sameRows(set, kernels, wide.dv + k, close.dv, keys, size, keyWidth);
            });
  }

  private static void attend(KernelSet set, Kernels kernels, Attention call, int group) {
    AttentionKernels attention = set.attention();
    attention.forward(call, group, kernels.room(attention.forwardScratchBytes(call)));
    attention.backward(call, group, kernels.room(attention.backwardScratchBytes(call)));
  }

  private static void sameRows(
      KernelSet set, Kernels kernels, long found, long wanted, int rows, int width, long apart) {
    long close = FarMemory.gather(kernels, found, rows, width, apart);
    same(set, close, wanted, rows * width);
  }

  @Test
  void theLastOfManyTokensAreTurned() {
    int tokens = 5;
    Kernels kernels = new Kernels(5);
    Rotation close = new Rotation(2, tokens, 3, new Rotary(6, 10_000, MANY - tokens, false));
    Rotation tall = new Rotation(2, MANY, 3, new Rotary(6, 10_000, 0, false));
    int each = tokens * 18;
    close.x = kernels.normal(2 * each);
    close.out = kernels.zeros(2 * each);
    tall.x = far(2L * MANY * 18);
    tall.out = far(2L * MANY * 18);
    long last = 4L * (MANY - tokens) * 18;
    long apart = 4L * MANY * 18;
    Memory.copy(close.x, tall.x + last, 4L * each);
    Memory.copy(close.x + 4L * each, tall.x + apart + last, 4L * each);
    long scratch = kernels.room(close.scratchBytes());
    Kernels.all()
        .forEach(
            set -> {
              close.rotate(set.elements(), 0, tokens, scratch);
              tall.rotate(set.elements(), MANY - tokens, MANY, scratch);
              same(set, tall.out + last, close.out, each);
              same(set, tall.out + apart + last, close.out + 4L * each, each);
            });
  }

  @Test
  void gradientsAreAddedIntoTheLastOfManyRows() {
    int ids = 29;
    int rows = 3;
    int width = 19;
    Kernels kernels = new Kernels(6);
    Embedding close = new Embedding(ids, rows, width, 1, 4);
    Embedding tall = new Embedding(ids, MANY, width, 1, 4);
    close.idsAt = kernels.ints(IntStream.range(0, ids).map(i -> i * 7 % rows).toArray());
    close.updates = kernels.normal(ids * width);
    tall.updates = close.updates;
    close.table = kernels.zeros(rows * width);
    tall.table = far((long) MANY * width);
    close.lists = kernels.room(close.listBytes());
    tall.lists = memory.room(tall.listBytes()).address();
    close.list();
    // The lists of the last three rows, and what follows each of their updates.
    Memory.copy(close.lists, tall.lists + 4L * (MANY - rows), 4L * rows);
    Memory.copy(close.lists + 4L * rows, tall.lists + 4L * MANY, 4L * ids);
    long scratch = kernels.room(close.scratchBytes());
    Kernels.all()
        .forEach(
            set -> {
              close.add(set.elements(), 0, rows, scratch);
              tall.add(set.elements(), MANY - rows, MANY, scratch);
              same(set, tall.table + 4L * (MANY - rows) * width, close.table, rows * width);
            });
  }

  @Test
  void columnsAreCutOutOfRowsFarApart() {
    Shape wide = Shape.of(29, MANY);
    Shape cut = Shape.of(29, 37);
    long start = MANY - 40;
    Tensor from = tensor(DType.F32, wide);
    Kernels kernels = new Kernels(7);
    long numbers = kernels.normal(29 * 37);
    FarMemory.spread(numbers, 29, 37, from.segment().address() + 4 * start, MANY);
    var slice = new Primitive.Slice(List.of(0L, start), List.of(29L, start + 37));
    Tensor to = tensor(DType.F32, cut);
    run(slice, Map.of("in0", from, "out", to));
    assertThat(Kernels.bits(to.segment().address(), 29 * 37))
        .isEqualTo(Kernels.bits(numbers, 29 * 37));
  }

  @Test
  void rowsFarApartAreGathered() {
    Tensor table = tensor(DType.F32, Shape.of(700_000_001, 5));
    Tensor ids = tensor(DType.I32, Shape.of(4));
    Tensor to = tensor(DType.F32, Shape.of(4, 5));
    int[] named = {700_000_000, 0, 430_000_000, 214_748_365};
    Kernels kernels = new Kernels(8);
    long numbers = kernels.normal(20);
    for (int i = 0; i < named.length; i++) {
      ids.segment().setAtIndex(ValueLayout.JAVA_INT, i, named[i]);
      Memory.copy(numbers + 20L * i, table.segment().address() + 20L * named[i], 20);
    }
    run(new Primitive.Gather(), Map.of("in0", table, "in1", ids, "out", to));
    assertThat(Kernels.bits(to.segment().address(), 20)).isEqualTo(Kernels.bits(numbers, 20));
  }

  private Tensor tensor(DType dtype, Shape shape) {
    MemorySegment segment = memory.room(shape.elements() * dtype.bytes());
    Buffer buffer = FarMemory.buffer(segment);
    return Tensor.of(buffer, dtype, shape);
  }

  private static void run(Primitive op, Map<String, Tensor> tensors) {
    GraphBuilder builder = new GraphBuilder("far");
    var operands =
        IntStream.range(0, tensors.size() - 1)
            .mapToObj(i -> "in" + i)
            .map(name -> builder.input(name, type(tensors, name)))
            .toList();
    builder.output("out", builder.apply(op, operands).getFirst());
    Graph graph = builder.build();
    try (Device device = GraphRun.device(2, 0);
        Program program = device.compile(graph);
        Stream stream = device.newStream()) {
      stream.run(program.bind(tensors));
    }
  }

  private static ValueType type(Map<String, Tensor> tensors, String name) {
    Tensor tensor = tensors.get(name);
    if (tensor == null) {
      throw new IllegalArgumentException("no such tensor: tensor=" + name);
    }
    return new ValueType(tensor.dtype(), tensor.shape());
  }
}
