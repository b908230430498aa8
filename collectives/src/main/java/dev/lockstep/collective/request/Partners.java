package dev.lockstep.collective.request;

import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/// Who sends to whom in a send/receive: each rank to one rank or to nobody, no two to the same.
/// Every rank knows all of it. Immutable; a shift takes no memory, however many ranks there are.
public final class Partners {
  /// The destination of a rank that sends nothing, and the source of one that gets nothing.
  public static final int NOBODY = -1;

  private static final Partners NONE = new Partners(0, 0, null, null);
  private static final int MOST_IN_WORDS = 64;

  private final int ranks;
  private final int distance;
  private final int @Nullable [] destinations; // null where it is a shift
  private final int @Nullable [] sources;

  private Partners(
      int ranks, int distance, int @Nullable [] destinations, int @Nullable [] sources) {
    this.ranks = ranks;
    this.distance = distance;
    this.destinations = destinations;
    this.sources = sources;
  }

  /// Returns the partners of no rank, for other kinds of collectives.
  public static Partners none() {
    return NONE;
  }

  /// Returns the pattern in which every rank sends to the one some places after it, counted round.
  ///
  /// @param ranks number of ranks, at least 1
  /// @param distance how many places; negative for ranks before
  public static Partners shift(int ranks, int distance) {
    if (ranks < 1) {
      throw new IllegalArgumentException("a shift needs a rank: ranks=" + ranks);
    }
    return new Partners(ranks, Math.floorMod(distance, ranks), null, null);
  }

  /// Returns a pattern.
  ///
  /// @param destinations for each rank whom it sends to, or [#NOBODY]
  /// @throws IllegalArgumentException if one is not a rank, or two ranks send to the same
  /// @throws NullPointerException if one is null
  public static Partners of(List<Integer> destinations) {
    int ranks = destinations.size();
    int[] to = new int[ranks];
    int[] from = new int[ranks];
    Arrays.fill(from, NOBODY);
    boolean shifts = true;
    for (int rank = 0; rank < ranks; rank++) {
      int sender = rank;
      int destination =
          Objects.requireNonNull(
              destinations.get(rank),
              () -> "destination is null: sender=" + sender + " (-1 sends to nobody)");
      to[rank] = destination;
      shifts &= destination != NOBODY && destination == (rank + (long) to[0]) % ranks;
      if (destination < NOBODY || destination >= ranks) {
        throw new IllegalArgumentException(
            "destination is not a rank: sender=%d, destination=%d, ranks=%d (-1 sends to nobody)"
                .formatted(rank, destination, ranks));
      }
      if (destination == NOBODY) {
        continue;
      }
      if (from[destination] != NOBODY) {
        throw new IllegalArgumentException(
            "two ranks send to one: destination=%d, senders=%d and %d (send in two calls)"
                .formatted(destination, from[destination], rank));
      }
      from[destination] = rank;
    }
    return shifts && ranks > 0 ? shift(ranks, to[0]) : new Partners(ranks, 0, to, from);
  }

  /// Returns the number of ranks.
  public int ranks() {
    return ranks;
  }

  /// Returns whether every rank sends to the one equally many places after it.
  public boolean isShift() {
    return destinations == null;
  }

  /// Returns whom a rank sends to, or [#NOBODY].
  public int destination(int rank) {
    return destinations == null ? (int) ((rank + (long) distance) % ranks) : destinations[rank];
  }

  /// Returns from whom a rank gets something, or [#NOBODY].
  public int source(int rank) {
    return sources == null ? Math.floorMod(rank - distance, ranks) : sources[rank];
  }

  /// Adds all of this to a hash.
  void addTo(StableHash hash) {
    hash.add(ranks).add(distance).add(destinations == null ? 1 : 0);
    for (int rank = 0; destinations != null && rank < ranks; rank++) {
      hash.add(destinations[rank]);
    }
  }

  @Override
  public boolean equals(@Nullable Object other) {
    return other instanceof Partners partners
        && ranks == partners.ranks
        && distance == partners.distance
        && Arrays.equals(destinations, partners.destinations);
  }

  @Override
  public int hashCode() {
    return 31 * (31 * ranks + distance) + Arrays.hashCode(destinations);
  }

  /// Returns `shift=1`, or the destinations; of many ranks a hash of them.
  @Override
  public String toString() {
    if (destinations == null) {
      return "shift=" + distance;
    }
    return "to="
        + (ranks <= MOST_IN_WORDS
            ? Arrays.toString(destinations)
            : "a list of %d with hash %08x".formatted(ranks, Arrays.hashCode(destinations)));
  }
}
