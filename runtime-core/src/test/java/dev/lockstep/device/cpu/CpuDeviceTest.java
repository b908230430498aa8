package dev.lockstep.device.cpu;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.sun.management.ThreadMXBean;
import dev.lockstep.deadline.Deadline;
import dev.lockstep.device.BoundProgram;
import dev.lockstep.device.Device;
import dev.lockstep.device.DeviceContract;
import dev.lockstep.device.DeviceOptions;
import dev.lockstep.device.DeviceProvider;
import dev.lockstep.device.Program;
import dev.lockstep.device.Support;
import dev.lockstep.failure.DeviceException;
import dev.lockstep.failure.MemoryBudgetException;
import dev.lockstep.graph.Blocks;
import dev.lockstep.graph.Closeness;
import dev.lockstep.graph.Composite;
import dev.lockstep.graph.CompositeCases;
import dev.lockstep.graph.Graph;
import dev.lockstep.graph.GraphBuilder;
import dev.lockstep.graph.OpCase;
import dev.lockstep.graph.Primitive;
import dev.lockstep.graph.ReferenceInterpreter;
import dev.lockstep.graph.Value;
import dev.lockstep.graph.ValueType;
import dev.lockstep.memory.Backing;
import dev.lockstep.memory.Buffer;
import dev.lockstep.memory.MemoryPool;
import dev.lockstep.tensor.Shape;
import java.lang.management.ManagementFactory;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.ServiceLoader;
import java.util.concurrent.atomic.AtomicBoolean;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(60)
class CpuDeviceTest {
  /// The scalar path on one thread first: the others are compared with it.
  private static final List<Device> DEVICES = new ArrayList<>();

  @BeforeAll
  static void open() {
    for (DeviceContract.Variant variant : CpuVariants.all()) {
      DEVICES.add(GraphRun.device(variant.threads(), variant.vectorBits()));
    }
  }

  @AfterAll
  static void close() {
    DEVICES.forEach(Device::close);
  }

  /// Threads do not take the room of a row that they read where it lies.
  @Test
  void aLongSumTakesNoRoomOfItsLength() {
    int elements = 1 << 20;
    for (Blocks blocks : List.of(Blocks.WHOLE, new Blocks(1, 4))) {
      GraphBuilder builder = new GraphBuilder("sum");
      Value x = builder.input("x", ValueType.f32(elements));
      builder.output("y", builder.one(new Primitive.ReduceSum(List.of(0), blocks), x));
      for (Device device : DEVICES) {
        try (Program program = device.compile(builder.build())) {
          assertThat(program.arenaBytes()).isLessThan(elements);
        }
      }
    }
  }

  private static void checkEverywhere(
      Graph graph, Map<String, double[]> inputs, List<double[]> expected) {
    List<double[]> first = List.of();
    for (Device device : DEVICES) {
      try (GraphRun run = new GraphRun(device, graph)) {
        List<double[]> found = run.run(inputs);
        if (first.isEmpty()) {
          first = found;
          for (int i = 0; i < expected.size(); i++) {
            Closeness.assertClose(found.get(i), expected.get(i), 2e-5);
          }
        }
        for (int i = 0; i < found.size(); i++) {
          assertThat(found.get(i)).as(device.info().toString()).isEqualTo(first.get(i));
        }
      }
    }
  }

  @Test
  void aProgramThatIsClosedBetweenItsRunsIsClosed() throws InterruptedException {
    GraphBuilder builder = new GraphBuilder("exp");
    builder.output("y", builder.one(new Primitive.Exp(), builder.input("x", ValueType.f32(4))));
    Graph graph = builder.build();
    for (int round = 0; round < 200; round++) {
      try (GraphRun run = new GraphRun(DEVICES.getFirst(), graph)) {
        BoundProgram bound = run.program().bind(run.tensors());
        AtomicBoolean over = new AtomicBoolean();
        Thread running = Thread.ofPlatform().daemon().start(() -> runUntil(over, run, bound));
        closeBetweenRuns(run.program());
        boolean isClosed = isClosed(run);
        over.set(true);
        running.join();
        assertThat(isClosed).isTrue();
      }
    }
  }

  private static void runUntil(AtomicBoolean over, GraphRun run, BoundProgram bound) {
    try {
      while (!over.get()) {
        run.stream().run(bound);
      }
    } catch (IllegalStateException _) {
      // it is closed
    }
  }

