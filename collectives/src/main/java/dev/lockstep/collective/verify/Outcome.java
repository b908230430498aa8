package dev.lockstep.collective.verify;

import dev.lockstep.collective.request.CollectiveKind;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.schedule.Range;
import dev.lockstep.collective.schedule.Schedule;
import dev.lockstep.collective.schedule.Space;
import dev.lockstep.collective.verify.Expressions.Expression.Contribution;
import dev.lockstep.graph.ReduceOp;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/// Compares what a run left in the outputs with what its request asks for.
final class Outcome {
  /// What a stretch of an output must hold.
  ///
  /// @param offset first element of the output
  /// @param elements how many
  /// @param origin the rank whose input it is, or [#ALL] for the reduction of all
  /// @param element the contributions' element that stands first
  private record Expected(long offset, long elements, int origin, long element) {}

  /// A value that was found to be what is asked for.
  ///
  /// @param expression its number
  /// @param origin as [Expected#origin()]
  /// @param run the run at whose end it was there
  private record Right(int expression, int origin, int run) {}

  private static final int ALL = -1;

  private final CollectiveRequest request;
  private final Layout[] layouts;
  private final Expressions expressions;
  private final SymbolicMemory reduction;
  private final int[][] entered;
  private final Set<Right> right = new HashSet<>();

  Outcome(Schedule schedule, Layout[] layouts, Expressions expressions, int runs) {
    this.request = schedule.request();
    this.layouts = layouts;
    this.expressions = expressions;
    this.reduction = new SymbolicMemory("reduction", request.total());
    this.entered = new int[runs][layouts.length];
    for (int[] run : entered) {
      Arrays.fill(run, Integer.MAX_VALUE);
    }
  }

  Range wholeInput(int rank, int input) {
    return new Range(rank, new Space.Input(input), 0, request.inputElements(rank));
  }

  /// Returns the memory that a rank's owner may write between runs.
  List<Place> ownedMemory(int rank) {
    List<Place> owned = new ArrayList<>();
    owned.add(layouts[rank].place(wholeOutput(rank)));
    for (int input = 0; input < request.inputs(rank); input++) {
      owned.add(layouts[rank].place(wholeInput(rank, input)));
    }
    return owned;
  }

  private Range wholeOutput(int rank) {
    return new Range(rank, new Space.Output(), 0, request.outputElements(rank));
  }

  void enter(RankState rank) {
    entered[rank.run][rank.rank] = rank.position();
  }

  /// Checks what a rank has when it is through with a run.
  void leave(RankState rank, RankState[] ranks) {
    if (request.kind() == CollectiveKind.BARRIER) {
      for (RankState other : ranks) {
        if (other != rank && rank.clock[other.rank] <= entered[rank.run][other.rank]) {
          throw refuse(rank, "leaves the barrier before it knows of rank " + other.rank);
        }
      }
    }
    for (Expected expected : expected(rank.rank)) {
      Place place = place(rank.rank, expected);
      rank.cut(place)
          .forEach(
              (from, stretch) ->
                  check(rank, stretch, expected, expected.element() + from - place.from(), from));
      if (expected.origin() == ALL) {
        record(rank, place);
      }
    }
  }

  private Place place(int rank, Expected expected) {
    return layouts[rank].place(
        new Range(rank, new Space.Output(), expected.offset(), expected.elements()));
  }

  private List<Expected> expected(int rank) {
    long own = request.outputElements(rank);
    List<Expected> expected = new ArrayList<>();
    if (own == 0) {
      return expected;
    }
    switch (request.kind()) {
      case ALL_REDUCE, REDUCE -> expected.add(new Expected(0, own, ALL, 0));
      case REDUCE_SCATTER -> expected.add(new Expected(0, own, ALL, request.displacement(rank)));
      case BROADCAST -> expected.add(new Expected(0, own, request.root(), 0));
      case SCATTER ->
          expected.add(new Expected(0, own, request.root(), request.displacement(rank)));
      case SEND_RECEIVE -> expected.add(new Expected(0, own, request.partners().source(rank), 0));
      case ALL_GATHER, GATHER -> {
        for (int from = 0; from < request.ranks(); from++) {
          long offset = request.displacement(from);
          expected.add(new Expected(offset, request.counts().get(from), from, 0));
        }
      }
      case ALL_TO_ALL -> addParts(expected, rank);
      case BARRIER -> {}
    }
    return expected;
  }

