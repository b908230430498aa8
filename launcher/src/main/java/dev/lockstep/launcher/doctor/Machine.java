package dev.lockstep.launcher.doctor;

import java.lang.management.ManagementFactory;
import java.lang.module.ModuleFinder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;

/// Java, processor and memory.
final class Machine {
  private static final int JAVA = 25;
  // A rank of the smallest job: heap, code and buffers.
  private static final long ENOUGH_MEMORY_BYTES = 512L << 20;

  List<Finding> findings() {
    return List.of(jdk(), processor(), vectors(), memory());
  }

  private static Finding jdk() {
    Runtime.Version version = Runtime.version();
    String detail =
        "%s %s, %s"
            .formatted(System.getProperty("java.vendor"), version, System.getProperty("java.home"));
    if (version.feature() != JAVA) {
      return Finding.needed("JDK", detail + " (install a JDK " + JAVA + ")");
    }
    return Files.exists(Path.of(System.getProperty("java.home"), "lib", "src.zip"))
        ? Finding.ok("JDK", detail)
        : Finding.ok("JDK", detail + ", without lib/src.zip (give gpt its text by --data)");
  }

  private static Finding processor() {
    String model =
        ProcFiles.value("/proc/cpuinfo", "model name").orElse(System.getProperty("os.arch"));
    int cores = Runtime.getRuntime().availableProcessors();
    return Finding.ok("processor", "%d cores, %s".formatted(cores, model));
  }

  private static Finding vectors() {
    if (ModuleFinder.ofSystem().find("jdk.incubator.vector").isEmpty()) {
      return Finding.absent(
          "vectors",
          "this JDK lacks jdk.incubator.vector (use a full JDK: scalar kernels are slow)");
    }
    Optional<String> flags =
        ProcFiles.value("/proc/cpuinfo", "flags")
            .or(() -> ProcFiles.value("/proc/cpuinfo", "Features"));
    Set<String> known = new HashSet<>(List.of(flags.orElse("").split(" ")));
    return flags.isEmpty()
        ? Finding.ok("vectors", "width unknown")
        : Finding.ok("vectors", width(known));
  }

  private static String width(Set<String> flags) {
    if (flags.contains("avx512f")) {
      return "512 bits (AVX-512)";
    }
    if (flags.contains("avx2")) {
      return "256 bits (AVX2)";
    }
    if (flags.contains("sve")) {
      return "128 bits or more (SVE)";
    }
    return flags.contains("asimd") ? "128 bits (NEON)" : "128 bits (SSE)";
  }

  private static Finding memory() {
    if (!(ManagementFactory.getOperatingSystemMXBean()
        instanceof com.sun.management.OperatingSystemMXBean system)) {
      return Finding.ok("memory", "unknown");
    }
    long total = system.getTotalMemorySize();
    long free = Math.min(available(), total);
    String detail = "%s, %s available".formatted(ProcFiles.size(total), ProcFiles.size(free));
    return free < ENOUGH_MEMORY_BYTES
        ? Finding.needed(
            "memory",
            detail + " (a rank needs " + ProcFiles.size(ENOUGH_MEMORY_BYTES) + ": free some)")
        : Finding.ok("memory", detail);
  }

  private static long available() {
    return ProcFiles.value("/proc/meminfo", "MemAvailable")
        .map(text -> Long.parseLong(text.replaceAll("\\D", "")) * 1024)
        .orElse(Long.MAX_VALUE);
  }
}
