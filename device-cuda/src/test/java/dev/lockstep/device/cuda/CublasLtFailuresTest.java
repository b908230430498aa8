package dev.lockstep.device.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import dev.lockstep.device.Device;
import dev.lockstep.device.DeviceOptions;
import dev.lockstep.device.Program;
import dev.lockstep.device.cuda.ffi.Cu;
import dev.lockstep.device.cuda.ffi.CublasLt;
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
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/// What becomes of cuBLASLt's statuses.
@Timeout(60)
class CublasLtFailuresTest {
  private static final int INTERNAL_ERROR = 14;

  private final FaultyCublasLt faults = new FaultyCublasLt();
  private final MemoryPool pool = MemoryPool.root("failures", Long.MAX_VALUE);
  private Device device;

  /// A cuBLASLt some of whose functions fail on demand.
  private static final class FaultyCublasLt extends FaultyCalls<CublasLt> {
    FaultyCublasLt() {
      super(CublasLt.class);
    }
  }

  @BeforeEach
  void open() {
    device = StandInDevices.withCublasLt(faults::over).open(0, new DeviceOptions(pool, 1, 0));
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

  @Test
  void aRefusedProductIsNamed() {
    faults.fail("matmulAlgoGetHeuristic", INTERNAL_ERROR);
    DeviceException refused =
        catchThrowableOfType(DeviceException.class, () -> device.compile(square()));
    assertThat(refused.function()).isEqualTo("cublasLtMatmulAlgoGetHeuristic");
    assertThat(refused.status()).isEqualTo(INTERNAL_ERROR);
    assertThat(refused).hasMessageContaining("cublasLt m=3 n=3 k=3 F32");
  }

  @Test
  void aFailedProductIsNamedAndTheProgramStaysUsable() {
    try (Buffer buffer = device.allocate("matrices", 256);
        Program program = device.compile(square())) {
      Tensor x = new Tensor(buffer, 0, DType.F32, Shape.of(3, 3));
      Tensor y = new Tensor(buffer, 128, DType.F32, Shape.of(3, 3));
      faults.fail("matmul", INTERNAL_ERROR);
      DeviceException failed =
          catchThrowableOfType(DeviceException.class, () -> program.bind(Map.of("x", x, "y", y)));
      assertThat(failed.function()).isEqualTo("cublasLtMatmul");
      assertThat(failed)
          .hasMessageContaining("device=cuda:0, status=14")
          .hasMessageContaining("cublasLt m=3 n=3 k=3 F32");
      faults.heal();
      assertThat(program.bind(Map.of("x", x, "y", y)).program()).isEqualTo(program);
    }
  }

  /// Kernels of the module's own multiply what the library has nothing for.
  @Test
  void aProductThatIsNotSupportedGoesToAKernel() {
    faults.fail("matmulAlgoGetHeuristic", Cu.CUBLAS_NOT_SUPPORTED);
    try (Program program = device.compile(square())) {
      assertThat(program.explain()).contains("matmul_f32").doesNotContain("cublasLt m");
    }
  }

  /// A copy that a binding makes of what is not aligned is given back if the binding fails.
  @Test
  void aFailedBindingLeavesNoCopyBehind() {
    try (Buffer buffer = device.allocate("matrices", 256);
        Program program = device.compile(square())) {
      long before = pool.usedBytes();
      Tensor x = new Tensor(buffer, 4, DType.F32, Shape.of(3, 3));
      Tensor y = new Tensor(buffer, 128, DType.F32, Shape.of(3, 3));
      faults.fail("matmul", INTERNAL_ERROR);
      assertThat(
              catchThrowableOfType(
                  DeviceException.class, () -> program.bind(Map.of("x", x, "y", y))))
          .isNotNull();
      assertThat(pool.usedBytes()).isEqualTo(before);
      faults.heal();
      assertThat(program.bind(Map.of("x", x, "y", y))).isNotNull();
      assertThat(pool.usedBytes()).isEqualTo(before + 36);
    }
  }
}
