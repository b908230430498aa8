package dev.lockstep.collective.algorithm;

import dev.lockstep.collective.schedule.Schedule;
import dev.lockstep.collective.schedule.ScratchSpace;
import java.util.List;
import java.util.function.IntFunction;
import java.util.function.IntToLongFunction;
import java.util.function.IntUnaryOperator;

/// What an algorithm makes of a request.
///
/// @param steps pure function from rank to its steps
/// @param scratch pure function from rank to its scratch
/// @param alike as [Schedule#alike]
record Plan(
    IntFunction<Steps> steps, IntFunction<List<ScratchSpace>> scratch, IntUnaryOperator alike) {
  /// Returns a plan without scratch in which no two ranks are alike.
  static Plan of(IntFunction<Steps> steps) {
    return new Plan(steps, _ -> List.of(), rank -> rank);
  }

  /// Returns this plan with scratch of one kind, private to each rank.
  ///
  /// @param elements pure function from rank to its size; no scratch where it is 0
  Plan withScratch(IntToLongFunction elements) {
    return new Plan(
        steps,
        rank -> {
          long size = elements.applyAsLong(rank);
          return size == 0 ? List.of() : List.of(new ScratchSpace(size, false));
        },
        alike);
  }

  Plan withAlike(IntUnaryOperator known) {
    return new Plan(steps, scratch, known);
  }
}
