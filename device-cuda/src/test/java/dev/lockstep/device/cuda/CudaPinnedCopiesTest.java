package dev.lockstep.device.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lockstep.device.BoundProgram;
import dev.lockstep.device.Device;
import dev.lockstep.device.DeviceOptions;
import dev.lockstep.device.HostCopy;
import dev.lockstep.device.HostPin;
import dev.lockstep.device.Program;
import dev.lockstep.device.cuda.ffi.Cu;
import dev.lockstep.failure.DeviceLostException;
import dev.lockstep.graph.Graph;
import dev.lockstep.graph.GraphBuilder;
import dev.lockstep.graph.Primitive.Add;
import dev.lockstep.graph.Value;
import dev.lockstep.graph.ValueType;
import dev.lockstep.memory.Buffer;
import dev.lockstep.memory.HostMemory;
import dev.lockstep.memory.MemoryPool;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Shape;
import dev.lockstep.tensor.Tensor;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.Map;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/// Copies between tensors and pinned host memory: straight, not waited for, and in order with what
/// uses the same bytes. The stand-in runs queues in a random order that events alone restrict.
@Timeout(60)
class CudaPinnedCopiesTest {
  private static final int ROUNDS = 40;
  private static final int QUEUE = 16;
  private static final int LENGTH = 3;
  private static final long BYTES = LENGTH * Float.BYTES;
  private static final long HALF = 64;

  private final FaultyDriver faults = new FaultyDriver();
  private final MemoryPool pool = MemoryPool.root("pinned copies", Long.MAX_VALUE);
  private final Deque<AutoCloseable> open = new ArrayDeque<>();
  private Device device;
  private CudaStream stream;
  private Program program;
  private Buffer memory;
  private Tensor x;
  private Tensor y;
  private int refusals;

  @BeforeEach
  void open() {
    device = StandInDevices.decorated(faults::over).open(0, new DeviceOptions(pool, 1, 0));
    open.push(device);
    stream = own((CudaStream) device.newStream());
    program = own(device.compile(twice()));
    memory = own(device.allocate("numbers", 2 * HALF));
    x = new Tensor(memory, 0, DType.F32, Shape.of(LENGTH));
    y = new Tensor(memory, HALF, DType.F32, Shape.of(LENGTH));
  }

  @AfterEach
  void close() throws Exception {
    faults.heal();
    if (open.contains(stream)) {
      stream.synchronize(); // what it uses is closed first
    }
    while (!open.isEmpty()) {
      open.pop().close();
    }
    assertThat(faults.calls("memHostUnregister"))
        .isEqualTo(faults.calls("memHostRegister") - refusals);
    assertThat(pool.usedBytes()).isZero();
    pool.close();
  }

  private <T extends AutoCloseable> T own(T resource) {
    open.push(resource);
    return resource;
  }

  private static Graph twice() {
    GraphBuilder builder = new GraphBuilder("twice");
    Value input = builder.input("x", ValueType.f32(LENGTH));
    builder.output("y", builder.one(new Add(), input, input));
    return builder.build();
  }

  private MemorySegment host(long bytes) {
    return own(HostMemory.allocate(pool, "mirror", bytes)).segment();
  }

  private MemorySegment pinned(long bytes) {
    MemorySegment host = host(bytes);
    own(device.pin(host));
    return host;
  }

  private static void set(MemorySegment host, float value) {
    for (int i = 0; i < LENGTH; i++) {
      host.setAtIndex(ValueLayout.JAVA_FLOAT, i, value);
    }
  }

  private static float get(MemorySegment host) {
    return host.get(ValueLayout.JAVA_FLOAT, 0);
  }

  /// Returns how many rounds found a number that was written too early or read too late.
  private int wrongRounds() {
    MemorySegment into = pinned(BYTES);
    MemorySegment from = pinned(BYTES);
    HostCopy in = own(stream.prepareCopyIn(x, into));
    HostCopy out = own(stream.prepareCopyOut(from, y));
    BoundProgram toY = program.bind(Map.of("x", x, "y", y));
    int wrong = 0;
    for (int round = 0; round < ROUNDS; round++) {
      set(into, round);
      in.start();
      stream.run(toY);
      out.start();
      in.await();
      set(into, -1);
      in.start();
      stream.run(toY); // must not overwrite what is copied out
      out.await();
      wrong += get(from) == 2 * round ? 0 : 1;
      in.await();
    }
    return wrong;
  }

  @Test
  void copiesKeepTheOrderOfWhatUsesTheirBytes() {
    assertThat(wrongRounds()).isZero();
  }

  /// So that the test above can fail.
  @Test
  void withoutEventsTheyWouldNot() {
    faults.fail("streamWaitEvent", Cu.SUCCESS);
    assertThat(wrongRounds()).isPositive();
  }

  /// A copy back into what is being copied out, as of a collective in place.
  @Test
  void copiesOfBothDirectionsKeepTheirOrder() {
    MemorySegment into = pinned(BYTES);
    MemorySegment from = pinned(BYTES);
    HostCopy in = own(stream.prepareCopyIn(x, into));
    HostCopy out = own(stream.prepareCopyOut(from, x));
    HostCopy other = own(stream.prepareCopyOut(pinned(BYTES), y));
    for (int round = 0; round < ROUNDS; round++) {
      set(into, round);
      in.start();
      for (int i = 0; i < QUEUE; i++) {
        other.start(); // one direction has much to do
      }
      out.start();
      in.await();
      set(into, -1);
      in.start();
      in.await();
      out.await();
      assertThat(get(from)).isEqualTo(round);
    }
  }

