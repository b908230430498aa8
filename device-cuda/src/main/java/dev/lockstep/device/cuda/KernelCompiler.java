package dev.lockstep.device.cuda;

import static java.nio.charset.StandardCharsets.UTF_8;

import dev.lockstep.cache.Digests;
import dev.lockstep.device.cuda.ffi.Cu;
import dev.lockstep.device.cuda.ffi.Nvrtc;
import dev.lockstep.failure.DeviceException;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/// Compiles kernels from CUDA C++ to the machine code of one architecture (CUBIN, never PTX: a
/// newer toolkit's PTX does not load in an older driver), and keeps what it compiled. Thread-safe.
final class KernelCompiler {
  /// The headers that kernels include by their bare names.
  private static final List<String> HEADERS =
      List.of(
          "types.cuh",
          "math.cuh",
          "powers.cuh",
          "sums.cuh",
          "philox.cuh",
          "grid.cuh",
          "packs.cuh",
          "columns.cuh",
          "norms.cuh",
          "tiles.cuh",
          "mma.cuh",
          "attention_mma.cuh");

  // `elements.cu(12): error: identifier "x" is undefined`
  private static final Pattern ERROR =
      Pattern.compile("^(\\S+)\\((\\d+)\\): (?:catastrophic )?error.*");

  private final Nvrtc nvrtc;
  private final CubinCache cache;
  private final String device;
  private final String architecture;
  private final String version;
  private final Map<String, String> headers = new LinkedHashMap<>();

  /// Makes the compiler of a device's kernels.
  ///
  /// @param device name for errors
  /// @param architecture for example `sm_90a`
  KernelCompiler(Nvrtc nvrtc, CubinCache cache, String device, String architecture) {
    this.nvrtc = nvrtc;
    this.cache = cache;
    this.device = device;
    this.architecture = architecture;
    this.version = version(nvrtc);
    HEADERS.forEach(header -> headers.put(header, resource(header)));
  }

