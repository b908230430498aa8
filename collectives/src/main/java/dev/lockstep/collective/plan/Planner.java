package dev.lockstep.collective.plan;

import dev.lockstep.collective.algorithm.Algorithm;
import dev.lockstep.collective.algorithm.Algorithms;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.schedule.Schedule;
import dev.lockstep.collective.simulate.Fabric;
import dev.lockstep.collective.simulate.Simulator;
import dev.lockstep.collective.verify.Verdict;
import dev.lockstep.collective.verify.Verifier;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Consumer;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/// Picks the algorithm of each request by simulating what every algorithm makes of it.
///
/// A pure function of request and fabric: ranks that plan on the same constants choose the same
/// schedule. Choices are kept per request. Thread-safe.
public final class Planner {
  private static final Logger LOG = LoggerFactory.getLogger(Planner.class);

  /// Choices that are remembered.
  private static final int MOST_CHOICES = 256;

  /// Steps that are simulated for one candidate while a rank waits for its choice: some 20 ms. What
  /// has more, as its ranks' shares differ, is timed by even ones ([EvenShares]).
  private static final long QUICK_STEPS = 20_000;

  /// A core hands over in a microsecond, of which a signal is found to take half at least; a word
  /// from core to core takes a fraction of that anywhere.
  private static final double HAND_OVER_NANOS = 500;

  private final Fabric fabric;
  private final Map<CollectiveRequest, Candidate> choices =
      new LinkedHashMap<>(16, 0.75f, true) {
        @Override
        protected boolean removeEldestEntry(Map.Entry<CollectiveRequest, Candidate> eldest) {
          return size() > MOST_CHOICES;
        }
      };

  /// Makes a planner for a communicator.
  ///
  /// @param fabric what its ranks are joined by; the same constants on every rank
  public Planner(Fabric fabric) {
    this.fabric = fabric;
  }

  /// Returns what the ranks are joined by.
  public Fabric fabric() {
    return fabric;
  }

  /// Returns the schedule to run a request by, and its predicted time. Simulates up to a few tens
  /// of milliseconds the first time, then looks up. A rank alone simulates nothing.
  ///
  /// @throws IllegalArgumentException if no algorithm can do it; the message has each one's reason
  public synchronized Candidate choose(CollectiveRequest request) {
    Candidate known = choices.get(request);
    if (known == null) {
      CostTable table = request.ranks() == 1 ? alone(request) : costs(request);
      known = table.choice();
      choices.put(request, known);
      log(table, known);
    }
    return known;
  }

  /// Returns what every algorithm would cost, as [#choose] sees it: timed as quickly.
  public CostTable costs(CollectiveRequest request) {
    return costs(request, fabric, QUICK_STEPS, _ -> {});
  }

  /// Returns the schedule that one algorithm makes of a request, and its predicted time. Schedules
  /// of [Algorithms] are proved by tests; any other is verified here, which takes time and memory
  /// in proportion to the steps of all ranks times the number of ranks.
  ///
  /// @throws IllegalArgumentException if the algorithm cannot do it, or its schedule is refused by
  ///   the verifier; the message has the reason
  public Candidate by(Algorithm algorithm, CollectiveRequest request) {
    Optional<String> refusal = algorithm.refusal(request);
    if (refusal.isPresent() || algorithm.kind() != request.kind()) {
      throw new IllegalArgumentException(
          "algorithm cannot do this: algorithm=%s, request=%s, reason=%s"
              .formatted(
                  algorithm.name(),
                  request.words(),
                  refusal.orElseGet(() -> "only does " + algorithm.kind().label())));
    }
    Schedule schedule = algorithm.schedule(request);
    if (!Algorithms.all().contains(algorithm)) {
      requireProven(algorithm, schedule, request);
    }
    return timed(algorithm, schedule, fabric, QUICK_STEPS);
  }

  private static void requireProven(
      Algorithm algorithm, Schedule schedule, CollectiveRequest request) {
    if (!schedule.request().equals(request)) {
      throw new IllegalArgumentException(
          "algorithm answers another request: algorithm=%s, request=%s, scheduled=%s (a schedule states the request that it was asked for)"
              .formatted(algorithm.name(), request.words(), schedule.request().words()));
    }
    if (Verifier.verify(schedule) instanceof Verdict.Refused(String reason, int rank, int step)) {
      throw new IllegalArgumentException(
          "algorithm's schedule is refused by the verifier: algorithm=%s, request=%s, rank=%d, step=%d, reason=%s"
              .formatted(algorithm.name(), request.words(), rank, step, reason));
    }
  }

  private CostTable alone(CollectiveRequest request) {
    List<Candidate> candidates = new ArrayList<>();
    for (Algorithm algorithm : Algorithms.applicable(request)) {
      candidates.add(
          Candidate.untimed(
              fabric.name(), algorithm.schedule(request), "a rank alone waits for nobody"));
    }
    return new CostTable(request, candidates);
  }

  private static void log(CostTable table, Candidate choice) {
    if (LOG.isDebugEnabled()) {
      LOG.debug(
          "collective is planned: request={}, algorithm={}, predictedNanos={}, links={}",
          table.request().words(),
          choice.algorithm(),
          choice.nanos().orElse(-1),
          choice.links());
    }
  }

