package dev.lockstep.device.cuda.ffi;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.TreeMap;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/// NVIDIA's compiler, asked what it says of kernels of this module.
public final class RealNvrtc {
  /// The folder of the module's kernels.
  static final Path SOURCES =
      Path.of(
          System.getProperty("lockstep.home"),
          "device-cuda/src/main/resources/dev/lockstep/device/cuda/kernels");

  private static final Pattern SPILLS =
      Pattern.compile("(\\d+) bytes spill stores, (\\d+) bytes spill loads");

  private final Nvrtc nvrtc;
  private final TreeMap<String, String> headers = new TreeMap<>();

  private RealNvrtc(Nvrtc nvrtc) throws IOException {
    this.nvrtc = nvrtc;
    try (Stream<Path> files = Files.list(SOURCES)) {
      for (Path file : files.filter(path -> path.toString().endsWith(".cuh")).toList()) {
        headers.put(file.getFileName().toString(), Files.readString(file));
      }
    }
  }

  /// Returns the compiler; skips the test where it is not installed.
  public static RealNvrtc find() throws IOException {
    var library = RealLibraries.find("libnvrtc.so.");
    assumeTrue(
        library.isPresent(),
        "judge nvrtc: not installed (pip install nvidia-cuda-nvrtc into LOCKSTEP_PYTHON, or run"
            + " .ci/run once)");
    var files = new LibraryFiles(List.of(), List.of(library.get().toString()), List.of());
    return new RealNvrtc(CudaLibraries.nvrtc(files).orElseThrow());
  }

  /// Compiles a source and returns what the compiler says of it if a kernel spills, else nothing.
  public String spills(String name, String source, List<String> defines, String architecture) {
    String log = compile(name, source, defines, architecture);
    Matcher found = SPILLS.matcher(log);
    boolean spills = false;
    int kernels = 0;
    while (found.find()) {
      kernels++;
      spills |= !found.group().equals("0 bytes spill stores, 0 bytes spill loads");
    }
    assertThat(kernels).as("kernels that the log of %s tells of: %s", name, log).isPositive();
    return spills ? log : "";
  }

  private String compile(String name, String source, List<String> defines, String architecture) {
    List<String> options = new ArrayList<>();
    options.add("--gpu-architecture=" + architecture);
    options.add("--std=c++17");
    options.add("--fmad=false");
    options.add("--ptxas-options=-v");
    options.addAll(defines);
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment word = arena.allocate(ValueLayout.JAVA_LONG);
      int created =
          nvrtc.createProgram(
              word.address(),
              arena.allocateFrom(source).address(),
              arena.allocateFrom(name).address(),
              headers.size(),
              strings(arena, List.copyOf(headers.values())),
              strings(arena, List.copyOf(headers.keySet())));
      assertThat(created).isZero();
      long program = word.get(ValueLayout.JAVA_LONG, 0);
      int status = nvrtc.compileProgram(program, options.size(), strings(arena, options));
      assertThat(nvrtc.getProgramLogSize(program, word.address())).isZero();
      MemorySegment log = arena.allocate(word.get(ValueLayout.JAVA_LONG, 0) + 1);
      assertThat(nvrtc.getProgramLog(program, log.address())).isZero();
      assertThat(status).as("%s for %s: %s", name, architecture, log.getString(0)).isZero();
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
