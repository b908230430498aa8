package dev.lockstep.device;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import com.sun.management.ThreadMXBean;
import dev.lockstep.failure.MemoryBudgetException;
import dev.lockstep.graph.Blocks;
import dev.lockstep.graph.Closeness;
import dev.lockstep.graph.Composite;
import dev.lockstep.graph.Graph;
import dev.lockstep.graph.GraphBuilder;
import dev.lockstep.graph.Primitive.Add;
import dev.lockstep.graph.Primitive.Constant;
import dev.lockstep.graph.Primitive.Exp;
import dev.lockstep.graph.Primitive.Gather;
import dev.lockstep.graph.Primitive.MatMul;
import dev.lockstep.graph.Primitive.Mul;
import dev.lockstep.graph.Primitive.Reshape;
import dev.lockstep.graph.Primitive.Sub;
import dev.lockstep.graph.Primitive.Transpose;
import dev.lockstep.graph.ReferenceInterpreter;
import dev.lockstep.graph.Value;
import dev.lockstep.graph.ValueType;
import dev.lockstep.memory.Buffer;
import dev.lockstep.memory.MemoryPool;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Shape;
import dev.lockstep.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.management.ManagementFactory;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicReference;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// What every device must promise about memory: who owns it, what may be bound, when it may be
/// closed, and what the budget allows.
public abstract class DeviceMemoryContractTest extends DeviceContract {
  private static final Map<String, double[]> NUMBERS =
      Map.of("x", new double[] {1, 2, 3}, "y", new double[] {10, 20, 30});

  /// `sum = x + y`, `product = x · y`.
  private static Graph pair() {
    GraphBuilder builder = new GraphBuilder("pair");
    Value x = builder.input("x", ValueType.f32(3));
    Value y = builder.input("y", ValueType.f32(3));
    builder.output("sum", builder.one(new Add(), x, y));
    builder.output("product", builder.one(new Mul(), x, y));
    return builder.build();
  }

  /// A product that takes a while.
  private static Graph heavy() {
    GraphBuilder builder = new GraphBuilder("heavy");
    Value x = builder.input("x", ValueType.f32(384, 384));
    Value y = x;
    for (int i = 0; i < 8; i++) {
      y = builder.one(new MatMul(false, false, Blocks.WHOLE), y, x);
    }
    builder.output("y", y);
    return builder.build();
  }

  @ParameterizedTest
  @ValueSource(longs = {0, 1, 63, 64, 4096, 100_001})
  void allocatesZeroedMemory(long bytes) {
    try (Buffer own = device().allocate("own", bytes);
        Buffer shared = device().allocateShared("shared", bytes);
        Stream stream = device().newStream();
        Arena arena = Arena.ofConfined()) {
      assertThat(own.name()).isEqualTo("own");
      for (Buffer buffer : new Buffer[] {own, shared}) {
        assertThat(buffer.bytes()).isEqualTo(bytes);
        assertThat(buffer.registration().bytes()).isEqualTo(bytes);
        MemorySegment copy = arena.allocate(bytes, 64).fill((byte) 1);
        stream.copyOut(copy, Tensor.of(buffer, DType.U8, Shape.of(bytes)));
        assertThat(copy.mismatch(arena.allocate(bytes, 64))).isEqualTo(-1);
        if (device().info().hostAddressable()) {
          assertThat(buffer.segment().byteSize()).isEqualTo(bytes);
          assertThat(bytes == 0 ? 0 : buffer.segment().address() % 64).isZero();
        }
      }
    }
  }

  @Test
  void copiesIntoAndOutOfPartsOfABuffer() {
    try (Buffer buffer = device().allocate("part", 64);
        Stream stream = device().newStream();
        Arena arena = Arena.ofConfined()) {
      Tensor part = new Tensor(buffer, 8, DType.F32, Shape.of(2));
      stream.copyIn(part, HostElements.encode(arena, new double[] {1.5, -2}, DType.F32));
      MemorySegment all = arena.allocate(64, 64);
      stream.copyOut(all, Tensor.of(buffer, DType.F32, Shape.of(16)));
      double[] expected = new double[16];
      expected[2] = 1.5;
      expected[3] = -2;
      assertThat(HostElements.decode(all, DType.F32)).isEqualTo(expected);
      assertThatThrownBy(() -> stream.copyIn(part, all))
          .isInstanceOf(IllegalArgumentException.class);
      assertThatThrownBy(() -> stream.copyOut(all, part))
          .isInstanceOf(IllegalArgumentException.class);
    }
  }

