package dev.lockstep.collective.algorithm;

import dev.lockstep.collective.request.CollectiveKind;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.schedule.Schedule;
import java.util.Optional;

/// A pure function from requests to schedules. Stateless.
public interface Algorithm {
  /// Returns the name, as users and `explain` write it.
  String name();

  /// Returns the kind of collective that it does; it refuses requests of every other.
  CollectiveKind kind();

  /// Returns why this algorithm cannot do what is asked, or nothing if it can.
  Optional<String> refusal(CollectiveRequest request);

  /// Returns why this algorithm need not be tried, since another size of chunks before it in
  /// [Algorithms#all] makes the same ones; nothing if it is to be tried. Who chooses leaves such a
  /// one out; who names it may have it.
  default Optional<String> redundancy(CollectiveRequest request) {
    return Optional.empty();
  }

  /// Returns whether this is the one for requests of which every message travels beside its signal,
  /// see [Algorithms#brief].
  default boolean isBrief() {
    return false;
  }

  /// Returns the schedule: the same for equal requests.
  ///
  /// @throws IllegalArgumentException if [#refusal] has a reason
  Schedule schedule(CollectiveRequest request);
}