  private static void closeBetweenRuns(Program program) {
    Deadline.until(
        () -> {
          try {
            program.close();
            return true;
          } catch (IllegalStateException _) { // it is running
            return false;
          }
        });
  }

  private static boolean isClosed(GraphRun run) {
    try {
      var _ = run.program().bind(run.tensors());
      return false;
    } catch (IllegalStateException _) {
      return true;
    }
  }

  @Test
  void programsCompiledTogetherShareOneArenaUntilTheLastIsClosed() {
    Random random = new Random(5);
    List<Graph> graphs = List.of(randomGraph(random), randomGraph(random), randomGraph(random));
    try (MemoryPool pool = MemoryPool.root("together", Long.MAX_VALUE);
        Device device = new CpuDeviceProvider().open(0, new DeviceOptions(pool, 1, 0))) {
      long largest = 0;
      for (Graph graph : graphs) {
        try (Program alone = device.compile(graph)) {
          largest = Math.max(largest, alone.arenaBytes());
        }
      }
      List<Program> programs = device.compileTogether(graphs);
      assertThat(programs.stream().mapToLong(Program::arenaBytes).sum()).isEqualTo(largest);
      long used = pool.usedBytes();
      assertThat(used).isGreaterThanOrEqualTo(largest);
      programs.get(0).close();
      programs.get(0).close();
      programs.get(2).close();
      assertThat(pool.usedBytes()).isEqualTo(used);
      programs.get(1).close();
      assertThat(pool.usedBytes()).isZero();
    }
  }

  @Test
  void valuesOfMoreBytesThanALongCountsAreRefused() {
    GraphBuilder builder = new GraphBuilder("huge");
    Value x = builder.input("x", ValueType.f32(1));
    // 4 bytes each: 2^64 + 4 in all.
    Value many = builder.one(new Primitive.BroadcastTo(Shape.of((1L << 62) + 1), List.of(0)), x);
    builder.output("y", builder.one(new Primitive.ReduceSum(List.of(0), Blocks.WHOLE), many));
    Graph graph = builder.build();

    for (Device device : DEVICES) {
      assertThatThrownBy(() -> device.compile(graph).close())
          .isInstanceOf(ArithmeticException.class)
          .hasMessageContaining("tensor is too large: dtype=F32, shape=[4611686018427387905]");
    }
  }

  @Test
  void aRandomChainOfOpsSurvivesSharedMemory() {
    Random random = new Random(11);
    for (int round = 0; round < 30; round++) {
      Graph graph = randomGraph(random);
      Map<String, double[]> inputs = new HashMap<>();
      for (Graph.Named input : graph.inputs()) {
        double[] elements = random.doubles(36, -1, 1).map(x -> (double) (float) x).toArray();
        inputs.put(input.name(), elements);
      }
      checkEverywhere(graph, inputs, ReferenceInterpreter.run(graph, inputs));
    }
  }

  /// Sums, products, matrix products, reshapes and transposes of 6 x 6 matrices; some results are
  /// outputs, one of them twice, one updates an input in place.
  private static Graph randomGraph(Random random) {
    GraphBuilder builder = new GraphBuilder("random");
    List<Value> values = new ArrayList<>();
    for (int i = 0; i < 3; i++) {
      values.add(builder.input("x" + i, ValueType.f32(6, 6)));
    }
    for (int i = 0; i < 25; i++) {
      Value a = values.get(random.nextInt(values.size()));
      Value b = values.get(random.nextInt(values.size()));
      values.add(
          switch (random.nextInt(6)) {
            case 0 -> builder.one(new Primitive.Sub(), a, b);
            case 1 -> builder.one(new Primitive.Tanh(), a);
            case 2 ->
                builder.one(
                    new Primitive.MatMul(false, true, Blocks.WHOLE),
                    tame(builder, a),
                    tame(builder, b));
            case 3 ->
                builder.one(
                    new Primitive.Reshape(Shape.of(6, 6)),
                    builder.one(new Primitive.Reshape(Shape.of(36)), a));
            case 4 -> builder.one(new Primitive.Transpose(List.of(1, 0)), a);
            default ->
                builder.one(
                    new Primitive.Add(),
                    tame(builder, a),
                    builder.one(
                        new Primitive.MatMul(false, false, Blocks.WHOLE),
                        tame(builder, a),
                        tame(builder, b)));
          });
    }
    for (int i = 0; i < 4; i++) {
      builder.output("y" + i, values.get(random.nextInt(values.size())));
    }
    builder.output("last", values.getLast());
    builder.output("again", values.getLast());
    builder.outputInto("into0", values.get(3 + random.nextInt(25)), "x0");
    builder.outputInto("into1", values.get(random.nextInt(28)), "x1");
    return builder.build();
  }

