package dev.lockstep.device.cuda;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.device.RandomChains;
import dev.lockstep.device.cuda.ffi.RealNvrtc;
import dev.lockstep.graph.Graph;
import dev.lockstep.locale.PersianDigits;
import dev.lockstep.tensor.Shape;
import java.io.IOException;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// Kernels that are written for chains compile with NVIDIA's own compiler and keep their numbers in
/// registers.
@Timeout(300)
class FusedSourceTest {
  @Test
  void generatedKernelsCompileForHopperWithoutSpills() throws IOException {
    check(1, 2, "sm_90a");
  }

  @Tag("long")
  @ParameterizedTest
  @ValueSource(strings = {"sm_90a", "sm_100a", "sm_120a"})
  void manyGeneratedKernelsCompileWithoutSpills(String architecture) throws IOException {
    check(100, 110, architecture);
  }

  @Test
  void kernelsAreTheSameTextInEveryLocale() {
    Set<Kernels.Source> sources = sources(1, 2);
    try (PersianDigits _ = new PersianDigits()) {
      assertThat(sources(1, 2)).isEqualTo(sources);
    }
  }

  private static void check(int from, int to, String architecture) throws IOException {
    RealNvrtc nvrtc = RealNvrtc.find();
    Set<Kernels.Source> sources = sources(from, to);
    assertThat(sources).hasSizeGreaterThan(3);
    List<String> wrong = new ArrayList<>();
    for (Kernels.Source source : sources) {
      String text = String.valueOf(source.text());
      String log = nvrtc.spills(source.file(), text, List.of(), architecture);
      if (!log.isEmpty()) {
        wrong.add(text + log);
      }
    }
    assertThat(wrong).isEmpty();
  }

  private static Set<Kernels.Source> sources(int from, int to) {
    Set<Kernels.Source> sources = new LinkedHashSet<>();
    for (int seed = from; seed < to; seed++) {
      Graph graph = RandomChains.of(seed, Shape.of(33, 64), 48).graph();
      for (ProgramUnit unit : ElementFusion.fuse(graph, CudaUnit.of(graph, Optional.empty()))) {
        if (unit instanceof FusedUnit fused) {
          sources.add(FusedSource.of(fused).source());
        }
      }
    }
    return sources;
  }
}
