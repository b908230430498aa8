package dev.lockstep.collective.simulate;

/// The links between ranks that share a group of this level but none of a level below.
///
/// @param name for tables, for example `efa`
/// @param ranks how many consecutive ranks form one group; [#ALL] for the outermost level
/// @param messageNanos latency of a message: from its sending to the arrival of its first byte
/// @param shortBytes longest message that has a way of its own, beside a signal; 0 if there is none
/// @param shortNanos latency of a message of up to `shortBytes`
/// @param signalNanos latency of a signal in shared memory
/// @param bandwidth of one rank's link, each direction, in bytes per second
/// @param memory rates at which one rank reads and writes a peer's memory in place
/// @param uplinkBytesPerSecond what all ranks of one group of the level below carry over this level
///   together, each direction; those that use it in a schedule share it evenly; 0 where every rank
///   has its link to itself
public record Level(
    String name,
    long ranks,
    double messageNanos,
    long shortBytes,
    double shortNanos,
    double signalNanos,
    Rates bandwidth,
    PeerRates memory,
    double uplinkBytesPerSecond) {
  /// Group size of a level that joins all ranks.
  public static final long ALL = Long.MAX_VALUE;

  /// Checks the numbers.
  public Level {
    if (ranks < 1) {
      throw new IllegalArgumentException("a level joins ranks: level=" + name + ", ranks=" + ranks);
    }
    if (!(messageNanos > 0) || !(shortNanos > 0) || !(signalNanos > 0)) {
      throw new IllegalArgumentException(
          "latency must be above 0: level=%s, messageNanos=%s, shortNanos=%s, signalNanos=%s"
              .formatted(name, messageNanos, shortNanos, signalNanos));
    }
    if (shortBytes < 0) {
      throw new IllegalArgumentException(
          "length is negative: level=%s, shortBytes=%d".formatted(name, shortBytes));
    }
    if (!(uplinkBytesPerSecond >= 0)) {
      throw new IllegalArgumentException(
          "uplink is negative: level=%s, uplinkBytesPerSecond=%s"
              .formatted(name, uplinkBytesPerSecond));
    }
  }

  /// Returns the same links at other rates.
  public Level withRates(Rates bandwidth, PeerRates memory) {
    return new Level(
        name,
        ranks,
        messageNanos,
        shortBytes,
        shortNanos,
        signalNanos,
        bandwidth,
        memory,
        uplinkBytesPerSecond);
  }

  /// Returns the same links where each has a cable to itself.
  public Level withoutUplink() {
    return new Level(
        name, ranks, messageNanos, shortBytes, shortNanos, signalNanos, bandwidth, memory, 0);
  }

  /// Returns a level of links with one latency and one bandwidth each.
  public static Level of(String name, long ranks, double latencyNanos, double bytesPerSecond) {
    return shared(name, ranks, latencyNanos, bytesPerSecond, 0);
  }

  /// Returns a level whose links leave each group of the level below through one uplink.
  public static Level shared(
      String name,
      long ranks,
      double latencyNanos,
      double bytesPerSecond,
      double uplinkBytesPerSecond) {
    Rates rates = Rates.constant(bytesPerSecond);
    return new Level(
        name,
        ranks,
        latencyNanos,
        0,
        latencyNanos,
        latencyNanos,
        rates,
        PeerRates.of(rates),
        uplinkBytesPerSecond);
  }
}