  /// @param pinned whether the host memory is pinned
  @ParameterizedTest(name = "pinned={0}")
  @ValueSource(booleans = {false, true})
  void preparedCopiesAreStartedAgainAndAgain(boolean pinned) {
    try (Buffer buffer = device().allocate("numbers", 64);
        Stream stream = device().newStream();
        Arena arena = Arena.ofConfined()) {
      MemorySegment host = arena.allocate(64, 64);
      Tensor all = Tensor.of(buffer, DType.F32, Shape.of(16));
      try (HostPin _ = pinned ? device().pin(host) : () -> {}) {
        MemorySegment half = host.asSlice(32, 32);
        try (HostCopy in = stream.prepareCopyIn(all, host);
            HostCopy out =
                stream.prepareCopyOut(half, new Tensor(buffer, 0, DType.F32, Shape.of(8)))) {
          for (int round = 0; round < 3; round++) {
            host.copyFrom(HostElements.encode(arena, numbers(round), DType.F32));
            in.start();
            in.await();
            out.start();
            out.await();
            assertThat(out.isDone()).isTrue();
            assertThat(half.mismatch(host.asSlice(0, 32))).isEqualTo(-1);
          }
        }
      }
      assertThatThrownBy(() -> stream.prepareCopyOut(host.asSlice(0, 8), all).start())
          .isInstanceOf(IllegalArgumentException.class);
    }
  }

  private static double[] numbers(int first) {
    return IntStream.range(first, first + 16).asDoubleStream().toArray();
  }

  @Test
  void refusesToCloseABufferThatIsLeased() {
    Buffer buffer = device().allocate("leased", 16);
    buffer.acquire();
    assertThatThrownBy(buffer::close)
        .isInstanceOf(IllegalStateException.class)
        .hasMessageContaining("leased");
    assertThat(buffer.isClosed()).isFalse();
    buffer.release();
    buffer.close();
    buffer.close();
    assertThat(buffer.isClosed()).isTrue();
    assertThatThrownBy(buffer::acquire).isInstanceOf(IllegalStateException.class);
  }

  /// A thread runs a program again and again while this one tries to close a buffer of it: the try
  /// is either refused or makes the next run fail, and nothing crashes.
  @Test
  void refusesToCloseABufferWhileAProgramRuns() throws InterruptedException {
    boolean refused = false;
    for (int round = 0; round < 50 && !refused; round++) {
      try (DeviceRunner runner = new DeviceRunner(device(), heavy())) {
        CountDownLatch started = new CountDownLatch(1);
        AtomicBoolean enough = new AtomicBoolean();
        AtomicReference<Throwable> failure = new AtomicReference<>();
        Thread worker =
            Thread.ofPlatform().start(() -> runUntilClosed(runner, started, enough, failure));
        started.await();
        // Later from round to round, so that one of them meets a run.
        for (int spin = 0; spin < round * 10_000; spin++) {
          Thread.onSpinWait();
        }
        refused = closeUnlessRefused(runner.tensor("x").buffer());
        enough.set(refused);
        worker.join();
        if (refused) {
          assertThat(failure.get()).isNull();
          runner.tensor("x").buffer().close();
        } else {
          assertThat(failure.get()).isInstanceOf(IllegalStateException.class);
        }
      }
    }
    assertThat(refused).as("a close that met a running program").isTrue();
  }

  private static void runUntilClosed(
      DeviceRunner runner,
      CountDownLatch started,
      AtomicBoolean enough,
      AtomicReference<Throwable> failure) {
    started.countDown();
    try {
      while (!enough.get()) {
        runner.run();
      }
    } catch (IllegalStateException closed) {
      failure.set(closed);
    }
  }

  private static boolean closeUnlessRefused(Buffer buffer) {
    try {
      buffer.close();
      return false;
    } catch (IllegalStateException leased) {
      return true;
    }
  }

