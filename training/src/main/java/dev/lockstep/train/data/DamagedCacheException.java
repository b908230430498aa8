package dev.lockstep.train.data;

/// A cache file is not what was written; the cache is rebuilt.
final class DamagedCacheException extends Exception {
  private static final long serialVersionUID = 1L;

  DamagedCacheException(String what) {
    super(what);
  }
}
