package dev.lockstep.bench;

import dev.lockstep.collective.algorithm.Algorithm;
import dev.lockstep.collective.request.EvenCollective;
import java.util.List;
import java.util.Optional;

/// What a run of `lockstep perf` measures, on every rank alike.
///
/// @param collective what is run
/// @param sizes of which sizes
/// @param timing how it is timed and checked
/// @param transport transport name, empty to let Lockstep choose
/// @param algorithm what runs the collective; empty to let Lockstep choose
/// @param choices whether every algorithm is measured, and compared with what is predicted
record PerfPlan(
    EvenCollective collective,
    PerfSizes sizes,
    PerfTiming timing,
    String transport,
    Optional<Algorithm> algorithm,
    boolean choices) {
  /// Returns the sizes in bytes, as asked for, without those that hold no element of the type.
  List<Long> sizes(int ranks) {
    return sizes.all().stream().filter(bytes -> collective.count(bytes, ranks) > 0).toList();
  }
}
