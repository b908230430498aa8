package dev.lockstep.train.data;

import dev.lockstep.failure.LockstepException;
import java.nio.file.Path;
import java.util.Optional;

/// A tokenised data set, mapped from the cache: bytes as tokens 0 … 255, the training files' first,
/// then the held-out files'. Immutable and thread-safe; readers are not. Close it after its
/// readers.
public final class Corpus implements AutoCloseable {
  /// Number of distinct tokens.
  public static final int VOCABULARY = 256;

  private final TokenFile file;
  private final Path path;
  private final Optional<DataOptions> options;

  Corpus(TokenFile file, Path path, Optional<DataOptions> options) {
    this.file = file;
    this.path = path;
    this.options = options;
  }

  /// Opens the data set, from the cache if it is there, whole and up to date; else it is tokenised
  /// first. Blocks while another job builds the same cache.
  ///
  /// @param listener told about progress, and why a cache is built again
  /// @throws dev.lockstep.failure.ConfigurationException if the source has no readable text, or the
  ///   cache cannot be written or would be text of the source; names the option
  /// @throws java.io.UncheckedIOException if the thread is interrupted while it waits for another
  ///   job, which it then still is
  public static Corpus open(DataOptions options, CorpusListener listener) {
    return new CorpusCache(options, listener).open();
  }

  /// Opens a data set that the cache holds, whatever its text was called and wherever it is now.
  /// Its bytes are checked as they are by [#open].
  ///
  /// @param cache folder of the token cache
  /// @param sha256 the data set's, as [#sha256] says it
  /// @param listener told why a file that the cache has cannot be taken
  /// @return empty if the cache has no such data set, or not whole
  public static Optional<Corpus> openCached(Path cache, String sha256, CorpusListener listener) {
    return CorpusCache.openCached(cache, sha256, listener);
  }

  /// Returns whether the cache has a file for a data set, which may be damaged; it is not read.
  ///
  /// @param cache folder of the token cache
  /// @param sha256 the data set's, as [#sha256] says it
  public static boolean isCached(Path cache, String sha256) {
    return CorpusCache.isCached(cache, sha256);
  }

  /// Returns the number of training tokens.
  public long trainTokens() {
    return file.trainTokens();
  }

  /// Returns the number of held-out tokens.
  public long validationTokens() {
    return file.validationTokens();
  }

  /// Returns the data set's SHA-256 as 64 hexadecimal digits.
  public String sha256() {
    return file.sha256();
  }

  /// Returns which text it is and where its tokens are cached, empty where it was opened by its
  /// SHA-256 alone.
  public Optional<DataOptions> options() {
    return options;
  }

  /// Returns the cache file.
  public Path path() {
    return path;
  }

  /// Returns a reader with a decompressed block of its own.
  public CorpusReader newReader() {
    return new CorpusReader(file);
  }

  /// Unmaps the data set; idempotent.
  @Override
  public void close() {
    file.close();
  }

  /// A block that was whole when the cache was opened cannot be read any more.
  public static final class ReadException extends LockstepException {
    private static final long serialVersionUID = 1L;

    ReadException(long block, Throwable cause) {
      super(
          "data set cannot be read: block=" + block + " (the cache file changed; run again)",
          cause);
    }
  }
}
