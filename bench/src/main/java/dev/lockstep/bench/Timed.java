package dev.lockstep.bench;

import dev.lockstep.collective.algorithm.Algorithm;
import dev.lockstep.collective.plan.Candidate;
import dev.lockstep.collective.plan.CostTable;
import dev.lockstep.collective.plan.Planner;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.simulate.Fabric;
import dev.lockstep.collective.simulate.Simulation;
import dev.lockstep.collective.simulate.Simulator;
import dev.lockstep.failure.ConfigurationException;
import java.io.PrintStream;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import java.util.function.Consumer;
import java.util.function.Function;

/// What `simulate` and `explain` find out: the time of every algorithm that could be asked for, and
/// each step of the one that is chosen.
///
/// @param table the algorithms that were timed
/// @param choice the cheapest, or the one that was named
/// @param simulation of its schedule
record Timed(CostTable table, Candidate choice, Simulation simulation) {
  private static final String JAVA_OPTS = "LOCKSTEP_JAVA_OPTS";

  /// Times what was asked for on a fabric: the algorithm that was named alone, if one was.
  ///
  /// @throws ConfigurationException if the algorithm cannot do it, or there are too many ranks
  static Timed alone(
      PlanOptions options, CollectiveRequest request, Fabric fabric, PrintStream err) {
    Optional<Algorithm> named = options.algorithm();
    return named.isEmpty()
        ? besideOthers(options, request, fabric, err)
        : of(options, request, fabric, next -> only(named.get(), request, fabric, next), err);
  }

  /// Times every algorithm for what was asked for on a fabric.
  ///
  /// @throws ConfigurationException if the algorithm that was named cannot do it, or there are too
  ///   many ranks
  static Timed besideOthers(
      PlanOptions options, CollectiveRequest request, Fabric fabric, PrintStream err) {
    return of(
        options,
        request,
        fabric,
        next -> {
          CostTable table = Planner.costs(request, fabric, next);
          if (options.algorithm().isEmpty() && table.choice().nanos().isEmpty()) {
            throw tooMany(options, fabric, request);
          }
          return table;
        },
        err);
  }

  /// Times each step of the choice among some algorithms; says on `err` what it is at if all of
  /// this takes long.
  ///
  /// @param costs times the algorithms, and names each before
  static Timed of(
      PlanOptions options,
      CollectiveRequest request,
      Fabric fabric,
      Function<Consumer<Algorithm>, CostTable> costs,
      PrintStream err) {
    Optional<Algorithm> named = options.algorithm();
    try (ProgressLine line = ProgressLine.on(err)) {
      line.says("planning");
      Consumer<Algorithm> next = algorithm -> line.says("timing " + algorithm.name());
      CostTable table = costs.apply(next);
      if (named.isPresent()) {
        table = withTimeOf(named.get(), table, fabric, next);
      }
      Candidate choice =
          named.isPresent() ? PlanOptions.asked(table, named.get().name()) : table.choice();
      line.says("timing each step of " + choice.algorithm());
      Simulation simulation =
          Simulator.run(Objects.requireNonNull(choice.schedule(), "refused"), fabric);
      return new Timed(table, choice, simulation);
    } catch (OutOfMemoryError _) {
      String given = Objects.requireNonNullElse(System.getenv(JAVA_OPTS), "");
      throw new ConfigurationException(
          JAVA_OPTS,
          given,
          "steps of the ranks do not fit into memory: --ranks=%d, heapMiB=%d, %s=%s (give more, for example %2$s=-Xmx%dg, or take fewer ranks)"
              .replace("%2$s", JAVA_OPTS)
              .formatted(
                  request.ranks(),
                  Runtime.getRuntime().maxMemory() >> 20,
                  JAVA_OPTS,
                  given,
                  2 * Math.max(1, Runtime.getRuntime().maxMemory() >> 30)));
    }
  }

  /// A table leaves some untimed that could do it, since others are never slower; not the one that
  /// is asked for.
  private static CostTable withTimeOf(
      Algorithm named, CostTable table, Fabric fabric, Consumer<Algorithm> next) {
    List<Candidate> rows = new ArrayList<>();
    for (Candidate row : table.candidates()) {
      boolean isAsked = row.algorithm().equals(named.name()) && row.nanos().isEmpty();
      rows.addAll(isAsked ? only(named, table.request(), fabric, next).candidates() : List.of(row));
    }
    return new CostTable(table.request(), rows);
  }

  private static CostTable only(
      Algorithm named, CollectiveRequest request, Fabric fabric, Consumer<Algorithm> next) {
    next.accept(named);
    return new CostTable(request, Planner.candidate(named, request, fabric).stream().toList());
  }

  /// Says how many ranks might do: half as many until it looks like that, in whole groups.
  private static ConfigurationException tooMany(
      PlanOptions options, Fabric fabric, CollectiveRequest request) {
    List<Integer> levels = request.topology().levels();
    int group = levels.isEmpty() ? 1 : levels.getLast();
    int fewer = request.ranks() / group * group;
    if (fewer == request.ranks()) {
      fewer = fewer / 2 / group * group;
    }
    while (fewer > group && !Planner.canBeTimed(options.request(fabric, fewer), fabric)) {
      fewer = fewer / 2 / group * group;
    }
    return OptionValues.wrong(
        "--ranks",
        "" + request.ranks(),
        "%s has too many steps to be timed by any algorithm; --ranks=%d has not"
            .formatted(request.kind().label(), Math.max(fewer, group)));
  }
}