  private static Value tame(GraphBuilder builder, Value x) {
    return builder.one(new Primitive.Tanh(), x);
  }

  @Test
  void swapsInputsInPlace() {
    GraphBuilder builder = new GraphBuilder("swap");
    Value a = builder.input("a", ValueType.f32(3));
    Value b = builder.input("b", ValueType.f32(3));
    builder.outputInto("newA", b, "a");
    builder.outputInto("newB", a, "b");
    builder.output("oldA", a);
    try (GraphRun run = new GraphRun(DEVICES.getLast(), builder.build())) {
      run.set("a", 1, 2, 3).set("b", 4, 5, 6).run();
      assertThat(run.get("newA")).containsExactly(4, 5, 6);
      assertThat(run.get("newB")).containsExactly(1, 2, 3);
      assertThat(run.get("oldA")).containsExactly(1, 2, 3);
    }
  }

  @Test
  void updatesInPlaceWithoutCopyingAndReusesMemory() {
    GraphBuilder builder = new GraphBuilder("chain");
    Value x = builder.input("x", ValueType.f32(1000));
    Value y = builder.one(new Primitive.Mul(), x, x);
    for (int i = 0; i < 10; i++) {
      y = builder.one(new Primitive.Tanh(), y);
    }
    builder.outputInto("y", builder.one(new Primitive.Add(), y, x), "x");
    try (GraphRun run = new GraphRun(DEVICES.getLast(), builder.build())) {
      assertThat(run.program().explain())
          .contains("-> input x")
          .contains("arena+0")
          .doesNotContain("arena+4032")
          .doesNotContain("Copy %");
    }
  }

  @Test
  void aResidualIsAddedWithinTheProduct() {
    GraphBuilder builder = new GraphBuilder("residual");
    Value x = builder.input("x", ValueType.f32(5, 8));
    Value w = builder.input("w", ValueType.f32(8, 8));
    Value bias = builder.input("bias", ValueType.f32(8));
    Value y = builder.one(new Composite.Linear(false, Blocks.WHOLE), x, w, bias);
    builder.output("y", builder.one(new Primitive.Add(), x, y));
    try (GraphRun run = new GraphRun(DEVICES.getLast(), builder.build())) {
      assertThat(run.program().explain()).contains("1 steps").contains("+bias +residual");
    }
  }

  @Test
  void bothThreadsWork() {
    GraphBuilder builder = new GraphBuilder("product");
    Value a = builder.input("a", ValueType.f32(48, 48));
    builder.output("y", builder.one(new Primitive.MatMul(false, false, Blocks.WHOLE), a, a));
    try (Device device = GraphRun.device(2, 0);
        GraphRun run = new GraphRun(device, builder.build())) {
      run.run();
      ThreadTeam team = ((CpuDevice) device).team();
      assertThat(team.tilesDone(0)).isPositive();
      assertThat(team.tilesDone(1)).isPositive();
    }
  }

  @Test
  void aRunAllocatesNothingOnAnyThread() {
    var threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
    long[] ids =
        Thread.getAllStackTraces().keySet().stream()
            .filter(t -> t.getName().startsWith("lockstep-cpu") || t == Thread.currentThread())
            .mapToLong(Thread::threadId)
            .toArray();
    Device device = DEVICES.getLast();
    List<GraphRun> runs = new ArrayList<>();
    for (OpCase op : CompositeCases.all()) {
      GraphRun run = new GraphRun(device, op.graph());
      op.inputs().forEach(run::set);
      runs.add(run);
    }
    List<BoundProgram> bound = runs.stream().map(run -> run.program().bind(run.tensors())).toList();
    var stream = runs.getFirst().stream();
    long allocated = Long.MAX_VALUE;
    // Vectors are boxed until the compiler has seen every kernel.
    for (int attempt = 0; attempt < 100 && allocated > 0; attempt++) {
      for (int i = 0; i < 50; i++) {
        runAll(stream, bound);
      }
      long before = Arrays.stream(threads.getThreadAllocatedBytes(ids)).sum();
      runAll(stream, bound);
      allocated = Arrays.stream(threads.getThreadAllocatedBytes(ids)).sum() - before;
      // The question itself makes two arrays.
      allocated -= questionBytes(threads, ids);
    }
    runs.forEach(GraphRun::close);
    assertThat(allocated).isLessThanOrEqualTo(0);
  }

