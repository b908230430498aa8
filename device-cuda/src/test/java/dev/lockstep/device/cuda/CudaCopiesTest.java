package dev.lockstep.device.cuda;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.device.BoundProgram;
import dev.lockstep.device.Device;
import dev.lockstep.device.DeviceOptions;
import dev.lockstep.device.Program;
import dev.lockstep.device.cuda.ffi.Cu;
import dev.lockstep.device.cuda.ffi.StandInCounts;
import dev.lockstep.graph.Blocks;
import dev.lockstep.graph.Graph;
import dev.lockstep.graph.GraphBuilder;
import dev.lockstep.graph.Primitive.Add;
import dev.lockstep.graph.Primitive.MatMul;
import dev.lockstep.graph.Value;
import dev.lockstep.graph.ValueType;
import dev.lockstep.memory.Buffer;
import dev.lockstep.memory.MemoryPool;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Shape;
import dev.lockstep.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/// Copies run beside what a stream computes, and wait for what they must. The stand-in runs queues
/// in a random order that events alone restrict.
@Timeout(60)
class CudaCopiesTest {
  private static final int ROUNDS = 40;
  private static final int LENGTH = 3;
  private static final int KERNELS = 30;

  private final FaultyDriver faults = new FaultyDriver();
  private final MemoryPool pool = MemoryPool.root("copies", Long.MAX_VALUE);
  private final List<Buffer> buffers = new ArrayList<>();
  private Device device;
  private CudaStream stream;
  private CudaStream other;
  private Program program;
  private Tensor x;
  private Tensor first;
  private Tensor second;

  @BeforeEach
  void open() {
    device = StandInDevices.decorated(faults::over).open(0, new DeviceOptions(pool, 1, 0));
    stream = (CudaStream) device.newStream();
    other = (CudaStream) device.newStream();
    program = device.compile(twice());
    x = tensor("x", LENGTH);
    first = tensor("first", LENGTH);
    second = tensor("second", LENGTH);
  }

  @AfterEach
  void close() {
    faults.heal();
    stream.close();
    other.close();
    program.close();
    buffers.forEach(Buffer::close);
    device.close();
    pool.close();
  }

  private static Graph twice() {
    GraphBuilder builder = new GraphBuilder("twice");
    Value input = builder.input("x", ValueType.f32(LENGTH));
    builder.output("y", builder.one(new Add(), input, input));
    return builder.build();
  }

  private Tensor tensor(String name, long elements) {
    Buffer buffer = device.allocate(name, elements * Float.BYTES);
    buffers.add(buffer);
    return Tensor.of(buffer, DType.F32, Shape.of(elements));
  }

  private BoundProgram into(Tensor y) {
    return program.bind(Map.of("x", x, "y", y));
  }

  private void set(CudaStream on, float value) {
    try (Arena arena = Arena.ofConfined()) {
      on.copyIn(x, arena.allocateFrom(ValueLayout.JAVA_FLOAT, value, value, value));
    }
  }

