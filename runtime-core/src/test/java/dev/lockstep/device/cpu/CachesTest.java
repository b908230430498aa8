package dev.lockstep.device.cpu;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.device.Device;
import dev.lockstep.device.DeviceInfo;
import dev.lockstep.device.DeviceOptions;
import dev.lockstep.graph.Blocks;
import dev.lockstep.graph.Graph;
import dev.lockstep.graph.GraphBuilder;
import dev.lockstep.graph.Primitive.MatMul;
import dev.lockstep.graph.ValueType;
import dev.lockstep.memory.MemoryPool;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

@Timeout(60)
class CachesTest {
  private static final int M = 40;
  private static final int N = 300;
  private static final int K = 1100;

  /// From caches that hold one panel to such as hold more than there is: with the smallest, `B` is
  /// packed in groups of columns, or the sum is made in parts.
  private static final List<Caches> SIZES =
      List.of(
          new Caches(1, 1),
          new Caches(128 << 10, 8 << 20),
          Caches.USUAL,
          new Caches(1L << 40, 1L << 40));

  @ParameterizedTest(name = "transposeA={0} transposeB={1} blocks={2}")
  @CsvSource({
    "false, false, 1",
    "false, true, 1",
    "true, false, 1",
    "true, true, 1",
    "true, false, 4",
    "false, false, 4"
  })
  void productsHaveTheSameBitsWhateverTheCachesHold(
      boolean transposeA, boolean transposeB, int blocks) {
    Graph graph = product(transposeA, transposeB, blocks);
    Map<String, double[]> inputs = Map.of("a", numbers(M * K, 1), "b", numbers(K * N, 2));
    double[] expected;
    try (Device scalar = GraphRun.device(1, KernelSet.SCALAR_BITS);
        GraphRun run = new GraphRun(scalar, graph)) {
      expected = run.run(inputs).getFirst();
    }
    for (Caches caches : SIZES) {
      try (Device device = device(caches);
          GraphRun run = new GraphRun(device, graph)) {
        assertThat(run.run(inputs).getFirst()).as(caches.toString()).isEqualTo(expected);
      }
    }
  }

  @Test
  void whatIsPackedAtOnceFollowsTheCaches() {
    Gemm gemm = Gemm.of(10 * M, N, K, false, false, 1, 1);
    int widest = KernelSet.preferredBits();
    if (widest == KernelSet.SCALAR_BITS) {
      return;
    }
    GemmKernels small = KernelSet.vector(widest, SIZES.getFirst()).gemm();
    GemmKernels large = KernelSet.vector(widest, SIZES.getLast()).gemm();
    assertThat(small.scratchBytes(gemm)).isLessThan(large.scratchBytes(gemm));
    assertThat(small.groupBytes()).isLessThan(small.packedBytes(gemm));
    assertThat(large.groupBytes()).isGreaterThan(large.packedBytes(gemm));
  }

  @Test
  void sizesAreReadWhereLinuxTellsThem(@TempDir Path folder) throws IOException {
    cache(folder, "index0", "1", "Data", "48K");
    cache(folder, "index1", "1", "Instruction", "32K");
    cache(folder, "index2", "2", "Unified", "1280K");
    cache(folder, "index3", "3", "Unified", "36M");
    Caches found = Caches.in(folder);
    assertThat(found)
        .isEqualTo(new Caches(1280 << 10, 36 << 20))
        .hasToString("caches 1280 KiB and 36 MiB");
  }

  @Test
  void whatIsNotToldIsTakenToBeUsual(@TempDir Path folder) throws IOException {
    assertThat(Caches.in(folder.resolve("absent"))).isEqualTo(Caches.USUAL);
    cache(folder, "index2", "2", "Unified", "512K");
    cache(folder, "index3", "3", "Unified", "unknown");
    Files.createDirectory(folder.resolve("index4"));
    Files.writeString(folder.resolve("uevent"), "");
    assertThat(Caches.in(folder)).isEqualTo(new Caches(512 << 10, Caches.USUAL.lastBytes()));
  }

  private static void cache(Path folder, String name, String level, String type, String size)
      throws IOException {
    Path cache = Files.createDirectory(folder.resolve(name));
    Files.writeString(cache.resolve("level"), level + "\n");
    Files.writeString(cache.resolve("type"), type + "\n");
    Files.writeString(cache.resolve("size"), size + "\n");
  }

  private static Device device(Caches caches) {
    int bits = KernelSet.preferredBits();
    KernelSet kernels =
        bits == KernelSet.SCALAR_BITS ? KernelSet.scalar() : KernelSet.vector(bits, caches);
    MemoryPool pool = MemoryPool.root("test", Long.MAX_VALUE);
    DeviceInfo info = new DeviceInfo("cpu:0", caches.toString(), 1, bits, true);
    return new CpuDevice(info, new DeviceOptions(pool, 1, bits), kernels);
  }

  private static Graph product(boolean transposeA, boolean transposeB, int blocks) {
    GraphBuilder builder = new GraphBuilder("product");
    var a = builder.input("a", transposeA ? ValueType.f32(K, M) : ValueType.f32(M, K));
    var b = builder.input("b", transposeB ? ValueType.f32(N, K) : ValueType.f32(K, N));
    MatMul product = new MatMul(transposeA, transposeB, new Blocks(1, blocks));
    builder.output("c", builder.one(product, a, b));
    return builder.build();
  }

  private static double[] numbers(int count, long seed) {
    return new Random(seed).doubles(count, -1, 1).map(x -> (double) (float) x).toArray();
  }
}
