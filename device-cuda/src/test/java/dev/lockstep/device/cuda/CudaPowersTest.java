package dev.lockstep.device.cuda;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.device.DeviceOptions;
import dev.lockstep.device.DeviceProvider;
import dev.lockstep.device.cuda.ffi.CudaDriver.Geometry;
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
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/// Powers in kernels have the bits of `StrictMath.pow`, by which the CPU device makes AdamW's
/// corrections and rotary frequencies: kernels run on the stand-in for the driver, and in
/// [GpuPowersTest] on a GPU.
@Timeout(60)
class CudaPowersTest {
  private static final String SOURCE =
      """
      #include "grid.cuh"
      #include "powers.cuh"

      extern "C" __global__ void powers(const double* x, const double* y, double* out, long long n) {
        for (long long i = LS_GRID_INDEX; i < n; i += LS_GRID_STRIDE) {
          out[i] = ls_pow(x[i], y[i]);
        }
      }
      """;

  private final List<double[]> cases = new ArrayList<>();

  DeviceProvider provider() {
    return StandIns.devices();
  }

  private void add(double x, double y) {
    cases.add(new double[] {x, y});
  }

  @Test
  void ofBetasOverAHundredThousandSteps() {
    for (float beta : new float[] {0, 0.5f, 0.9f, 0.95f, 0.99f, 0.999f, 0.9999f}) {
      for (int step = 1; step <= 100_000; step++) {
        add(beta, step);
      }
    }
    compare();
  }

  @Test
  void ofRotaryBases() {
    for (float base : new float[] {2, 500, 10_000, 500_000, 1_000_000}) {
      for (int size = 2; size <= 256; size += 2) {
        for (int pair = 0; pair < size / 2; pair++) {
          add(base, -2.0 * pair / size);
        }
      }
    }
    compare();
  }

  /// Results from the least to the greatest number, and just beyond.
  @Test
  void ofAnyNumbers() {
    Random random = new Random(1);
    for (int i = 0; i < 100_000; i++) {
      double x = Double.longBitsToDouble(random.nextLong() & Long.MAX_VALUE);
      add(x, random.nextDouble(-1200, 1200) / (Math.log(x) / Math.log(2)));
      add(x, Double.longBitsToDouble(random.nextLong()));
      add(1 + random.nextGaussian() * 1e-6, random.nextGaussian() * 1e9);
      add(2, (random.nextBoolean() ? -1075 : 1024) + random.nextGaussian() * 1e-12);
    }
    compare();
  }

  @Test
  void ofSpecialNumbers() {
    double[] numbers = {
      0,
      Double.MIN_VALUE,
      1e-310,
      Double.MIN_NORMAL,
      0.5,
      0x1.fffffp-1,
      Math.nextDown(1.0),
      1,
      Math.nextUp(1.0),
      0x1.00000ffffffffp0,
      1.5,
      2,
      1023,
      1024,
      1074.5,
      1075,
      0x1p31,
      0x1.00000ffffffffp31,
      0x1p53,
      Double.MAX_VALUE,
      Double.POSITIVE_INFINITY,
      Double.NaN
    };
    for (double x : numbers) {
      for (double y : numbers) {
        add(x, y);
        add(x, -y);
      }
    }
    compare();
  }

  private void compare() {
    double[] found = powers();
    for (int i = 0; i < found.length; i++) {
      double x = cases.get(i)[0];
      double y = cases.get(i)[1];
      if (Double.compare(found[i], StrictMath.pow(x, y)) != 0) {
        assertThat(found[i]).as("%s ^ %s", x, y).isEqualTo(StrictMath.pow(x, y));
      }
    }
  }

  private double[] powers() {
    int n = cases.size();
    try (MemoryPool pool = MemoryPool.root("powers", Long.MAX_VALUE);
        CudaDevice device = (CudaDevice) provider().open(0, new DeviceOptions(pool, 1, 0));
        CudaStream stream = device.newStream();
        Buffer buffer = device.allocate("powers", 3L * n * Double.BYTES);
        Arena arena = Arena.ofConfined()) {
      MemorySegment operands = arena.allocate(ValueLayout.JAVA_DOUBLE, 2L * n);
      for (int i = 0; i < n; i++) {
        operands.setAtIndex(ValueLayout.JAVA_DOUBLE, i, cases.get(i)[0]);
        operands.setAtIndex(ValueLayout.JAVA_DOUBLE, n + i, cases.get(i)[1]);
      }
      stream.copyIn(new Tensor(buffer, 0, DType.F64, Shape.of(2L * n)), operands);
      stream.synchronize();
      Tensor out = new Tensor(buffer, 2L * n * Double.BYTES, DType.F64, Shape.of(n));
      launch(device, stream, device.address(out) - 2L * n * Double.BYTES, n, arena);
      MemorySegment results = arena.allocate(ValueLayout.JAVA_DOUBLE, n);
      stream.copyOut(results, out);
      return results.toArray(ValueLayout.JAVA_DOUBLE);
    }
  }

  private static void launch(CudaDevice device, CudaStream stream, long at, int n, Arena arena) {
    CudaContext context = device.context();
    context.enter();
    long function =
        device.kernels().function(Kernels.Source.generated("powers.cu", SOURCE), "powers", 0);
    long bytes = (long) n * Double.BYTES;
    long[] parameters = {at, at + bytes, at + 2 * bytes, n};
    MemorySegment values = arena.allocateFrom(ValueLayout.JAVA_LONG, parameters);
    MemorySegment pointers = arena.allocate(ValueLayout.JAVA_LONG, parameters.length);
    for (int i = 0; i < parameters.length; i++) {
      pointers.setAtIndex(ValueLayout.JAVA_LONG, i, values.address() + (long) i * Long.BYTES);
    }
    Geometry geometry = new Geometry(8, 1, 1, 256, 1, 1, 0);
    context.check(
        context.driver().launchKernel(function, geometry, stream.handle(), pointers.address()),
        "cuLaunchKernel",
        "kernel=powers");
    context.check(
        context.driver().streamSynchronize(stream.handle()), "cuStreamSynchronize", "powers");
  }
}
