package dev.lockstep.collective.schedule;

import dev.lockstep.collective.request.CollectiveRequest;
import java.util.List;
import java.util.function.IntFunction;
import java.util.function.IntUnaryOperator;

/// A schedule whose steps are computed when asked for.
final class LazySchedule implements Schedule {
  private final String algorithm;
  private final CollectiveRequest request;
  private final IntFunction<List<Step>> steps;
  private final IntFunction<List<ScratchSpace>> scratch;
  private final IntUnaryOperator alike;
  private volatile long identity; // 0 until computed

  LazySchedule(
      String algorithm,
      CollectiveRequest request,
      IntFunction<List<Step>> steps,
      IntFunction<List<ScratchSpace>> scratch,
      IntUnaryOperator alike) {
    this.algorithm = algorithm;
    this.request = request;
    this.steps = steps;
    this.scratch = scratch;
    this.alike = alike;
  }

  @Override
  public String algorithm() {
    return algorithm;
  }

  @Override
  public CollectiveRequest request() {
    return request;
  }

  @Override
  public List<Step> steps(int rank) {
    return steps.apply(rank);
  }

  @Override
  public List<ScratchSpace> scratch(int rank) {
    return scratch.apply(rank);
  }

  @Override
  public int alike(int rank) {
    return alike.applyAsInt(rank);
  }

  @Override
  public long identity() {
    long known = identity;
    if (known == 0) {
      known = ScheduleHash.of(this);
      identity = known;
    }
    return known;
  }

  @Override
  public String toString() {
    return words();
  }
}
