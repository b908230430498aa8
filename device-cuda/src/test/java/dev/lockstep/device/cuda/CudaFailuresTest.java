package dev.lockstep.device.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import dev.lockstep.device.BoundProgram;
import dev.lockstep.device.Device;
import dev.lockstep.device.DeviceOptions;
import dev.lockstep.device.Event;
import dev.lockstep.device.Program;
import dev.lockstep.device.Stream;
import dev.lockstep.device.cuda.ffi.Cu;
import dev.lockstep.failure.DeviceException;
import dev.lockstep.failure.DeviceLostException;
import dev.lockstep.failure.MemoryBudgetException;
import dev.lockstep.graph.Graph;
import dev.lockstep.graph.GraphBuilder;
import dev.lockstep.graph.Primitive.Add;
import dev.lockstep.graph.Value;
import dev.lockstep.graph.ValueType;
import dev.lockstep.memory.Buffer;
import dev.lockstep.memory.MemoryPool;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Shape;
import dev.lockstep.tensor.Tensor;
import java.util.Map;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// What becomes of the driver's errors.
@Timeout(60)
class CudaFailuresTest {
  private static final int REFUSED = 1;
  private static final int UNKNOWN = 999;

  private final FaultyDriver faults = new FaultyDriver();
  private final MemoryPool pool = MemoryPool.root("failures", Long.MAX_VALUE);
  private Device device;

  @BeforeEach
  void open() {
    device = open(0);
  }

  @AfterEach
  void close() {
    faults.heal();
    device.close();
    pool.close();
  }

  private Device open(int ordinal) {
    return StandInDevices.decorated(faults::over).open(ordinal, new DeviceOptions(pool, 1, 0));
  }

  private static Graph twice() {
    GraphBuilder builder = new GraphBuilder("twice");
    Value x = builder.input("x", ValueType.f32(3));
    builder.outputInto("y", builder.one(new Add(), x, x), "x");
    return builder.build();
  }

  @Test
  void anExhaustedGpuNamesTheTensor() {
    faults.fail("memAllocAsync", Cu.ERROR_OUT_OF_MEMORY);
    MemoryBudgetException refused =
        catchThrowableOfType(
            MemoryBudgetException.class, () -> device.allocate("activations", 4096));
    assertThat(refused.tensor()).isEqualTo("activations");
    assertThat(refused.requestedBytes()).isEqualTo(4096);
    assertThat(refused.budgetBytes()).isPositive();
    assertThat(refused).hasMessageContaining("freeBytes=").hasMessageContaining("cuda:0");
    assertThat(pool.usedBytes()).isZero();
  }

  @Test
  void aTensorLargerThanTheGpuIsRefusedByTheDriver() {
    assertThatThrownBy(() -> device.allocate("all of it", 1L << 50))
        .isInstanceOf(MemoryBudgetException.class)
        .hasMessageContaining("all of it");
    try (Buffer small = device.allocate("small", 64)) {
      assertThat(small.bytes()).isEqualTo(64);
    }
  }

  @Test
  void aRefusedCallNamesFunctionAndStatusAndTheDeviceGoesOn() {
    faults.fail("streamCreate", 1);
    DeviceException refused = catchThrowableOfType(DeviceException.class, () -> device.newStream());
    assertThat(refused.function()).isEqualTo("cuStreamCreate");
    assertThat(refused.status()).isEqualTo(1);
    assertThat(refused.device()).isEqualTo("cuda:0");
    assertThat(refused).hasMessageContaining("CUDA_ERROR_INVALID_VALUE");
    faults.heal();
    device.newStream().close();
  }

  @Test
  void anIllegalAddressEndsTheDeviceAndNotTheOthers() {
    Device other = open(1);
    Buffer buffer = device.allocate("x", 12);
    Stream stream = device.newStream();
    Program program = device.compile(twice());
    stream.run(program.bind(Map.of("x", Tensor.of(buffer, DType.F32, Shape.of(3)))));
    faults.fail("streamSynchronize", Cu.ERROR_ILLEGAL_ADDRESS);
    assertThatThrownBy(stream::synchronize)
        .isInstanceOf(DeviceLostException.class)
        .hasMessageContaining("cuda:0");
    faults.heal();
    assertThatThrownBy(() -> device.allocate("y", 12)).isInstanceOf(DeviceLostException.class);
    assertThatThrownBy(stream::synchronize).isInstanceOf(DeviceLostException.class);
    // What was held can still be closed, the stream before what it holds or after.
    program.close();
    buffer.close();
    assertThatThrownBy(stream::close).isInstanceOf(DeviceLostException.class);
    try (Buffer works = other.allocate("works", 12)) {
      assertThat(works.bytes()).isEqualTo(12);
    }
    other.close();
  }

  @Test
  void aLossThatClosingFindsLeavesNothingCharged() {
    Buffer buffer = device.allocate("x", 12);
    Stream stream = device.newStream();
    Program program = device.compile(twice());
    stream.run(program.bind(Map.of("x", Tensor.of(buffer, DType.F32, Shape.of(3)))));
    Event done = stream.record();
    faults.fail("eventQuery", Cu.ERROR_ILLEGAL_ADDRESS);
    program.close();
    buffer.close();
    assertThatThrownBy(done::isDone).isInstanceOf(DeviceLostException.class);
    assertThatThrownBy(stream::close).isInstanceOf(DeviceLostException.class);
    assertThat(pool.usedBytes()).isZero();
  }