  private void addParts(List<Expected> expected, int rank) {
    for (int from = 0; from < request.ranks(); from++) {
      long offset = request.receiveStart(rank, from);
      long elements = request.count(from, rank);
      expected.add(new Expected(offset, elements, from, request.sendStart(from, rank)));
    }
  }

  private void check(
      RankState rank,
      SymbolicMemory.Stretch stretch,
      Expected expected,
      long element,
      long position) {
    String where = "output element " + position;
    if (stretch.expression == Expressions.UNDEFINED) {
      throw refuse(rank, where + " was never written");
    }
    if (position + stretch.shift != element) {
      throw refuse(rank, "%s holds element %d".formatted(where, position + stretch.shift));
    }
    Right value = new Right(stretch.expression, expected.origin(), rank.run);
    if (!right.contains(value)) {
      check(rank, value, where);
      right.add(value);
    }
  }

  private void check(RankState rank, Right value, String where) {
    Map<Contribution, Integer> found = new HashMap<>();
    for (Contribution contribution : expressions.contributions(value.expression)) {
      found.merge(contribution, 1, Integer::sum);
    }
    for (int origin = 0; origin < request.ranks(); origin++) {
      boolean asked = value.origin == ALL || value.origin == origin;
      for (int input = 0; asked && input < request.inputs(origin); input++) {
        Integer times = found.remove(new Contribution(origin, input, value.run));
        if (times == null || times != 1) {
          throw refuse(
              rank,
              "%s holds input %d of rank %d %s"
                  .formatted(
                      where, input, origin, times == null ? "not at all" : times + " times"));
        }
      }
    }
    if (!found.isEmpty()) {
      throw refuse(rank, where + " holds what does not belong there: " + found.keySet());
    }
    boolean average = request.reduceOp() instanceof ReduceOp.Avg;
    if (expressions.isQuotient(value.expression) != average
        || expressions.dividesWithin(value.expression)) {
      throw refuse(rank, where + " is not divided exactly once where it is an average");
    }
    boolean multiplied = request.reduceOp() instanceof ReduceOp.PreMulSum;
    if (!expressions.multiplies(value.expression, multiplied)) {
      throw refuse(rank, where + " does not hold each contribution multiplied as often as asked");
    }
  }

  /// Notes the tree of the last run; all ranks must have the same for the same element.
  private void record(RankState rank, Place place) {
    if (rank.run < entered.length - 1) {
      return;
    }
    rank.cut(place)
        .forEach(
            (from, stretch) -> {
              long first = from + stretch.shift;
              long end =
                  Math.min(
                      place.to() + stretch.shift,
                      following(rank.memories.get(place.memory()), from) + stretch.shift);
              for (SymbolicMemory.Stretch noted : reduction.cut(first, end).values()) {
                if (noted.expression != Expressions.UNDEFINED
                    && noted.expression != stretch.expression) {
                  throw refuse(
                      rank,
                      "element " + first + " is reduced by another tree than on a lower rank");
                }
                noted.expression = stretch.expression;
              }
            });
  }

  private static long following(SymbolicMemory memory, long from) {
    Long next = memory.following(from);
    return next == null ? memory.elements() : next;
  }

  /// Returns the trees of all elements of a reduction, ascending.
  List<Verdict.Reduction> reductions() {
    List<Verdict.Reduction> reductions = new ArrayList<>();
    if (!request.kind().reduces() || request.total() == 0) {
      return reductions;
    }
    reduction
        .cut(0, request.total())
        .forEach(
            (from, stretch) -> {
              ReductionTree tree = expressions.tree(stretch.expression);
              long end = following(reduction, from);
              Verdict.Reduction before = reductions.isEmpty() ? null : reductions.getLast();
              if (before != null && before.tree().equals(tree)) {
                reductions.removeLast();
                reductions.add(new Verdict.Reduction(before.offset(), end - before.offset(), tree));
              } else {
                reductions.add(new Verdict.Reduction(from, end - from, tree));
              }
            });
    return List.copyOf(reductions);
  }

  private static RefusedException refuse(RankState rank, String what) {
    return new RefusedException(
        rank.rank, rank.program.size(), "result is wrong: rank=%d, %s".formatted(rank.rank, what));
  }
}