  @Test
  void refusesToRunOnAClosedBufferAndRunsOnOnOthers() {
    try (DeviceRunner closed = new DeviceRunner(device(), pair());
        DeviceRunner open = new DeviceRunner(device(), pair())) {
      closed.tensor("y").buffer().close();
      assertThatThrownBy(closed::run)
          .isInstanceOf(IllegalStateException.class)
          .hasMessageContaining("y");
      // The refused run left no lease behind.
      closed.tensor("x").buffer().close();
      closed.tensor("sum").buffer().close();
      open.set(NUMBERS);
      open.run();
      assertThat(open.get("sum")).isEqualTo(new double[] {11, 22, 33});
    }
  }

  @Test
  void refusesTensorsThatDoNotFitTheGraph() {
    try (DeviceRunner runner = new DeviceRunner(device(), pair());
        Buffer other = device().allocate("other", 64)) {
      Map<String, Tensor> tensors = runner.tensors();
      Tensor kept = tensors.remove("sum");
      assertBindFails(runner, tensors, "sum");
      tensors.put("sum", kept);
      tensors.put("unknown", kept);
      assertBindFails(runner, tensors, "unknown");
      tensors.remove("unknown");
      tensors.put("x", Tensor.of(other, DType.F32, Shape.of(4)));
      assertBindFails(runner, tensors, "x");
      tensors.put("x", Tensor.of(other, DType.I32, Shape.of(3)));
      assertBindFails(runner, tensors, "x");
    }
  }

  private static void assertBindFails(
      DeviceRunner runner, Map<String, Tensor> tensors, String name) {
    assertThatThrownBy(() -> runner.program().bind(tensors))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining(name);
  }

  @Test
  void bindsOneProgramToSeveralSetsOfTensors() {
    try (DeviceRunner first = new DeviceRunner(device(), pair());
        DeviceRunner second = new DeviceRunner(device(), pair())) {
      first.set(NUMBERS);
      second.set(Map.of("x", new double[] {0, 0, 1}, "y", new double[] {4, 5, 6}));
      BoundProgram other = first.program().bind(second.tensors());
      first.stream().run(other);
      first.run();
      assertThat(second.get("sum")).isEqualTo(new double[] {4, 5, 7});
      assertThat(first.get("sum")).isEqualTo(new double[] {11, 22, 33});
    }
  }

  @Test
  void bindsOneTensorToSeveralInputs() {
    try (DeviceRunner runner = new DeviceRunner(device(), pair())) {
      runner.set(NUMBERS);
      Map<String, Tensor> tied = runner.tensors();
      tied.put("y", runner.tensor("x"));
      runner.stream().run(runner.program().bind(tied));
      runner.stream().synchronize();
      assertThat(runner.get("sum")).isEqualTo(new double[] {2, 4, 6});
      assertThat(runner.get("product")).isEqualTo(new double[] {1, 4, 9});
    }
  }

  @Test
  void leavesInputsAsTheyAre() {
    try (DeviceRunner runner = new DeviceRunner(device(), pair())) {
      runner.set(NUMBERS);
      runner.run();
      assertThat(runner.get("x")).isEqualTo(NUMBERS.get("x"));
      assertThat(runner.get("y")).isEqualTo(NUMBERS.get("y"));
    }
  }

  /// Each output reads both old values although it takes the memory of one of them.
  @Test
  void updatesInPlaceFromOldValues() {
    GraphBuilder builder = new GraphBuilder("in place");
    Value x = builder.input("x", ValueType.f32(3));
    Value y = builder.input("y", ValueType.f32(3));
    Value sum = builder.one(new Add(), x, y);
    builder.outputInto("newX", sum, "x");
    builder.outputInto("newY", builder.one(new Sub(), x, y), "y");
    builder.output("late", builder.one(new Mul(), builder.one(new Mul(), x, y), sum));
    try (DeviceRunner runner = new DeviceRunner(device(), builder.build())) {
      runner.set(NUMBERS);
      runner.run();
      assertThat(runner.get("x")).isEqualTo(new double[] {11, 22, 33});
      assertThat(runner.get("y")).isEqualTo(new double[] {-9, -18, -27});
      assertThat(runner.get("late")).isEqualTo(new double[] {110, 880, 2970});
      runner.run();
      assertThat(runner.get("x")).isEqualTo(new double[] {2, 4, 6});
      assertThat(runner.get("y")).isEqualTo(new double[] {20, 40, 60});
    }
  }