  @Test
  void aRefusedRecordingLeavesTheProgramUsable() {
    try (Buffer buffer = device.allocate("x", 12);
        Program program = device.compile(twice())) {
      Map<String, Tensor> tensors = Map.of("x", Tensor.of(buffer, DType.F32, Shape.of(3)));
      faults.fail("launchKernel", 701);
      assertThatThrownBy(() -> program.bind(tensors))
          .isInstanceOf(DeviceException.class)
          .hasMessageContaining("cuLaunchKernel")
          .hasMessageContaining("add_f32");
      faults.heal();
      try (Stream stream = device.newStream()) {
        stream.run(program.bind(tensors));
      }
    }
  }

  /// The arena's event, or that of the ring.
  @ParameterizedTest(name = "event {0} of a run")
  @ValueSource(ints = {1, 2})
  void aRunWithoutAnEventIsWaitedForBeforeItsMemoryIsLetGoOf(int event) {
    try (Buffer buffer = device.allocate("x", 12);
        Program program = device.compile(twice());
        Stream stream = device.newStream()) {
      BoundProgram bound = program.bind(Map.of("x", Tensor.of(buffer, DType.F32, Shape.of(3))));
      int waits = faults.calls("streamSynchronize");
      faults.failOnce("eventRecord", event, REFUSED);
      assertThatThrownBy(() -> stream.run(bound))
          .isInstanceOf(DeviceException.class)
          .hasMessageContaining("cuEventRecord");
      assertThat(faults.calls("streamSynchronize")).isEqualTo(waits + 1);
      stream.run(bound);
      stream.synchronize();
    }
  }

  @ParameterizedTest(name = "status {0}")
  @ValueSource(
      ints = {
        Cu.ERROR_CONTEXT_IS_DESTROYED,
        Cu.ERROR_TENSOR_MEMORY_LEAK,
        Cu.ERROR_MPS_CLIENT_TERMINATED
      })
  void whatEndsTheContextEndsTheDevice(int status) {
    Stream stream = device.newStream();
    faults.fail("streamSynchronize", status);
    assertThatThrownBy(stream::synchronize).isInstanceOf(DeviceLostException.class);
    faults.heal();
    assertThatThrownBy(stream::close).isInstanceOf(DeviceLostException.class);
  }

  @Test
  void aStreamThatCannotBeAskedKeepsNothingElseOpen() {
    Buffer buffer = device.allocate("x", 12);
    Buffer other = device.allocate("other", 12);
    Program program = device.compile(twice());
    Stream stream = device.newStream();
    stream.run(program.bind(Map.of("x", Tensor.of(buffer, DType.F32, Shape.of(3)))));
    faults.fail("eventQuery", UNKNOWN);
    other.close();
    assertThatThrownBy(program::close)
        .isInstanceOf(IllegalStateException.class)
        .hasMessageContaining("program is running");
    faults.heal();
    stream.close();
    program.close();
    buffer.close();
    assertThat(pool.usedBytes()).isZero();
  }

  @Test
  void memoryThatCannotBeZeroedIsFreed() {
    faults.fail("memsetD8Async", REFUSED);
    assertThatThrownBy(() -> device.allocate("x", 12))
        .isInstanceOf(DeviceException.class)
        .hasMessageContaining("cuMemsetD8Async");
    assertThat(faults.calls("memFreeAsync")).isEqualTo(1);
    assertThat(pool.usedBytes()).isZero();
  }

  @Test
  void aStreamThatCannotBeMadeLeavesNothingBehind() {
    int streams = faults.calls("streamDestroy");
    int events = faults.calls("eventDestroy");
    faults.failOnce("eventCreate", 10, REFUSED);
    assertThatThrownBy(() -> device.newStream())
        .isInstanceOf(DeviceException.class)
        .hasMessageContaining("cuEventCreate");
    assertThat(faults.calls("eventDestroy")).isEqualTo(events + 9);
    assertThat(faults.calls("streamDestroy")).isEqualTo(streams + 1);
  }

  @Test
  void aProgramThatCannotBeMadeLeavesNothingBehind() {
    faults.failOnce("eventCreate", 1, REFUSED);
    assertThatThrownBy(() -> device.compile(twice()))
        .isInstanceOf(DeviceException.class)
        .hasMessageContaining("cuEventCreate");
    assertThat(faults.calls("memFreeAsync")).isEqualTo(1);
    assertThat(pool.usedBytes()).isZero();
  }

  @Test
  void graphsOfAProgramAreDestroyedWithIt() {
    try (Buffer buffer = device.allocate("x", 12)) {
      Program program = device.compile(twice());
      program.bind(Map.of("x", Tensor.of(buffer, DType.F32, Shape.of(3))));
      program.bind(Map.of("x", Tensor.of(buffer, DType.F32, Shape.of(3))));
      program.close();
      assertThat(faults.calls("graphExecDestroy")).isEqualTo(2);
      assertThat(faults.calls("graphDestroy")).isEqualTo(2);
    }
  }

  @Test
  void theProbeSaysWhyThereIsNoDevice() {
    faults.fail("init", Cu.ERROR_NO_DEVICE);
    var probe = StandInDevices.decorated(faults::over).probe();
    assertThat(probe.isAvailable()).isFalse();
    assertThat(probe.toString()).contains("CUDA_ERROR_NO_DEVICE", "CUDA_VISIBLE_DEVICES");
    faults.heal();
    assertThat(StandInDevices.decorated(faults::over).probe().isAvailable()).isTrue();
  }
}
