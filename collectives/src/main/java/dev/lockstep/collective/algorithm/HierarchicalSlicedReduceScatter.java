package dev.lockstep.collective.algorithm;

import static dev.lockstep.collective.algorithm.Parts.output;
import static dev.lockstep.collective.algorithm.Parts.scratch;
import static java.util.Objects.requireNonNull;

import dev.lockstep.collective.algorithm.Crossings.Holding;
import dev.lockstep.collective.algorithm.Crossings.Move;
import dev.lockstep.collective.algorithm.Stretches.Stretch;
import dev.lockstep.collective.request.CollectiveKind;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.schedule.Range;
import dev.lockstep.collective.schedule.Space;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;

/// Reduce-scatter over ranks in groups within groups, by messages: the mirror image of
/// [HierarchicalAllGather]. Each group joins what belongs to others, its members an equal share of
/// it each, passes it on to them, and joins what it got with what is its own.
///
/// Joins what comes from groups at several ranks of a group, before their own: relaxed mode only. A
/// rank sends what the all-gather receives, in long messages, few however many ranks there are.
/// Scratch: `2 S` at most.
final class HierarchicalSlicedReduceScatter extends PlannedAlgorithm {
  /// Makes the algorithm.
  HierarchicalSlicedReduceScatter() {
    super("hierarchical-sliced-reduce-scatter", CollectiveKind.REDUCE_SCATTER);
  }

  @Override
  Optional<String> obstacle(CollectiveRequest request) {
    return Parts.notTheLaneTree(request, "joining at several ranks of a group")
        .or(() -> Hierarchy.noLevels(request))
        .or(() -> Parts.notInRankOrder(request));
  }

  @Override
  Plan plan(CollectiveRequest request) {
    Crossings crossings = new Crossings(request);
    return Plan.of(rank -> new Building(request, crossings, rank).reduced())
        .withScratch(rank -> new Building(request, crossings, rank).scratchElements())
        .withAlike(rank -> request.lanes().isOnePerRank() ? crossings.alike(rank) : rank);
  }

  /// A message that has arrived.
  ///
  /// @param what which elements
  /// @param place where it lies in scratch
  private record Arrival(Stretch what, long place) {}

  /// One rank's program in the making. What is joined lies in scratch, each element at its own
  /// place, what arrives after all of them.
  private static final class Building {
    private final CollectiveRequest request;
    private final Crossings crossings;
    private final int rank;
    private final Steps steps = new Steps();
    private long arriving;

    Building(CollectiveRequest request, Crossings crossings, int rank) {
      this.request = request;
      this.crossings = crossings;
      this.rank = rank;
    }

    long scratchElements() {
      reduced();
      return request.total() + arriving;
    }

    Steps reduced() {
      Space own = new Space.Input(0);
      if (request.inputs(rank) > 1) {
        steps.reduce(
            scratch(rank, 0, request.total()), Parts.chain(request, rank, 0, request.total()));
        own = new Space.Scratch(0);
      }
      Space sum = scatter(crossings.levels(), crossings.byCounts(), own);
      Range result = output(rank, 0, request.counts().get(rank));
      steps.copy(new Range(rank, sum, request.displacement(rank), result.elements()), result);
      steps.finish(request, result);
      return steps;
    }

    /// Adds the steps after which the rank has what it holds joined over all ranks of its group.
    ///
    /// @param source where its contribution is to what they hold
    /// @return where the sum is
    private Space scatter(int level, Holding holding, Space source) {
      if (level == 0) {
        return source;
      }
      Space passed = scatter(level - 1, crossings.afterFetching(level, rank, holding), source);
      List<Move> taken = crossings.given(level, rank, holding);
      List<Arrival> arrivals = receive(taken);
      for (Move move : crossings.fetched(level, rank, holding)) {
        for (Stretch stretch : move.what().list()) {
          steps.send(move.peer(), range(passed, stretch.start(), stretch.end()));
        }
      }
      Space joined = source;
      if (!taken.isEmpty()) {
        join(crossings.ofUnit(level, rank, holding), source, arrivals);
        joined = new Space.Scratch(0);
      }
      return scatter(level - 1, holding, joined);
    }

    private List<Arrival> receive(List<Move> moves) {
      List<Arrival> arrivals = new ArrayList<>();
      long place = request.total();
      for (Move move : moves) {
        for (Stretch stretch : move.what().list()) {
          steps.receive(move.peer(), scratch(rank, place, stretch.elements()));
          arrivals.add(new Arrival(stretch, place));
          place += stretch.elements();
        }
      }
      arriving = Math.max(arriving, place - request.total());
      return arrivals;
    }

    /// Joins what has arrived with what is here, each element at once.
    private void join(Stretches here, Space source, List<Arrival> arrivals) {
      TreeMap<Long, List<Arrival>> byStretch = new TreeMap<>();
      here.list().forEach(stretch -> byStretch.put(stretch.start(), new ArrayList<>()));
      for (Arrival arrival : arrivals) {
        requireNonNull(byStretch.floorEntry(arrival.what().start())).getValue().add(arrival);
      }
      for (Stretch stretch : here.list()) {
        join(stretch, source, requireNonNull(byStretch.get(stretch.start())));
      }
    }

    private void join(Stretch stretch, Space source, List<Arrival> arrivals) {
      if (arrivals.stream().allMatch(arrival -> arrival.what().equals(stretch))) {
        join(range(source, stretch.start(), stretch.end()), arrivals);
        return;
      }
      TreeMap<Long, List<Arrival>> cuts = new TreeMap<>(); // arrivals by where they begin
      cuts.put(stretch.start(), new ArrayList<>());
      cuts.put(stretch.end(), new ArrayList<>());
      for (Arrival arrival : arrivals) {
        cuts.computeIfAbsent(arrival.what().start(), _ -> new ArrayList<>()).add(arrival);
        cuts.computeIfAbsent(arrival.what().end(), _ -> new ArrayList<>());
      }
      List<Arrival> open = new ArrayList<>();
      for (Map.Entry<Long, List<Arrival>> cut : cuts.entrySet()) {
        long from = cut.getKey();
        open.removeIf(arrival -> arrival.what().end() <= from);
        open.addAll(cut.getValue());
        Long to = cuts.higherKey(from);
        if (to != null) {
          join(range(source, from, to), open);
        }
      }
    }

    private void join(Range own, List<Arrival> open) {
      Range to = scratch(rank, own.offset(), own.elements());
      if (!open.isEmpty()) {
        steps.reduce(to, Parts.tree(0, open.size() + 1, source -> source(own, open, source)));
      } else if (!own.equals(to)) {
        steps.copy(own, to);
      }
    }

    private static Range source(Range own, List<Arrival> open, int number) {
      if (number == 0) {
        return own;
      }
      Arrival arrival = open.get(number - 1);
      long within = own.offset() - arrival.what().start();
      return scratch(own.rank(), arrival.place() + within, own.elements());
    }

    private Range range(Space space, long from, long to) {
      return new Range(rank, space, from, to - from);
    }
  }
}
