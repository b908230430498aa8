package dev.lockstep.device.cuda.ffi;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.lockstep.device.cuda.AttentionSources;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.TreeMap;
import java.util.function.Predicate;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
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
  private static final Path SOURCES =
      Path.of(
          System.getProperty("lockstep.home"),
          "device-cuda/src/main/resources/dev/lockstep/device/cuda/kernels");

  private static final Pattern SPILLS =
      Pattern.compile("(\\d+) bytes spill stores, (\\d+) bytes spill loads");

  private static Nvrtc nvrtc;

  private record Unit(String file, List<String> defines) {}

  @BeforeAll
  static void find() {
    var library = RealLibraries.find("libnvrtc.so.");
    assumeTrue(
        library.isPresent(),
        "judge nvrtc: not installed (pip install nvidia-cuda-nvrtc into LOCKSTEP_PYTHON, or run"
            + " .ci/run once)");
    var files = new LibraryFiles(List.of(), List.of(library.get().toString()), List.of());
    nvrtc = CudaLibraries.nvrtc(files).orElseThrow();
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
    List<String> wrong = new ArrayList<>();
    for (Unit unit : units(files, headSizes)) {
      String log = compile(unit, architecture);
      Matcher found = SPILLS.matcher(log);
      int kernels = 0;
      while (found.find()) {
        kernels++;
        if (!found.group().equals("0 bytes spill stores, 0 bytes spill loads")) {
          wrong.add(unit + ": " + log);
        }
      }
      assertThat(kernels).as("kernels that the log of %s tells of: %s", unit, log).isPositive();
    }
    assertThat(wrong).isEmpty();
  }

  private static List<Unit> units(Predicate<String> wanted, int... headSizes) throws IOException {
    List<Unit> units = new ArrayList<>();
    try (Stream<Path> files = Files.list(SOURCES)) {
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

  private static String compile(Unit unit, String architecture) throws IOException {
    var headers = new TreeMap<String, String>();
    try (Stream<Path> files = Files.list(SOURCES)) {
      for (Path file : files.filter(path -> path.toString().endsWith(".cuh")).toList()) {
        headers.put(file.getFileName().toString(), Files.readString(file));
      }
    }
    List<String> options = new ArrayList<>();
    options.add("--gpu-architecture=" + architecture);
    options.add("--std=c++17");
    options.add("--fmad=false");
    options.add("--ptxas-options=-v");
    options.addAll(unit.defines());
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment word = arena.allocate(ValueLayout.JAVA_LONG);
      int created =
          nvrtc.createProgram(
              word.address(),
              arena.allocateFrom(Files.readString(SOURCES.resolve(unit.file()))).address(),
              arena.allocateFrom(unit.file()).address(),
              headers.size(),
              strings(arena, List.copyOf(headers.values())),
              strings(arena, List.copyOf(headers.keySet())));
      assertThat(created).isZero();
      long program = word.get(ValueLayout.JAVA_LONG, 0);
      int status = nvrtc.compileProgram(program, options.size(), strings(arena, options));
      assertThat(nvrtc.getProgramLogSize(program, word.address())).isZero();
      MemorySegment log = arena.allocate(word.get(ValueLayout.JAVA_LONG, 0) + 1);
      assertThat(nvrtc.getProgramLog(program, log.address())).isZero();
      assertThat(status).as("%s for %s: %s", unit, architecture, log.getString(0)).isZero();
      assertThat(nvrtc.getCubinSize(program, word.address())).isZero();
      assertThat(word.get(ValueLayout.JAVA_LONG, 0)).isPositive();
      word.set(ValueLayout.JAVA_LONG, 0, program);
      nvrtc.destroyProgram(word.address());
      return log.getString(0);
    }
  }

  private static long strings(Arena arena, List<String> texts) {
    MemorySegment array = arena.allocate(ValueLayout.JAVA_LONG, Math.max(1, texts.size()));
    for (int i = 0; i < texts.size(); i++) {
      array.setAtIndex(ValueLayout.JAVA_LONG, i, arena.allocateFrom(texts.get(i)).address());
    }
    return array.address();
  }
}
