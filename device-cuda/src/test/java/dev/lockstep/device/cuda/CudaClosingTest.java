package dev.lockstep.device.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import dev.lockstep.device.Device;
import dev.lockstep.device.DeviceOptions;
import dev.lockstep.device.Program;
import dev.lockstep.device.cuda.ffi.CudaDriver;
import dev.lockstep.failure.DeviceException;
import dev.lockstep.graph.Blocks;
import dev.lockstep.graph.Graph;
import dev.lockstep.graph.GraphBuilder;
import dev.lockstep.graph.Primitive.MatMul;
import dev.lockstep.graph.Value;
import dev.lockstep.graph.ValueType;
import dev.lockstep.memory.Buffer;
import dev.lockstep.memory.MemoryPool;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Shape;
import dev.lockstep.tensor.Tensor;
import java.util.Map;
import java.util.OptionalInt;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/// What closing frees where the driver refuses to free a part of it.
@Timeout(60)
class CudaClosingTest {
  private static final int REFUSED = 1;

  private long chargedAtFree;
  private final FaultyCalls<CudaDriver> faults =
      new FaultyCalls<>(CudaDriver.class) {
        @Override
        OptionalInt instead(String function, Object[] arguments) {
          if (function.equals("memFreeAsync")) {
            chargedAtFree = pool.usedBytes();
          }
          return super.instead(function, arguments);
        }
      };
  private final MemoryPool pool = MemoryPool.root("closing", Long.MAX_VALUE);
  private Device device;

  @BeforeEach
  void open() {
    device = StandInDevices.withCublasLtAnd(faults::over).open(0, new DeviceOptions(pool, 1, 0));
  }

  @AfterEach
  void close() {
    faults.heal();
    device.close();
    assertThat(pool.usedBytes()).isZero();
    pool.close();
  }

  private static Graph square() {
    GraphBuilder builder = new GraphBuilder("square");
    Value x = builder.input("x", ValueType.f32(3, 3));
    builder.output("y", builder.one(new MatMul(false, false, Blocks.WHOLE), x, x));
    return builder.build();
  }

  /// Binds the product of numbers that cuBLASLt cannot read and write where they are.
  private static void bindUnaligned(Program program, Buffer memory) {
    Tensor x = new Tensor(memory, 4, DType.F32, Shape.of(3, 3));
    Tensor y = new Tensor(memory, 132, DType.F32, Shape.of(3, 3));
    program.bind(Map.of("x", x, "y", y));
  }

  @Test
  void memoryIsChargedUntilItIsFree() {
    device.allocate("matrices", 256).close();
    assertThat(chargedAtFree).isEqualTo(256);
    assertThat(pool.usedBytes()).isZero();
  }

  @Test
  void aProgramFreesItsArenaThoughAlignedCopiesCannotBe() {
    try (Buffer memory = device.allocate("matrices", 256)) {
      Program program = device.compile(square());
      bindUnaligned(program, memory);
      long held = pool.usedBytes();
      int events = faults.calls("eventDestroy");
      faults.fail("memFreeAsync", REFUSED);
      DeviceException refused = catchThrowableOfType(DeviceException.class, program::close);
      assertThat(refused.function()).isEqualTo("cuMemFreeAsync");
      assertThat(faults.calls("memFreeAsync")).as("two copies and the arena").isEqualTo(3);
      assertThat(faults.calls("eventDestroy")).isEqualTo(events + 1);
      assertThat(pool.usedBytes()).isLessThan(held).isEqualTo(memory.bytes());
      faults.heal();
    }
  }

  @Test
  void aProgramFreesItsMemoryThoughRecordingsCannotBe() {
    try (Buffer memory = device.allocate("matrices", 256)) {
      Program program = device.compile(square());
      bindUnaligned(program, memory);
      bindUnaligned(program, memory);
      faults.fail("graphExecDestroy", REFUSED);
      assertThatThrownBy(program::close)
          .isInstanceOf(DeviceException.class)
          .hasMessageContaining("cuGraphExecDestroy")
          .satisfies(failure -> assertThat(failure.getSuppressed()).hasSize(1));
      assertThat(faults.calls("graphExecDestroy")).isEqualTo(2);
      assertThat(pool.usedBytes()).isEqualTo(memory.bytes());
    }
  }

  @Test
  void alignedCopiesAreAllFreedAndTheFirstFailureIsThrown() {
    AlignedCopies copies = new AlignedCopies(((CudaDevice) device).memory(), "square");
    copies.reserve(4, 36);
    copies.reserve(68, 36);
    faults.fail("memFreeAsync", REFUSED);
    assertThatThrownBy(copies::close)
        .isInstanceOf(DeviceException.class)
        .satisfies(failure -> assertThat(failure.getSuppressed()).hasSize(1));
    assertThat(faults.calls("memFreeAsync")).isEqualTo(2);
    copies.close();
    assertThat(faults.calls("memFreeAsync")).isEqualTo(2);
  }
}
