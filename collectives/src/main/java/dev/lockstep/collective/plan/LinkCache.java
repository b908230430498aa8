package dev.lockstep.collective.plan;

import dev.lockstep.cache.WholeFile;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.DateTimeException;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Optional;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/// Fitted tables in files of a folder, one per host, transport and number of ranks, so that only
/// the first job of its kind measures. A file that is damaged, old or made under another Java
/// counts as absent, and one that cannot be written is passed over: both are said at debug level. A
/// file beside a table's says that what was measured last could not be true, and when. Files are
/// replaced as a whole. Thread-safe.
public final class LinkCache {
  private static final Logger LOG = LoggerFactory.getLogger(LinkCache.class);

  /// Machines change under a file: kernels, firmware, neighbours.
  private static final Duration MOST_AGE = Duration.ofDays(30);

  /// On a machine that is busy with something else a fit takes seconds, and is doubted again.
  private static final Duration DOUBT = Duration.ofMinutes(10);

  private final Path folder;

  /// Makes the cache; nothing is touched before it is used.
  ///
  /// @param folder where the files are; made when one is written
  public LinkCache(Path folder) {
    this.folder = folder;
  }

  /// Returns the table that holds for a key, if there is one.
  ///
  /// @param key as [LinkTable#key] makes it
  /// @param now tables that are too old by then are not found
  public Optional<LinkTable> find(String key, Instant now) {
    Path file = file(key);
    if (!Files.isRegularFile(file)) {
      return Optional.empty();
    }
    try {
      LinkTable table = LinkTable.decode(Files.readString(file));
      Duration age = Duration.between(table.fitted(), now);
      if (table.key().equals(key) && !age.isNegative() && age.compareTo(MOST_AGE) <= 0) {
        return Optional.of(table);
      }
      LOG.debug("table of links is fitted anew: file={}, key={}, age={}", file, table.key(), age);
    } catch (IOException | IllegalArgumentException wrong) {
      LOG.debug("table of links cannot be read: file={}, cause={}", file, wrong.toString());
    }
    return Optional.empty();
  }

  /// Keeps a table, if the folder can be written.
  public void keep(LinkTable table) {
    Path file = file(table.key());
    try {
      WholeFile.write(file, table.encode().getBytes(StandardCharsets.UTF_8));
      Files.deleteIfExists(doubtFile(table.key()));
    } catch (IOException cannot) {
      LOG.debug("table of links is not kept: file={}, cause={}", file, cannot.toString());
    }
  }

  /// Returns whether what was measured a short while ago could not be true, and nothing better has
  /// been kept since.
  ///
  /// @param key as [LinkTable#key] makes it
  public boolean isDoubted(String key, Instant now) {
    Path file = doubtFile(key);
    if (!Files.isRegularFile(file)) {
      return false;
    }
    try {
      List<String> lines = Files.readAllLines(file);
      if (lines.size() != 2 || !lines.getFirst().equals(key)) {
        return false;
      }
      Duration age = Duration.between(Instant.ofEpochSecond(Long.parseLong(lines.getLast())), now);
      return !age.isNegative() && age.compareTo(DOUBT) <= 0;
    } catch (IOException | NumberFormatException | DateTimeException wrong) {
      LOG.debug("doubt in links cannot be read: file={}, cause={}", file, wrong.toString());
      return false;
    }
  }

  /// Remembers that what was measured cannot be true, if the folder can be written.
  ///
  /// @param key as [LinkTable#key] makes it
  public void doubt(String key, Instant now) {
    Path file = doubtFile(key);
    try {
      String text = key + "\n" + now.getEpochSecond() + "\n";
      WholeFile.write(file, text.getBytes(StandardCharsets.UTF_8));
    } catch (IOException cannot) {
      LOG.debug("doubt in links is not kept: file={}, cause={}", file, cannot.toString());
    }
  }

  private Path doubtFile(String key) {
    Path file = file(key);
    return file.resolveSibling(file.getFileName() + ".doubted");
  }

  /// The first words of a key name its file; the others must match what it holds.
  Path file(String key) {
    StringBuilder name = new StringBuilder("links");
    for (String word : key.split(" ", -1)) {
      if (word.startsWith("processors=")) {
        break;
      }
      name.append('-').append(word.substring(word.indexOf('=') + 1).replaceAll("[^\\w.]", "_"));
    }
    return folder.resolve(name.append(".txt").toString());
  }
}
