package dev.lockstep.device.cpu;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;

/// What the caches of a core hold, and so what of a product is packed at once. The order of a sum
/// does not depend on it (see [Gemm]).
///
/// @param ownBytes what a core has to itself: the second level
/// @param lastBytes what comes before memory, whoever else uses it
record Caches(long ownBytes, long lastBytes) {
  /// Where the system does not tell: those of a server core of Zen 4 or later.
  static final Caches USUAL = new Caches(1 << 20, 32 << 20);

  private static final Path OF_FIRST_CORE = Path.of("/sys/devices/system/cpu/cpu0/cache");

  private static final long MIB = 1 << 20;

  Caches {
    if (ownBytes < 1 || lastBytes < 1) {
      throw new IllegalArgumentException(
          "caches must hold something: ownBytes=" + ownBytes + ", lastBytes=" + lastBytes);
    }
  }

  /// Returns the caches of this machine's first core.
  static Caches found() {
    return in(OF_FIRST_CORE);
  }

  /// Returns the caches that a folder describes as Linux does, [#USUAL] for what it leaves out.
  static Caches in(Path folder) {
    long own = 0;
    long last = 0;
    int lastLevel = 2;
    for (Path cache : list(folder)) {
      int level = (int) number(line(cache, "level"));
      long bytes = number(line(cache, "size"));
      if (line(cache, "type").equals("Instruction") || bytes == 0) {
        continue;
      }
      if (level == 2) {
        own = bytes;
      } else if (level > lastLevel) {
        lastLevel = level;
        last = bytes;
      }
    }
    return new Caches(own == 0 ? USUAL.ownBytes : own, last == 0 ? USUAL.lastBytes : last);
  }

  private static List<Path> list(Path folder) {
    try (Stream<Path> entries = Files.list(folder)) {
      return entries.filter(entry -> entry.getFileName().toString().startsWith("index")).toList();
    } catch (IOException absent) {
      return List.of();
    }
  }

  private static String line(Path cache, String file) {
    try {
      return Files.readString(cache.resolve(file)).strip();
    } catch (IOException absent) {
      return "";
    }
  }

  /// Returns what a file of the kernel says, `K` and `M` being binary, or 0.
  private static long number(String text) {
    long unit = text.endsWith("K") ? 1 << 10 : text.endsWith("M") ? 1 << 20 : 1;
    String digits = unit == 1 ? text : text.substring(0, text.length() - 1);
    return digits.matches("[0-9]{1,9}") ? Long.parseLong(digits) * unit : 0;
  }

  /// Returns what of `A` is multiplied while it stays in the core's own cache, beside the panel of
  /// `B` that passes through. Where a second level holds more than 2 MiB, cores share it.
  long sharingBytes() {
    return Math.clamp(ownBytes * 3 / 8, 64 << 10, 768 << 10);
  }

  /// Returns what of `B` is packed at once: it stays in the last cache, of which others take their
  /// share. More than 4 MiB were no faster where that holds 32 (docs/benchmarks.md).
  long groupBytes() {
    return Math.clamp(lastBytes / 8, MIB, 4 * MIB);
  }

  /// Returns what of a transposed `A` is packed at once at most; it comes back from the last cache.
  long acrossBytes() {
    return groupBytes() / 2;
  }

  @Override
  public String toString() {
    return "caches %s and %s".formatted(size(ownBytes), size(lastBytes));
  }

  private static String size(long bytes) {
    return bytes % MIB == 0 ? bytes / MIB + " MiB" : (bytes >> 10) + " KiB";
  }
}