  /// Of two results that may both take the place of one operand, one does, read or not.
  @Test
  void aResultThatNothingReadsSharesNoMemory() {
    GraphBuilder builder = new GraphBuilder("unread");
    Value gate = builder.input("gate", ValueType.f32(2, 2));
    Transpose turns = new Transpose(List.of(1, 0));
    Value d = builder.one(turns, builder.input("d", ValueType.f32(2, 2)));
    Value gradient = builder.apply(new Composite.SwiGluGrad(), List.of(d, gate, d)).getFirst();
    builder.output("gradient", builder.one(turns, gradient));
    Graph graph = builder.build();
    Map<String, double[]> inputs =
        Map.of("gate", new double[] {1, -2, 3, -4}, "d", new double[] {5, 6, 7, 8});
    double[] expected = ReferenceInterpreter.run(graph, inputs).getFirst();
    double[] found = DeviceRunner.run(device(), graph, inputs).getFirst();
    Closeness.assertClose(found, expected, 1e-5);
  }

  @Test
  void anAliasedOutputNeedsNoTensorAndTakesNoOther() {
    GraphBuilder builder = new GraphBuilder("in place");
    Value x = builder.input("x", ValueType.f32(3));
    builder.outputInto("newX", builder.one(new Add(), x, x), "x");
    try (DeviceRunner runner = new DeviceRunner(device(), builder.build());
        Buffer other = device().allocate("other", 12)) {
      runner.set("x", new double[] {1, 2, 3});
      Map<String, Tensor> tensors = runner.tensors();
      tensors.remove("newX");
      runner.stream().run(runner.program().bind(tensors));
      assertThat(runner.get("x")).isEqualTo(new double[] {2, 4, 6});
      tensors.put("newX", Tensor.of(other, DType.F32, Shape.of(3)));
      assertBindFails(runner, tensors, "newX");
    }
  }

  @Test
  void refusesAnOutputInMemoryOfAnotherTensor() {
    GraphBuilder builder = new GraphBuilder("apart");
    Value x = builder.input("x", ValueType.f32(8));
    Value y = builder.input("y", ValueType.f32(8));
    builder.outputInto("newX", builder.one(new Add(), x, y), "x");
    builder.output("product", builder.one(new Mul(), x, y));
    builder.output("difference", builder.one(new Sub(), x, y));
    try (DeviceRunner runner = new DeviceRunner(device(), builder.build());
        Buffer both = device().allocate("both", 64)) {
      Map<String, Tensor> tensors = runner.tensors();
      tensors.put("product", runner.tensor("x"));
      assertBindFails(runner, tensors, "output=product, other=x");
      tensors.put("product", eightFrom(both, 0));
      tensors.put("difference", eightFrom(both, 28));
      assertBindFails(runner, tensors, "output=difference, other=product");
      tensors.put("difference", eightFrom(both, 32));
      runner.program().bind(tensors);
      tensors.putAll(Map.of("y", runner.tensor("x"), "newX", runner.tensor("x")));
      assertBindFails(runner, tensors, "output=newX, other=y");
    }
  }

  private static Tensor eightFrom(Buffer buffer, long offset) {
    return new Tensor(buffer, offset, DType.F32, Shape.of(8));
  }

  @Test
  void refusesIdsOutsideTheTableAndGoesOn() {
    GraphBuilder builder = new GraphBuilder("lookup");
    Value table = builder.input("table", ValueType.f32(4, 2));
    Value ids = builder.input("ids", ValueType.i32(2));
    builder.output("rows", builder.one(new Gather(), table, ids));
    try (DeviceRunner runner = new DeviceRunner(device(), builder.build())) {
      runner.set("table", new double[] {0, 1, 2, 3, 4, 5, 6, 7});
      for (double wrong : new double[] {-1, 4, Integer.MAX_VALUE, Integer.MIN_VALUE}) {
        runner.set("ids", new double[] {0, wrong});
        assertThatThrownBy(runner::run)
            .isInstanceOf(IndexOutOfBoundsException.class)
            .hasMessageContaining(Long.toString((long) wrong));
      }
      runner.set("ids", new double[] {3, 1});
      runner.run();
      assertThat(runner.get("rows")).isEqualTo(new double[] {6, 7, 2, 3});
    }
  }

  @Test
  void anEventIsDoneWhenItsWorkIs() {
    try (DeviceRunner runner = new DeviceRunner(device(), pair())) {
      runner.set(NUMBERS);
      runner.start();
      Event event = runner.stream().record();
      event.await();
      assertThat(event.isDone()).isTrue();
      assertThat(runner.get("product")).isEqualTo(new double[] {10, 40, 90});
    }
  }

