package dev.lockstep.collective.algorithm;

import dev.lockstep.collective.request.CollectiveKind;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.schedule.Schedule;
import dev.lockstep.graph.ReduceOp;
import java.util.Optional;

/// An algorithm for one kind of collective. Pre-multiplied sums need no plan of their own.
abstract class PlannedAlgorithm implements Algorithm {
  private final String name;
  private final CollectiveKind kind;

  PlannedAlgorithm(String name, CollectiveKind kind) {
    this.name = name;
    this.kind = kind;
  }

  /// Returns why this algorithm cannot do a request of its kind, or nothing if it can: many can do
  /// every one.
  Optional<String> obstacle(CollectiveRequest request) {
    return Optional.empty();
  }

  /// Plans a request of its kind to which there is no obstacle.
  abstract Plan plan(CollectiveRequest request);

  @Override
  public final String name() {
    return name;
  }

  @Override
  public final CollectiveKind kind() {
    return kind;
  }

  @Override
  public final Optional<String> refusal(CollectiveRequest request) {
    return request.kind() == kind ? obstacle(request) : Optional.of("only does " + kind.label());
  }

  @Override
  public final Schedule schedule(CollectiveRequest request) {
    refusal(request)
        .ifPresent(
            reason -> {
              throw new IllegalArgumentException(
                  "algorithm cannot do this: algorithm=%s, request=%s, reason=%s"
                      .formatted(name, request.words(), reason));
            });
    Plan plan =
        request.reduceOp() instanceof ReduceOp.PreMulSum
            ? PreMultiplied.plan(request, this::plan)
            : plan(request);
    return Schedule.of(
        name, request, rank -> plan.steps().apply(rank).list(), plan.scratch(), plan.alike());
  }
}
