package dev.lockstep.train.data;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.lockstep.cache.Digests;
import dev.lockstep.cache.MakersLock;
import dev.lockstep.cache.PrivateMode;
import dev.lockstep.cache.WholeFile;
import dev.lockstep.failure.ConfigurationException;
import dev.lockstep.train.options.FileTrouble;
import java.io.IOException;
import java.io.InterruptedIOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.Optional;

/// The content-addressed token cache. `tokens/SHA.lz4` holds a data set under its SHA-256;
/// `sources/KEY.json` says which data set a source had when it was last tokenised, and by which
/// fingerprint one sees that it has changed.
final class CorpusCache {
  private static final ObjectMapper JSON = new ObjectMapper();

  // Changes when other bytes of a source become tokens: then no older cache counts.
  private static final int READING = 2;

  private final DataOptions options;
  private final CorpusListener listener;
  private final Path index;

  CorpusCache(DataOptions options, CorpusListener listener) {
    this.options = options;
    this.listener = listener;
    String key =
        Digests.sha256Hex(
            TokenFile.VERSION
                + "\n"
                + READING
                + "\n"
                + options.suffix()
                + "\n"
                + options.source().toAbsolutePath().normalize());
    this.index = options.cache().resolve("sources").resolve(key + ".json");
  }

  Corpus open() {
    options.requireOutside("--cache", options.cache());
    try (TextSource source = TextSource.open(options.source(), options.suffix())) {
      String fingerprint = source.fingerprint();
      Optional<Corpus> cached = fromCache(fingerprint, CorpusListener.SILENT);
      return cached.isPresent() ? cached.get() : build(source, fingerprint);
    } catch (IOException e) {
      throw new ConfigurationException(
          "--data",
          options.source().toString(),
          "text cannot be read: --data="
              + options.source()
              + ", cause="
              + FileTrouble.words(e, options.source()),
          e);
    }
  }

  /// Opens a data set by its name alone: its text may be elsewhere by now, or gone.
  ///
  /// @param told why it cannot, where there is a file
  static Optional<Corpus> openCached(Path cache, String sha256, CorpusListener told) {
    if (!isCached(cache, sha256)) {
      return Optional.empty();
    }
    try {
      return Optional.of(opened(file(cache, sha256), sha256, Optional.empty()));
    } catch (IOException | DamagedCacheException e) {
      told.building(damaged(e));
      return Optional.empty();
    }
  }

  static boolean isCached(Path cache, String sha256) {
    return isName(sha256) && Files.isReadable(file(cache, sha256));
  }

  private static boolean isName(String sha256) {
    return sha256.matches("[0-9a-f]{64}");
  }

  private static Path file(Path cache, String sha256) {
    return tokens(cache).resolve(sha256 + ".lz4");
  }

  private static Corpus opened(Path file, String sha256, Optional<DataOptions> options)
      throws IOException, DamagedCacheException {
    TokenFile opened = TokenFile.open(file);
    if (!opened.sha256().equals(sha256)) {
      opened.close();
      throw new DamagedCacheException("file is another data set");
    }
    return new Corpus(opened, file, options);
  }

  private Corpus build(TextSource source, String fingerprint) throws IOException {
    try {
      Files.createDirectories(index.getParent(), PrivateMode.folder());
      Files.createDirectories(tokens(), PrivateMode.folder());
    } catch (IOException e) {
      throw cacheFailure(e);
    }
    try (MakersLock _ = lock()) {
      Optional<Corpus> builtMeanwhile = fromCache(fingerprint, listener);
      if (builtMeanwhile.isPresent()) {
        return builtMeanwhile.get();
      }
      UnfinishedTokens.removeAbandoned(tokens());
      Path file = new CorpusTokeniser(source, options, listener).tokenise(tokens());
      writeIndex(fingerprint, file);
      return new Corpus(TokenFile.open(file), file, Optional.of(options));
    } catch (CacheWriteException e) {
      throw cacheFailure(e.failure());
    } catch (DamagedCacheException e) {
      throw new ConfigurationException(
          "--cache",
          options.cache().toString(),
          "cache is damaged right after it was written: --cache="
              + options.cache()
              + ", cause="
              + e.getMessage()
              + " (choose another --cache folder)",
          e);
    }
  }

  private MakersLock lock() throws CacheWriteException {
    try {
      return MakersLock.acquire(
          options.cache().resolve("lock"),
          waited -> {
            if (waited.toSeconds() == 0) {
              listener.waiting();
            }
          });
    } catch (InterruptedIOException interrupted) {
      throw new UncheckedIOException(
          "interrupted while another rank makes the data set: folder=" + options.cache(),
          interrupted);
    } catch (IOException e) {
      throw new CacheWriteException(e);
    }
  }

  /// Returns the data set if the cache has it whole and up to date; else tells the listener why
  /// not.
  private Optional<Corpus> fromCache(String fingerprint, CorpusListener told) {
    try {
      JsonNode entry = JSON.readTree(Files.readAllBytes(index));
      if (!entry.path("fingerprint").asText().equals(fingerprint)) {
        told.building("the text has changed since the cache was made");
        return Optional.empty();
      }
      String sha256 = entry.path("sha256").asText();
      if (!isName(sha256)) {
        throw new DamagedCacheException("index names no data set");
      }
      Path file = file(options.cache(), sha256);
      return Optional.of(opened(file, sha256, Optional.of(options)));
    } catch (NoSuchFileException e) {
      told.building("no cache yet");
    } catch (IOException | DamagedCacheException e) {
      told.building(damaged(e));
    }
    return Optional.empty();
  }

  private static String damaged(Exception cause) {
    return "the cache is damaged: " + cause.getMessage();
  }

  private void writeIndex(String fingerprint, Path file) throws CacheWriteException {
    ObjectNode entry = JSON.createObjectNode();
    entry.put("source", options.source().toAbsolutePath().normalize().toString());
    entry.put("fingerprint", fingerprint);
    entry.put("sha256", file.getFileName().toString().replace(".lz4", ""));
    try {
      WholeFile.write(index, JSON.writerWithDefaultPrettyPrinter().writeValueAsBytes(entry));
    } catch (IOException e) {
      throw new CacheWriteException(e);
    }
  }

  private Path tokens() {
    return tokens(options.cache());
  }

  private static Path tokens(Path cache) {
    return cache.resolve("tokens");
  }

  private ConfigurationException cacheFailure(IOException cause) {
    return new ConfigurationException(
        "--cache",
        options.cache().toString(),
        "cache cannot be written: --cache="
            + options.cache()
            + ", cause="
            + FileTrouble.words(cause, options.cache())
            + " (choose a folder with room that you may write to)",
        cause);
  }

  /// The cache, not the source, failed.
  static final class CacheWriteException extends Exception {
    private static final long serialVersionUID = 1L;

    private final IOException failure;

    CacheWriteException(IOException failure) {
      super(failure);
      this.failure = failure;
    }

    IOException failure() {
      return failure;
    }
  }
}
