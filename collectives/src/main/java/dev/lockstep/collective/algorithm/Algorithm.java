package dev.lockstep.collective.algorithm;

import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.schedule.Schedule;
import java.util.Optional;

/// A pure function from requests to schedules. Stateless.
public interface Algorithm {
  /// Returns the name, as users and `explain` write it.
  String name();

  /// Returns why this algorithm cannot do what is asked, or nothing if it can.
  Optional<String> refusal(CollectiveRequest request);

  /// Returns the schedule: the same for equal requests.
  ///
  /// @throws IllegalArgumentException if [#refusal] has a reason
  Schedule schedule(CollectiveRequest request);
}
