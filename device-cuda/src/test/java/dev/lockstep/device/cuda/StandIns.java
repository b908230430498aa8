package dev.lockstep.device.cuda;

import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.lockstep.cache.Digests;
import dev.lockstep.device.DeviceProvider;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;

/// Stand-ins for CUDA's libraries that run the same kernels' source on the host: built with the
/// system's C++ compiler from `src/test/native`, once for each content, into `target/standins`.
///
/// A thread of a block is a fibre; their order is random by a seed, so that a missing barrier
/// shows. Streams are queues that run in a random order which events restrict, so that a missing
/// wait shows. Device memory is inaccessible to the host. What they cannot show: tensor cores,
/// timing, real races.
public final class StandIns {
  private static final String COMPILER = "g++";
  private static final long BUILD_SECONDS = 120;

  private static final List<String> FLAGS =
      List.of(COMPILER, "-std=c++17", "-O1", "-march=native", "-fPIC", "-shared");

  private StandIns() {}

  /// Skips the test where there is no C++ compiler.
  public static void assumeCompiler() {
    assumeTrue(hasCompiler(), "judge cxx: no C++ compiler (apt-get install g++)");
  }

  private static boolean hasCompiler() {
    return Stream.of(System.getenv("PATH").split(":", -1))
        .anyMatch(folder -> Files.isExecutable(Path.of(folder, COMPILER)));
  }

  /// Returns the stand-in for libcuda.
  public static Path cuda() {
    return folder().resolve("libstandin-cuda.so");
  }

  /// Returns the stand-in for libnvrtc, which runs the system's compiler.
  public static Path nvrtc() {
    return folder().resolve("libstandin-nvrtc.so");
  }

  /// Returns the stand-in for libcublasLt.
  public static Path cublasLt() {
    return folder().resolve("libstandin-cublaslt.so");
  }

  /// Returns the stand-in for libnccl, whose ranks are threads of one process.
  public static Path nccl() {
    return folder().resolve("libstandin-nccl.so");
  }

  /// Returns what stands for libcuda, libnvrtc and libcublasLt and returns from every call at once:
  /// for what the host does beside a GPU.
  public static Path idle() {
    return folder().resolve("libstandin-idle.so");
  }

  /// Returns a folder for what [#idle] gives as kernels.
  public static Path idleCache() {
    return folder().resolve("idle");
  }

  /// Returns a folder for kernels that the stand-in for NVRTC compiled.
  public static Path cache() {
    return folder().resolve("cubins");
  }

  /// Returns devices that compute everything by kernels of this module, for tests of other
  /// packages.
  public static DeviceProvider devices() {
    return StandInDevices.exact();
  }

  /// Returns devices that multiply by the stand-in for cuBLASLt, for tests of other packages.
  public static DeviceProvider withCublasLt() {
    return StandInDevices.withCublasLt();
  }

  /// The folder of the libraries, which are built if they are not there. One process builds, others
  /// wait.
  private static Path folder() {
    assumeCompiler();
    Path module = Path.of(System.getProperty("lockstep.home"), "device-cuda");
    Path sources = module.resolve("src/test/native");
    Path folder = module.resolve("target/standins").resolve(digest(sources));
    Path built = folder.resolve("built");
    try {
      if (Files.exists(built)) {
        return folder;
      }
      Files.createDirectories(folder);
      Path guard = folder.resolve("lock");
      synchronized (StandIns.class) {
        try (FileChannel channel =
                FileChannel.open(guard, StandardOpenOption.CREATE, StandardOpenOption.WRITE);
            var _ = channel.lock()) {
          if (!Files.exists(built)) {
            build(sources, folder);
            Files.createFile(built);
          }
        }
      }
      return folder;
    } catch (IOException e) {
      throw new UncheckedIOException("stand-ins cannot be built: folder=" + folder, e);
    }
  }

  private static void build(Path sources, Path folder) throws IOException {
    List<Process> builds = new ArrayList<>();
    String header = "-DSTANDIN_DEVICE_HEADER=\"" + sources.resolve("device.h") + "\"";
    builds.add(compile(folder, "nvrtc", List.of(header, source(sources, "nvrtc"))));
    builds.add(compile(folder, "idle", List.of(source(sources, "idle"))));
    builds.add(
        compile(
            folder,
            "cuda",
            List.of(
                source(sources, "driver"),
                source(sources, "kernels"),
                source(sources, "streams"),
                source(sources, "switch"),
                "-ldl")));
    finish(builds, folder);
    builds.clear();
    for (String beside : List.of("cublaslt", "nccl")) {
      builds.add(
          compile(
              folder,
              beside,
              List.of(
                  source(sources, beside), "-L" + folder, "-lstandin-cuda", "-Wl,-rpath,$ORIGIN")));
    }
    finish(builds, folder);
  }

  private static String source(Path sources, String name) {
    return sources.resolve(name + ".cpp").toString();
  }

  private static Process compile(Path folder, String name, List<String> arguments)
      throws IOException {
    List<String> command = new ArrayList<>(FLAGS);
    String library = "libstandin-" + name + ".so";
    command.addAll(List.of("-Wl,-soname," + library, "-o", folder.resolve(library).toString()));
    command.addAll(arguments);
    return new ProcessBuilder(command)
        .redirectErrorStream(true)
        .redirectOutput(folder.resolve(name + ".log").toFile())
        .start();
  }

  private static void finish(List<Process> builds, Path folder) throws IOException {
    try {
      for (Process build : builds) {
        if (!build.waitFor(BUILD_SECONDS, TimeUnit.SECONDS) || build.exitValue() != 0) {
          throw new IllegalStateException(
              "a stand-in does not compile: command=%s (see the logs in %s)"
                  .formatted(build.info().commandLine().orElse(COMPILER), folder));
        }
      }
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new IllegalStateException("building was interrupted: folder=" + folder, e);
    }
  }

  private static String digest(Path sources) {
    try (Stream<Path> files = Files.list(sources)) {
      MessageDigest digest = Digests.sha256();
      digest.update(String.join(" ", FLAGS).getBytes(StandardCharsets.UTF_8));
      for (Path file : files.sorted().toList()) {
        digest.update(file.toString().getBytes(StandardCharsets.UTF_8));
        digest.update(Files.readAllBytes(file));
      }
      return HexFormat.of().formatHex(Arrays.copyOf(digest.digest(), 8));
    } catch (IOException e) {
      throw new UncheckedIOException("sources of the stand-ins cannot be read: " + sources, e);
    }
  }
}
