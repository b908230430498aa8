package dev.lockstep.collective.execute;

import dev.lockstep.failure.Particulars.Call;
import java.nio.charset.StandardCharsets;
import java.util.Collections;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.SortedMap;
import java.util.TreeMap;

/// What a rank says of where it stands: the collective that it is in, if any, and the last ones
/// before. Two ranks disagree where both have something to say of one place in their communicator
/// and it is not the same; who is merely late has nothing to say of it yet.
///
/// @param collectives by sequence
record Stands(SortedMap<Long, Stand> collectives) {
  /// Fingerprint of what is no collective: this rank calls no other.
  private static final long CLOSING = 0;

  /// One collective.
  ///
  /// @param fingerprint hash that tells it from others
  /// @param description what it is and where it is called, for messages
  record Stand(long fingerprint, String description) {}

  /// Copies the map.
  Stands {
    collectives = Collections.unmodifiableSortedMap(new TreeMap<>(collectives));
  }

  static Stands none() {
    return new Stands(Collections.emptySortedMap());
  }

  /// Returns these and one more.
  Stands with(long sequence, long fingerprint, String description) {
    SortedMap<Long, Stand> more = new TreeMap<>(collectives);
    more.put(sequence, new Stand(fingerprint, description));
    return new Stands(more);
  }

  /// Returns these, and that no other comes.
  Stands withClosing(long sequence) {
    return with(sequence, CLOSING, "closes the communicator at sequence " + sequence);
  }

  /// Returns whether a rank that says this calls nothing at a place, nor after it.
  boolean closesAt(long sequence) {
    Stand stand = collectives.get(sequence);
    return stand != null && stand.fingerprint() == CLOSING;
  }

  /// Returns the first place of which two ranks say different things.
  OptionalLong differsFrom(Stands other) {
    return collectives.entrySet().stream()
        .filter(
            entry -> {
              Stand theirs = other.collectives.get(entry.getKey());
              return theirs != null && theirs.fingerprint() != entry.getValue().fingerprint();
            })
        .mapToLong(entry -> entry.getKey())
        .findFirst();
  }

  /// Returns what a rank that says this was in at a place, if it says.
  Optional<Call> at(long sequence, int rank) {
    return Optional.ofNullable(collectives.get(sequence))
        .map(stand -> new Call(rank, sequence, stand.fingerprint(), stand.description()));
  }

  /// Returns what a rank that says this is in, or was in last.
  Call last(int rank) {
    return collectives.isEmpty()
        ? new Call(rank, -1, 0, "nothing")
        : at(collectives.lastKey(), rank).orElseThrow();
  }

  byte[] encode() {
    StringBuilder text = new StringBuilder();
    collectives.forEach(
        (sequence, stand) ->
            text.append(sequence)
                .append(' ')
                .append(stand.fingerprint())
                .append(' ')
                .append(stand.description())
                .append('\n'));
    return text.toString().getBytes(StandardCharsets.UTF_8);
  }

  static Stands decode(byte[] encoded) {
    SortedMap<Long, Stand> collectives = new TreeMap<>();
    new String(encoded, StandardCharsets.UTF_8)
        .lines()
        .map(line -> line.split(" ", 3))
        .forEach(
            fields ->
                collectives.put(
                    Long.parseLong(fields[0]), new Stand(Long.parseLong(fields[1]), fields[2])));
    return new Stands(collectives);
  }
}
