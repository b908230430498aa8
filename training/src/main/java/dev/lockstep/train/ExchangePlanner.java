package dev.lockstep.train;

import dev.lockstep.graph.Graph;
import dev.lockstep.tensor.DType;
import dev.lockstep.train.optim.StagePlace;
import dev.lockstep.train.optim.StateShards;
import dev.lockstep.train.parallel.BucketPlan;
import dev.lockstep.train.parallel.FlatLayout;
import dev.lockstep.train.parallel.ShardRounds;
import java.util.ArrayList;
import java.util.List;

/// Plans the collectives of a step on one rank, for a [StepPlan].
final class ExchangePlanner {
  private final Grid grid;
  private final int dataRanks;
  private final int dataRank;
  private final PlannedExchange.Sums sums;
  private final List<PlannedExchange> exchanges = new ArrayList<>();

  /// Plans nothing yet.
  ///
  /// @param sameBits whether contributions to sums are sent one by one, as their tree wants it
  ExchangePlanner(Grid grid, boolean sameBits) {
    this.grid = grid;
    this.dataRanks = grid.data().ranks();
    this.dataRank = grid.data().rank();
    this.sums = sameBits ? PlannedExchange.Sums.BY_THE_TREE : PlannedExchange.Sums.RELAXED;
  }

  /// Returns what is planned, in order.
  List<PlannedExchange> all() {
    return List.copyOf(exchanges);
  }

  /// Plans those that stand in a program.
  ///
  /// @param part what the program is called
  /// @param times how often a step runs it
  void add(Graph program, String part, int times) {
    exchanges.addAll(PlannedExchange.ofProgram(program, part, times, this::ranks, sums));
  }

  /// Plans the reduction of gradients in buckets.
  ///
  /// @param subtrees of the sum over lanes that the rank holds
  void reduce(BucketPlan buckets, int subtrees) {
    exchanges.addAll(PlannedExchange.ofBuckets(buckets, dataRanks, sums.sent(subtrees)));
  }

  /// Plans the reduction of all groups to shards once, waited for.
  ///
  /// @param subtrees of the sum over lanes that the rank holds
  void reduce(GradientGroups groups, int subtrees) {
    for (int group = 0; group < groups.count(); group++) {
      long bytes = groups.groupLayout(group).bytes();
      exchanges.add(
          PlannedExchange.ofSums(dataRanks, gradients(group), bytes, sums.sent(subtrees)));
    }
  }

  private static String gradients(int group) {
    return "gradients of group " + (group + 1);
  }

  /// Plans the reduction of all groups to shards round by round, waited for.
  void reduce(GradientGroups groups, ShardRounds rounds) {
    for (int group = 0; group < groups.count(); group++) {
      reduce(groups, group, rounds, "");
    }
  }

  private void reduce(GradientGroups groups, int group, ShardRounds rounds, String behind) {
    long bytes = groups.groupLayout(group).bytes();
    exchanges.addAll(
        PlannedExchange.ofRounds(rounds, dataRanks, dataRank, gradients(group), bytes, behind));
  }

  /// Plans the gathering of what was updated.
  void gather(long parameterBytes) {
    exchanges.add(
        PlannedExchange.allGather(Layout.DATA, dataRanks, "parameters", parameterBytes, 1, ""));
  }

  /// Plans the gathering of parameters while a part computes.
  void gather(
      String part, GatherPlan gathers, ShardRounds rounds, StateShards shards, FlatLayout layout) {
    int times = rounds.rounds().size();
    for (GatherPlan.Gather gather : gathers.gathers()) {
      List<Long> borders = FlatRanges.borders(layout, shards, gather.unit());
      long bytes = (borders.getLast() - borders.getFirst()) * DType.F32.bytes();
      String what = "parameters of unit " + gather.unit();
      String behind = gather.first() == 0 ? "" : phase(part, gathers, gather.first() - 1);
      exchanges.add(PlannedExchange.allGather(Layout.DATA, dataRanks, what, bytes, times, behind));
    }
  }

  /// Plans the reduction of gradients while the part that makes them computes.
  void reduce(
      String part,
      GatherPlan gathers,
      GradientPlan gradients,
      GradientGroups groups,
      ShardRounds rounds) {
    for (int group = 0; group < groups.count(); group++) {
      Integer last = gradients.last().get(group);
      if (last == null) {
        continue;
      }
      String next = last + 1 < gathers.phases().size() ? phase(part, gathers, last + 1) : "";
      reduce(groups, group, rounds, next);
    }
  }

  private static String phase(String part, GatherPlan gathers, int phase) {
    return "%s, phase %d of %d".formatted(part, phase + 1, gathers.phases().size());
  }

  private int ranks(String axis) {
    return switch (axis) {
      case Layout.DATA -> dataRanks;
      case Layout.PIPELINE -> grid.pipeline().ranks();
      case Layout.CONTEXT -> grid.context().ranks();
      case Layout.EXPERT -> grid.model().expert().ranks();
      case Layout.TENSOR -> grid.model().tensor().ranks();
      case StagePlace.ENDS -> 2;
      default -> throw new IllegalArgumentException("no such axis: axis=" + axis);
    };
  }
}
