package dev.lockstep.device;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.device.cpu.CpuDeviceProvider;
import dev.lockstep.graph.Graph;
import dev.lockstep.memory.MemoryPool;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.TestInstance;

/// A CUDA device and the CPU device, side by side for all tests of a class.
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
abstract class BesideTheCpu {
  private final MemoryPool pool = MemoryPool.root("beside", Long.MAX_VALUE);
  private Device cpu;
  private Device cuda;

  /// Returns the provider of the CUDA device.
  abstract DeviceProvider provider();

  @BeforeAll
  void open() {
    cuda = provider().open(0, new DeviceOptions(pool, 1, 0));
    cpu = new CpuDeviceProvider().open(0, new DeviceOptions(pool, 1, 0));
  }

  @AfterAll
  void close() {
    if (cuda != null) {
      cuda.close();
      cpu.close();
      pool.close();
    }
  }

  Device cpu() {
    return cpu;
  }

  Device cuda() {
    return cuda;
  }

  /// Runs a graph on both and compares every bit of every output.
  ///
  /// @param what is computed, for the message
  void sameBits(Object what, Graph graph, Map<String, double[]> inputs) {
    List<byte[]> expected = DeviceRunner.bits(cpu, graph, inputs);
    List<byte[]> found = DeviceRunner.bits(cuda, graph, inputs);
    for (int i = 0; i < expected.size(); i++) {
      assertThat(found.get(i))
          .as("%s, output %s", what, graph.outputs().get(i).name())
          .isEqualTo(expected.get(i));
    }
  }
}
