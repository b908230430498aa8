package dev.lockstep.collective;

import dev.lockstep.cache.UserCache;
import dev.lockstep.collective.plan.LinkTable;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Optional;

/// Whence a communicator knows what its links cost, by which it chooses algorithms. The first
/// rank's word holds for all.
public sealed interface LinkSource {
  /// Measured when the communicator is made, unless that was done before by as many ranks on this
  /// host under this Java. What cannot be written is not kept: the next start measures again. Nor
  /// is what only a disturbed machine can have shown: constants of a typical host serve, and a
  /// start ten minutes later measures again.
  ///
  /// @param cache folder in which what was measured is kept; empty to keep nothing
  /// @param warmUp how long the virtual machine may take at most to become fast before that
  /// @param anew whether to measure whatever is kept
  record Fitted(Optional<Path> cache, Duration warmUp, boolean anew) implements LinkSource {
    /// What a job can bear at its first start on a host.
    private static final Duration SHORT = Duration.ofSeconds(1);

    /// Checks the time.
    public Fitted {
      if (warmUp.isNegative()) {
        throw new IllegalArgumentException("warm-up is negative: warmUp=" + warmUp);
      }
    }
  }

  /// Said by whoever makes the communicator.
  ///
  /// @param table the constants; empty for those of a typical host
  record Stated(Optional<LinkTable> table) implements LinkSource {}

  /// Returns links that are measured once per host, transport and number of ranks, and kept in the
  /// user's cache: `$XDG_CACHE_HOME/lockstep`, or `~/.cache/lockstep`. Of a user who has neither
  /// nothing is kept.
  static LinkSource fitted() {
    return new Fitted(UserCache.find(System.getenv()), Fitted.SHORT, false);
  }

  /// Returns links of which nothing is known but whether ranks share memory: nothing is measured.
  static LinkSource typical() {
    return new Stated(Optional.empty());
  }

  /// Returns links with these constants.
  static LinkSource stated(LinkTable table) {
    return new Stated(Optional.of(table));
  }
}