  @Test
  void aLargeTensorIsOneCopyAndTheHostGoesOn() {
    long bytes = 3 << 20;
    Tensor large = Tensor.of(own(device.allocate("large", bytes)), DType.U8, Shape.of(bytes));
    MemorySegment from = host(bytes).fill((byte) 7);
    stream.copyIn(large, from);
    stream.synchronize();
    MemorySegment to = pinned(bytes);
    HostCopy out = own(stream.prepareCopyOut(to, large));
    int copies = faults.calls("memcpyDtoHAsync");
    int waits = faults.calls("eventSynchronize");
    out.start();
    assertThat(faults.calls("memcpyDtoHAsync")).isEqualTo(copies + 1);
    assertThat(faults.calls("eventSynchronize")).isEqualTo(waits);
    out.await();
    assertThat(to.mismatch(from)).isEqualTo(-1);
    assertThat(out.isDone()).isTrue();
  }

  @Test
  void whatIsUnderWayIsNotDone() {
    MemorySegment to = pinned(BYTES);
    HostCopy out = own(stream.prepareCopyOut(to, y));
    assertThat(out.isDone()).isTrue();
    int notYet = 0;
    for (int round = 0; round < ROUNDS; round++) {
      stream.run(program.bind(Map.of("x", x, "y", y)));
      set(to, -1);
      out.start();
      while (!out.isDone()) {
        notYet++;
      }
      assertThat(get(to)).isZero();
    }
    assertThat(notYet).isPositive();
  }

  /// As the next part of a lane, whose gradients lie behind those that are copied out.
  @Test
  void aProgramPassesACopyOfOtherBytesOfItsBuffer() {
    Tensor z = Tensor.of(own(device.allocate("z", BYTES)), DType.F32, Shape.of(LENGTH));
    BoundProgram toZ = program.bind(Map.of("x", x, "y", z));
    BoundProgram toY = program.bind(Map.of("x", x, "y", y));
    HostCopy out = own(stream.prepareCopyOut(pinned(BYTES), y));
    out.start();
    out.await(); // the queue of copies is open
    assertThat(waitsBehind(out, toZ)).isZero();
    assertThat(waitsBehind(out, toY)).isPositive();
  }

  /// Returns how often a program was made to wait for a copy that was queued before it.
  private int waitsBehind(HostCopy copy, BoundProgram bound) {
    int waits = 0;
    for (int round = 0; round < ROUNDS; round++) {
      copy.start();
      int before = faults.calls("streamWaitEvent");
      stream.run(bound);
      waits += faults.calls("streamWaitEvent") - before;
      copy.await();
    }
    return waits;
  }

  @Test
  void whereTheDriverRefusesToPinCopiesGoByStaging() {
    faults.fail("memHostRegister", Cu.ERROR_OUT_OF_MEMORY);
    MemorySegment host = pinned(BYTES);
    refusals++;
    HostCopy in = own(stream.prepareCopyIn(x, host));
    HostCopy out = own(stream.prepareCopyOut(host, x));
    set(host, 5);
    in.start();
    assertThat(in.isDone()).isTrue();
    set(host, -1);
    out.start();
    assertThat(out.isDone()).isTrue();
    assertThat(get(host)).isEqualTo(5);
  }

  @Test
  void memoryThatWasLetGoOfIsPinnedNoMore() {
    MemorySegment host = host(BYTES);
    HostPin pin = device.pin(host);
    pin.close();
    assertThat(faults.calls("memHostUnregister")).isEqualTo(1);
    pin.close();
    assertThat(faults.calls("memHostUnregister")).isEqualTo(1);
    HostCopy out = own(stream.prepareCopyOut(host, x));
    out.start();
    assertThat(out.isDone()).isTrue();
  }

  /// Only then its memory may be let go of.
  @Test
  void closingACopyWaitsForIt() {
    MemorySegment to = pinned(BYTES);
    BoundProgram toY = program.bind(Map.of("x", x, "y", y));
    for (int round = 0; round < ROUNDS; round++) {
      set(to, -1);
      stream.run(toY);
      HostCopy out = stream.prepareCopyOut(to, y);
      out.start();
      out.close();
      assertThat(get(to)).isZero();
    }
  }

  @Test
  void memoryPinnedForALostDeviceIsLetGoOf() {
    HostCopy out = stream.prepareCopyOut(pinned(BYTES), y);
    out.start();
    out.await();
    faults.fail("streamSynchronize", Cu.ERROR_ILLEGAL_ADDRESS);
    assertThatThrownBy(stream::synchronize).isInstanceOf(DeviceLostException.class);
    faults.heal();
    assertThatThrownBy(out::start).isInstanceOf(DeviceLostException.class);
    assertThatThrownBy(out::isDone).isInstanceOf(DeviceLostException.class);
    out.close();
    open.remove(stream);
    assertThatThrownBy(stream::close).isInstanceOf(DeviceLostException.class);
  }
}