  private static String version(Nvrtc nvrtc) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment words = arena.allocate(ValueLayout.JAVA_INT, 2);
      int status = nvrtc.version(words.address(), words.address() + Integer.BYTES);
      return status == Cu.SUCCESS
          ? words.getAtIndex(ValueLayout.JAVA_INT, 0)
              + "."
              + words.getAtIndex(ValueLayout.JAVA_INT, 1)
          : "unknown";
    }
  }

  /// Returns NVRTC's version, `13.0`.
  String version() {
    return version;
  }

  static String resource(String name) {
    try (InputStream in = KernelCompiler.class.getResourceAsStream("kernels/" + name)) {
      if (in == null) {
        throw new IllegalStateException("kernel source is not in the jar: source=" + name);
      }
      return new String(in.readAllBytes(), UTF_8);
    } catch (IOException e) {
      throw new UncheckedIOException("kernel source cannot be read: source=" + name, e);
    }
  }

  /// Compiles a source of this module.
  ///
  /// @param name its file, `elements.cu`
  /// @param defines preprocessor definitions, `TILE=64`
  /// @throws DeviceException if it does not compile; the message shows the line
  byte[] compile(String name, List<String> defines) {
    return compile(name, resource(name), defines);
  }

  /// Compiles a source that was generated.
  ///
  /// @param name what errors call it
  byte[] compile(String name, String source, List<String> defines) {
    List<String> options = new ArrayList<>();
    options.add("--gpu-architecture=" + architecture);
    options.add("--std=c++17");
    // Sums and products round apart, as on the CPU: kernels say themselves where they fuse.
    options.add("--fmad=false");
    defines.forEach(define -> options.add("-D" + define));
    byte[] key = key(source, options);
    Optional<byte[]> kept = cache.find(key);
    if (kept.isPresent()) {
      return kept.get();
    }
    byte[] image = compileAnew(name, source, options);
    cache.keep(key, image);
    return image;
  }

  private byte[] key(String source, List<String> options) {
    MessageDigest digest = Digests.sha256();
    for (String text : headers.values()) {
      add(digest, text);
    }
    add(digest, source);
    options.forEach(option -> add(digest, option));
    add(digest, version);
    return digest.digest();
  }

  private static void add(MessageDigest digest, String text) {
    byte[] bytes = text.getBytes(UTF_8);
    digest.update((bytes.length + ":").getBytes(UTF_8));
    digest.update(bytes);
  }

  private byte[] compileAnew(String name, String source, List<String> options) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment word = arena.allocate(ValueLayout.JAVA_LONG);
      check(
          nvrtc.createProgram(
              word.address(),
              arena.allocateFrom(source).address(),
              arena.allocateFrom(name).address(),
              headers.size(),
              strings(arena, List.copyOf(headers.values())).address(),
              strings(arena, List.copyOf(headers.keySet())).address()),
          "nvrtcCreateProgram",
          name);
      long program = word.get(ValueLayout.JAVA_LONG, 0);
      try {
        int status =
            nvrtc.compileProgram(program, options.size(), strings(arena, options).address());
        if (status == Cu.NVRTC_ERROR_COMPILATION) {
          throw refused(name, source, log(arena, program));
        }
        check(status, "nvrtcCompileProgram", name);
        check(nvrtc.getCubinSize(program, word.address()), "nvrtcGetCUBINSize", name);
        MemorySegment image = arena.allocate(word.get(ValueLayout.JAVA_LONG, 0));
        check(nvrtc.getCubin(program, image.address()), "nvrtcGetCUBIN", name);
        return image.toArray(ValueLayout.JAVA_BYTE);
      } finally {
        word.set(ValueLayout.JAVA_LONG, 0, program);
        nvrtc.destroyProgram(word.address());
      }
    }
  }

  private String log(Arena arena, long program) {
    MemorySegment word = arena.allocate(ValueLayout.JAVA_LONG);
    if (nvrtc.getProgramLogSize(program, word.address()) != Cu.SUCCESS) {
      return "";
    }
    MemorySegment log = arena.allocate(word.get(ValueLayout.JAVA_LONG, 0) + 1);
    return nvrtc.getProgramLog(program, log.address()) == Cu.SUCCESS ? log.getString(0) : "";
  }

  private DeviceException refused(String name, String source, String log) {
    String shown = "";
    String error = log.strip();
    for (String line : log.split("\n", -1)) {
      Matcher found = ERROR.matcher(line.strip());
      if (found.matches()) {
        error = line.strip();
        shown = line(name, source, found.group(1), Integer.parseInt(found.group(2)));
        break;
      }
    }
    return new DeviceException(
        device,
        "nvrtcCompileProgram",
        Cu.NVRTC_ERROR_COMPILATION,
        "kernel does not compile: device=%s, source=%s, architecture=%s, nvrtc=%s, error=%s%s (report it with these versions)"
            .formatted(
                device,
                name,
                architecture,
                version,
                error,
                shown.isEmpty() ? "" : ", line=" + shown),
        null);
  }

  /// Returns a line of a source, from 1, or nothing.
  private String line(String name, String source, String file, int line) {
    String text = file.equals(name) ? source : headers.getOrDefault(file, "");
    List<String> lines = text.lines().toList();
    return line >= 1 && line <= lines.size() ? lines.get(line - 1).strip() : "";
  }

  private void check(int status, String function, String source) {
    if (status != Cu.SUCCESS) {
      throw new DeviceException(
          device,
          function,
          status,
          "%s failed: device=%s, source=%s, architecture=%s, nvrtc=%s, status=%d %s%s"
              .formatted(
                  function,
                  device,
                  source,
                  architecture,
                  version,
                  status,
                  nvrtc.errorString(status),
                  status == Cu.NVRTC_ERROR_INVALID_OPTION
                      ? " (install a CUDA toolkit that names this GPU's architecture)"
                      : ""),
          null);
    }
  }

  private static MemorySegment strings(Arena arena, List<String> texts) {
    MemorySegment array = arena.allocate(ValueLayout.JAVA_LONG, Math.max(1, texts.size()));
    for (int i = 0; i < texts.size(); i++) {
      array.setAtIndex(ValueLayout.JAVA_LONG, i, arena.allocateFrom(texts.get(i)).address());
    }
    return array;
  }
}