  private float get(CudaStream on, Tensor tensor) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment copy = arena.allocate(tensor.bytes(), Float.BYTES);
      on.copyOut(copy, tensor);
      return copy.get(ValueLayout.JAVA_FLOAT, 0);
    }
  }

  /// Returns how many rounds found a number that was written too early or read too late.
  private int wrongRounds() {
    BoundProgram toFirst = into(first);
    BoundProgram toSecond = into(second);
    int wrong = 0;
    for (int round = 0; round < ROUNDS; round++) {
      int old = 3 * round;
      set(stream, old);
      stream.run(toFirst);
      set(stream, old + 1);
      stream.run(toSecond);
      set(stream, old + 2);
      boolean isRight =
          get(stream, second) == 2 * (old + 1)
              && get(stream, first) == 2 * old
              && get(stream, x) == old + 2;
      wrong += isRight ? 0 : 1;
    }
    return wrong;
  }

  @Test
  void copiesKeepTheOrderOfWhatUsesTheirTensors() {
    assertThat(wrongRounds()).isZero();
  }

  /// So that the test above can fail.
  @Test
  void withoutEventsTheyWouldNot() {
    faults.fail("streamWaitEvent", Cu.SUCCESS);
    assertThat(wrongRounds()).isPositive();
  }

  @Test
  void copiesWaitForAnotherStreamThatTheirsWaitsFor() {
    set(stream, 1); // its queues are open
    stream.synchronize();
    BoundProgram toFirst = into(first);
    for (int round = 0; round < ROUNDS; round++) {
      set(other, round);
      other.run(toFirst);
      stream.await(other, other.mark());
      set(stream, -1);
      assertThat(get(other, first)).isEqualTo(2 * round);
      stream.synchronize();
    }
  }

  @Test
  void anEventStandsBehindCopies() {
    for (int round = 0; round < ROUNDS; round++) {
      set(stream, round);
      stream.record().await();
      assertThat(get(other, x)).isEqualTo(round);
    }
  }

  @Test
  void aProgramWaitsForTheCopiesOfItsOwnTensorsAlone() {
    BoundProgram toFirst = into(first);
    set(stream, 1);
    stream.synchronize(); // the queue of copies is open
    try (Arena arena = Arena.ofConfined()) {
      stream.copyIn(second, arena.allocate(second.bytes(), Float.BYTES));
    }
    int waits = faults.calls("streamWaitEvent");
    stream.run(toFirst);
    assertThat(faults.calls("streamWaitEvent")).isEqualTo(waits);
    set(stream, 2);
    waits = faults.calls("streamWaitEvent");
    stream.run(toFirst);
    assertThat(faults.calls("streamWaitEvent")).isEqualTo(waits + 1);
    assertThat(get(stream, first)).isEqualTo(4);
  }

  /// Many kernels, one behind the other.
  private static Graph chain() {
    GraphBuilder builder = new GraphBuilder("chain");
    Value matrix = builder.input("a", ValueType.f32(2, 2));
    Value power = matrix;
    for (int i = 0; i < KERNELS; i++) {
      power = builder.one(new MatMul(false, false, Blocks.WHOLE), power, matrix);
    }
    builder.output("b", power);
    return builder.build();
  }

  /// Returns in how many rounds a copy was over before the kernels that were queued before it.
  private int roundsThatPass(Runnable copy) {
    Tensor a = tensor("a", 4).reshape(Shape.of(2, 2));
    Tensor b = tensor("b", 4).reshape(Shape.of(2, 2));
    int passed = 0;
    try (Program chain = device.compile(chain())) {
      BoundProgram bound = chain.bind(Map.of("a", a, "b", b));
      for (int round = 0; round < ROUNDS; round++) {
        stream.synchronize();
        long before = StandInCounts.launches();
        stream.run(bound);
        copy.run();
        passed += StandInCounts.launches() < before + KERNELS ? 1 : 0;
      }
      stream.synchronize();
    }
    return passed;
  }

  @Test
  void whatIsCopiedToTheHostPassesAProgramThatDoesNotUseIt() {
    assertThat(roundsThatPass(() -> get(stream, second))).isPositive();
  }

  /// Of a tensor longer than what is staged at once the host waits for the first part.
  @Test
  void whatIsCopiedToTheDevicePassesAProgramThatDoesNotUseIt() {
    Tensor large = tensor("large", 5 << 18);
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment host = arena.allocate(large.bytes(), Float.BYTES);
      assertThat(roundsThatPass(() -> stream.copyIn(large, host))).isPositive();
    }
  }

  /// As the tokens and the targets of a lane are copied, which lie side by side.
  @Test
  void aSecondCopyIntoABufferWaitsForTheFirstAlone() {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment host = arena.allocate(second.bytes(), Float.BYTES);
      Runnable copies =
          () -> {
            stream.copyIn(second, host);
            stream.copyIn(second, host);
            get(stream, second);
          };
      assertThat(roundsThatPass(copies)).isPositive();
    }
  }
}
