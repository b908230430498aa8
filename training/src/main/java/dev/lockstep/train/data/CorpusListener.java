package dev.lockstep.train.data;

/// Hears how the opening of a data set goes.
public interface CorpusListener {
  /// Hears nothing.
  CorpusListener SILENT = new CorpusListener() {};

  /// A cache is built, or built again.
  ///
  /// @param reason one clause, for example `no cache yet` or `the cache is damaged: block checksum
  ///   differs: block=3`
  default void building(String reason) {}

  /// Files have been tokenised.
  ///
  /// @param filesDone files read so far
  /// @param files files in all
  default void progress(long filesDone, long files) {}

  /// A file is left out, since it is no text; heard when the data set is tokenised, not when it
  /// comes from the cache.
  ///
  /// @param file its name within the source
  /// @param reason one clause, for example `it is not UTF-8`
  default void leftOut(String file, String reason) {}

  /// Another job builds the same cache; this one waits for it.
  default void waiting() {}
}