  /// Returns what every algorithm would cost on a fabric, timed as thoroughly as memory allows.
  public static CostTable costs(CollectiveRequest request, Fabric fabric) {
    return costs(request, fabric, _ -> {});
  }

  /// As [#costs(CollectiveRequest, Fabric)].
  ///
  /// @param next is told each algorithm before it is timed
  public static CostTable costs(
      CollectiveRequest request, Fabric fabric, Consumer<Algorithm> next) {
    return costs(request, fabric, Long.MAX_VALUE, next);
  }

  private static CostTable costs(
      CollectiveRequest request, Fabric fabric, long mostSteps, Consumer<Algorithm> next) {
    Optional<Algorithm> brief = Algorithms.brief(request, handsOver(fabric));
    List<Candidate> candidates = new ArrayList<>();
    for (Algorithm algorithm : Algorithms.of(request.kind())) {
      if (brief.isPresent() && !algorithm.equals(brief.get())) {
        String reason = "every message is short: fewest hops are faster than signals";
        candidates.add(
            Candidate.refused(
                algorithm.name(), fabric.name(), algorithm.refusal(request).orElse(reason)));
      } else if (algorithm.refusal(request).isEmpty()
          && algorithm.redundancy(request).isPresent()) {
        candidates.add(
            Candidate.refused(
                algorithm.name(), fabric.name(), algorithm.redundancy(request).orElseThrow()));
      } else {
        next.accept(algorithm);
        candidate(algorithm, request, fabric, mostSteps).ifPresent(candidates::add);
      }
    }
    return new CostTable(request, candidates);
  }

  /// Returns whether any algorithm for a request would be timed, by the steps of a few of its
  /// ranks: takes moments where timing it may take a minute.
  public static boolean canBeTimed(CollectiveRequest request, Fabric fabric) {
    return Algorithms.applicable(request).stream()
        .filter(algorithm -> algorithm.redundancy(request).isEmpty())
        .filter(algorithm -> StepCount.estimate(algorithm, request) <= StepCount.MOST)
        .anyMatch(algorithm -> Simulator.refusal(algorithm.schedule(request), fabric).isEmpty());
  }

  /// Returns whether ranks share cores, so that one waits for its turn before it hears a signal.
  private static boolean handsOver(Fabric fabric) {
    return fabric.levels().getFirst().signalNanos() > HAND_OVER_NANOS;
  }

  /// Returns what one algorithm would cost, nothing if it is for another kind of collective.
  public static Optional<Candidate> candidate(
      Algorithm algorithm, CollectiveRequest request, Fabric fabric) {
    return candidate(algorithm, request, fabric, Long.MAX_VALUE);
  }

  private static Optional<Candidate> candidate(
      Algorithm algorithm, CollectiveRequest request, Fabric fabric, long mostSteps) {
    String name = algorithm.name();
    if (algorithm.kind() != request.kind()) {
      return Optional.empty();
    }
    Optional<String> refusal = algorithm.refusal(request);
    if (refusal.isPresent()) {
      return Optional.of(Candidate.refused(name, fabric.name(), refusal.get()));
    }
    return Optional.of(timed(algorithm, algorithm.schedule(request), fabric, mostSteps));
  }

  /// Returns a schedule's row.
  private static Candidate timed(
      Algorithm algorithm, Schedule schedule, Fabric fabric, long mostSteps) {
    long steps = StepCount.estimate(algorithm, schedule.request());
    if (steps > StepCount.MOST) {
      return Candidate.untimed(
          fabric.name(),
          schedule,
          "too many steps to simulate: stepsPerRankAbout=%d, most=%d"
              .formatted(steps, StepCount.MOST));
    }
    try {
      double nanos =
          mostSteps == Long.MAX_VALUE
              ? Simulator.run(schedule, fabric).nanos()
              : Simulator.run(schedule, fabric, mostSteps).nanos();
      return Candidate.timed(fabric.name(), schedule, nanos);
    } catch (IllegalArgumentException tooLarge) {
      String reason = String.valueOf(tooLarge.getMessage());
      Optional<Candidate> even =
          mostSteps == Long.MAX_VALUE ? Optional.empty() : even(algorithm, schedule, fabric);
      return even.orElseGet(() -> Candidate.untimed(fabric.name(), schedule, reason));
    }
  }

  /// Returns a schedule's row by the time that even shares take; nothing where these have too many
  /// steps as well.
  private static Optional<Candidate> even(Algorithm algorithm, Schedule schedule, Fabric fabric) {
    Optional<CollectiveRequest> above =
        EvenShares.above(schedule.request()).filter(it -> algorithm.refusal(it).isEmpty());
    if (above.isEmpty()) {
      return Optional.empty();
    }
    try {
      double nanos = Simulator.run(algorithm.schedule(above.get()), fabric, QUICK_STEPS).nanos();
      String what = "timed by even shares: elements=" + above.get().total();
      return Optional.of(Candidate.timedAs(fabric.name(), schedule, nanos, what));
    } catch (IllegalArgumentException _) {
      return Optional.empty();
    }
  }
}