  private static void runAll(dev.lockstep.device.Stream stream, List<BoundProgram> programs) {
    for (int i = 0; i < programs.size(); i++) {
      stream.run(programs.get(i));
    }
  }

  private static long questionBytes(ThreadMXBean threads, long[] ids) {
    long before = Arrays.stream(threads.getThreadAllocatedBytes(ids)).sum();
    return Arrays.stream(threads.getThreadAllocatedBytes(ids)).sum() - before;
  }

  @Test
  void aClosedProgramDoesNotRun() {
    GraphBuilder builder = new GraphBuilder("closed");
    builder.output("y", builder.one(new Primitive.Neg(), builder.input("x", ValueType.f32(3))));
    try (GraphRun run = new GraphRun(DEVICES.getFirst(), builder.build())) {
      BoundProgram bound = run.program().bind(run.tensors());
      run.program().close();
      run.program().close();
      assertThatThrownBy(() -> run.stream().run(bound))
          .isInstanceOf(IllegalStateException.class)
          .hasMessage("program is closed: program=closed");
    }
  }

  @Test
  void theBudgetHoldsBeforeAnythingIsAllocated() {
    GraphBuilder builder = new GraphBuilder("large");
    Value x = builder.input("x", ValueType.f32(1 << 20));
    Value y = builder.one(new Primitive.Exp(), x);
    builder.output("y", builder.one(new Primitive.ReduceSum(List.of(0), Blocks.WHOLE), y));
    Graph graph = builder.build();
    MemoryPool pool = MemoryPool.root("small", 1 << 20);
    try (Device device = new CpuDeviceProvider().open(0, new DeviceOptions(pool, 1, 0))) {
      assertThatThrownBy(() -> device.compile(graph))
          .isInstanceOf(MemoryBudgetException.class)
          .hasMessageContaining("arena of program large");
      assertThat(pool.usedBytes()).isZero();
    }
    pool.close();
  }

  @Test
  void memoryIsMappableUnlessTheDeviceIsAlone() {
    MemoryPool pool = MemoryPool.root("peers", 1 << 20);
    for (boolean alone : new boolean[] {false, true}) {
      DeviceOptions options = new DeviceOptions(pool, 1, 0).alone(alone);
      try (Device device = new CpuDeviceProvider().open(0, options);
          Buffer buffer = device.allocateShared("gradients", 100_000)) {
        boolean isPrivate = buffer.registration().region().backing() instanceof Backing.Private;
        assertThat(isPrivate).isEqualTo(alone);
      }
    }
    pool.close();
  }

  @Test
  void refusesWhatItCannotDo() {
    assertThat(
            DEVICES
                .getFirst()
                .supports(new Primitive.BroadcastFrom("dp", 0), List.of(ValueType.f32(1))))
        .isInstanceOf(Support.No.class);
    assertThatThrownBy(() -> GraphRun.device(1, 512 * (KernelSet.preferredBits() < 512 ? 1 : 2)))
        .isInstanceOfAny(DeviceException.class, IllegalArgumentException.class);
    GraphBuilder builder = new GraphBuilder("collective");
    builder.output(
        "y",
        builder.one(new Primitive.BroadcastFrom("dp", 0), builder.input("x", ValueType.f32(3))));
    assertThatThrownBy(() -> DEVICES.getFirst().compile(builder.build()))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("collectives are run by the host");
  }

  @Test
  void isFoundByTheServiceLoader() {
    assertThat(ServiceLoader.load(DeviceProvider.class))
        .anySatisfy(provider -> assertThat(provider.name()).isEqualTo("cpu"));
    assertThat(new CpuDeviceProvider().probe().isAvailable()).isTrue();
  }
}
