package dev.lockstep.device.cuda.ffi;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.device.cuda.AttentionSources;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Predicate;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// Every kernel compiles with NVIDIA's own compiler to machine code of each architecture, and keeps
/// its numbers in registers.
@Timeout(300)
class RealNvrtcTest {
  private static RealNvrtc nvrtc;

  private record Unit(String file, List<String> defines) {}

  @BeforeAll
  static void find() throws IOException {
    nvrtc = RealNvrtc.find();
  }

  /// Those with the most numbers to keep; the others follow in the long suites.
  @Test
  void compilesTheLargestKernelsForBlackwellWithoutSpills() throws IOException {
    check("sm_100a", file -> file.startsWith("attention"), 64);
  }

  @Tag("long")
  @ParameterizedTest
  @ValueSource(strings = {"sm_90a", "sm_100a", "sm_103a", "sm_120a"})
  void compilesEveryKernelAndSizeOfHeadWithoutSpills(String architecture) throws IOException {
    check(architecture, _ -> true, 64, 128, 256, 33);
  }

  private static void check(String architecture, Predicate<String> files, int... headSizes)
      throws IOException {
    List<String> wrong =
        units(files, headSizes).parallelStream()
            .map(unit -> complaint(unit, architecture))
            .filter(complaint -> !complaint.isEmpty())
            .toList();
    assertThat(wrong).isEmpty();
  }

  private static String complaint(Unit unit, String architecture) {
    try {
      String source = Files.readString(RealNvrtc.SOURCES.resolve(unit.file()));
      String log = nvrtc.spills(unit.file(), source, unit.defines(), architecture);
      return log.isEmpty() ? "" : unit + ": " + log;
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private static List<Unit> units(Predicate<String> wanted, int... headSizes) throws IOException {
    List<Unit> units = new ArrayList<>();
    try (Stream<Path> files = Files.list(RealNvrtc.SOURCES)) {
      for (String file :
          files.map(path -> path.getFileName().toString()).filter(wanted).sorted().toList()) {
        if (file.contains("_mma")) {
          for (int size : headSizes) {
            sources(file, size).forEach(units::add);
          }
        } else if (file.startsWith("attention")) {
          for (int size : headSizes) {
            int tile = file.equals("attention.cu") ? forwardTile(size) : backwardTile(size);
            units.add(new Unit(file, List.of("-DHEAD_SIZE=" + size, "-DTILE=" + tile)));
          }
        } else if (file.endsWith(".cu")) {
          units.add(new Unit(file, List.of()));
          if (file.endsWith("_norm.cu") && !file.startsWith("squared")) {
            units.add(new Unit(file, List.of("-DWIDTH=768")));
          }
        }
      }
    }
    return units;
  }

  private static Stream<Unit> sources(String file, int headSize) {
    return headSize % 16 != 0 || headSize > 128
        ? Stream.empty()
        : AttentionSources.of(headSize).stream()
            .filter(source -> source.file().equals(file))
            .map(source -> new Unit(file, source.defines().stream().map(d -> "-D" + d).toList()));
  }

  // The same numbers as AttentionLowering's.
  private static int forwardTile(int size) {
    return size <= 128 ? 64 : 32;
  }

  private static int backwardTile(int size) {
    return size <= 64 ? 64 : size <= 128 ? 32 : 16;
  }
}