  @Test
  void keepsToTheBudget() {
    Variant variant = variants().getFirst();
    try (MemoryPool pool = MemoryPool.root("small", 1 << 20);
        Device device = open(variant, pool)) {
      long before = pool.usedBytes();
      MemoryBudgetException refused =
          catchThrowableOfType(MemoryBudgetException.class, () -> device.allocate("huge", 2 << 20));
      assertThat(refused.tensor()).isEqualTo("huge");
      assertThat(refused.requestedBytes()).isGreaterThanOrEqualTo(2 << 20);
      assertThat(refused.budgetBytes()).isEqualTo(1 << 20);
      assertThatThrownBy(() -> device.compile(wide())).isInstanceOf(MemoryBudgetException.class);
      assertThat(pool.usedBytes()).isEqualTo(before);
      Buffer small = device.allocate("small", 1000);
      assertThat(pool.usedBytes()).isGreaterThanOrEqualTo(before + 1000);
      small.close();
      assertThat(pool.usedBytes()).isEqualTo(before);
    }
  }

  /// Working memory of several megabytes.
  private static Graph wide() {
    GraphBuilder builder = new GraphBuilder("wide");
    Value x = builder.input("x", ValueType.f32(1024, 1024));
    Value twice = builder.one(new MatMul(false, false, Blocks.WHOLE), x, x);
    builder.output("y", builder.one(new MatMul(false, false, Blocks.WHOLE), twice, twice));
    return builder.build();
  }

  @Test
  void chargesWorkingMemoryAndGivesItBack() {
    Variant variant = variants().getFirst();
    try (MemoryPool pool = MemoryPool.root("counted", Long.MAX_VALUE);
        Device device = open(variant, pool)) {
      long before = pool.usedBytes();
      Program program = device.compile(wide());
      assertThat(program.arenaBytes()).isGreaterThanOrEqualTo(4L << 20);
      assertThat(pool.usedBytes()).isGreaterThanOrEqualTo(before + program.arenaBytes());
      program.close();
      program.close();
      assertThat(pool.usedBytes()).isEqualTo(before);
    }
  }

  @Test
  void reusesWorkingMemory() {
    GraphBuilder builder = new GraphBuilder("chain");
    Value x = builder.input("x", ValueType.f32(100_000));
    Value y = x;
    for (int i = 0; i < 50; i++) {
      y = builder.one(new MatMul(false, false, Blocks.WHOLE), asMatrix(builder, y), one(builder));
      y = asVector(builder, y);
    }
    builder.output("y", builder.one(new Exp(), y));
    try (Program program = device().compile(builder.build())) {
      assertThat(program.arenaBytes()).isLessThan(10L * 400_000);
    }
  }

  private static Value asMatrix(GraphBuilder builder, Value x) {
    return builder.one(new Reshape(Shape.of(100_000, 1)), x);
  }

  private static Value asVector(GraphBuilder builder, Value x) {
    return builder.one(new Reshape(Shape.of(100_000)), x);
  }

  private static Value one(GraphBuilder builder) {
    return builder.one(new Constant(ValueType.f32(1, 1), 1));
  }

  @Test
  void runsAllocateNothingOnTheHeap() {
    ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
    for (Device device : devices()) {
      try (DeviceRunner runner = new DeviceRunner(device, pair())) {
        runner.set(NUMBERS);
        long allocated = Long.MAX_VALUE;
        // A compiler that takes code back allocates once more.
        for (int round = 0; round < 50 && allocated != 0; round++) {
          long before = threads.getCurrentThreadAllocatedBytes();
          for (int i = 0; i < 1_000; i++) {
            runner.start();
          }
          allocated = threads.getCurrentThreadAllocatedBytes() - before;
        }
        runner.stream().synchronize();
        assertThat(allocated).as("%s", device.info()).isZero();
      }
    }
  }

  @Test
  void repeatsItsBits() {
    try (DeviceRunner runner = new DeviceRunner(device(), heavy())) {
      double[] x = new double[384 * 384];
      Arrays.setAll(x, i -> Math.sin(i) / 20);
      runner.set("x", x);
      runner.run();
      byte[] first = runner.bytes("y");
      runner.run();
      assertThat(runner.bytes("y")).isEqualTo(first);
    }
  }
}
