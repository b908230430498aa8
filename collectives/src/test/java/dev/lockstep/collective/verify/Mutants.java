package dev.lockstep.collective.verify;

import dev.lockstep.collective.schedule.JoinTree;
import dev.lockstep.collective.schedule.Range;
import dev.lockstep.collective.schedule.Schedule;
import dev.lockstep.collective.schedule.Step;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.function.Consumer;
import java.util.function.IntFunction;
import java.util.function.IntUnaryOperator;
import java.util.function.Predicate;
import java.util.function.UnaryOperator;

/// Makes every schedule that differs from a given one by one mistake.
final class Mutants {
  /// A schedule with a mistake.
  record Mutant(String kind, String what, Schedule schedule) {}

  private final Schedule original;
  private final int reach;
  private final List<Mutant> mutants = new ArrayList<>();

  private Mutants(Schedule original, int reach) {
    this.original = original;
    this.reach = reach;
  }

  /// Returns the mutants of a schedule.
  ///
  /// @param reach how far apart steps of a rank may be that are swapped; those of a link always are
  static List<Mutant> of(Schedule original, int reach) {
    Mutants made = new Mutants(original, reach);
    for (int rank = 0; rank < original.ranks(); rank++) {
      int steps = original.steps(rank).size();
      for (int step = 0; step < steps; step++) {
        made.mutate(rank, step);
      }
    }
    return made.mutants;
  }

  private void mutate(int rank, int index) {
    List<Step> steps = original.steps(rank);
    Step step = steps.get(index);
    add("dropped", rank, step, program -> program.remove(index));
    add("doubled", rank, step, program -> program.add(index, step));
    for (int other = index + 1; other < steps.size(); other++) {
      int with = other;
      boolean near = with - index <= reach || isOfOneLink(step, steps.get(with));
      if (near && !steps.get(with).equals(step)) {
        add("swapped", rank, step, program -> program.set(index, program.set(with, step)));
      }
    }
    for (Step wrong : misdirected(step)) {
      add("misdirected", rank, step, program -> program.set(index, wrong));
    }
    for (Step wrong : displaced(step)) {
      add("displaced", rank, step, program -> program.set(index, wrong));
    }
    if (step instanceof Step.Signal(int peer, int slot)) {
      int await = partner(rank, index, peer, new Step.Await(rank, slot)::equals);
      removePair("unsignalled", rank, index, peer, await);
    }
    if (step instanceof Step.Send(int peer, Range from) && peer != rank) {
      int receive = partner(rank, index, peer, other -> isReceive(other, rank));
      if (from.elements() > 0) {
        removePair("unsent", rank, index, peer, receive);
      }
      reorderPairs(rank, index, peer, receive);
    }
    for (int other = rank + 1; other < original.ranks(); other++) {
      for (int at = Math.max(0, index - 1); at <= index + 1; at++) {
        exchange(rank, index, other, at);
      }
    }
  }

  private void add(String kind, int rank, Step step, Consumer<List<Step>> mistake) {
    List<Step> steps = steps(rank);
    mistake.accept(steps);
    keep(kind, rank, step, with -> with == rank ? steps : original.steps(with));
  }

  private void add(
      String kind, int rank, List<Step> steps, int other, List<Step> others, Step step) {
    keep(
        kind,
        rank,
        step,
        with -> with == rank ? steps : with == other ? others : original.steps(with));
  }

  private List<Step> steps(int rank) {
    return new ArrayList<>(original.steps(rank));
  }

  private void keep(String kind, int rank, Step step, IntFunction<List<Step>> steps) {
    mutants.add(
        new Mutant(
            kind,
            kind + " on rank " + rank + ": " + step,
            Schedule.of(
                original.algorithm(), original.request(), steps, original::scratch, with -> with)));
  }

  /// Returns where at the peer that stands which belongs to a step of this rank: the step of its
  /// kind with as many before it.
  private int partner(int rank, int index, int peer, Predicate<Step> belongs) {
    List<Step> steps = original.steps(rank);
    Step step = steps.get(index);
    long before = steps.subList(0, index).stream().filter(other -> isLike(step, other)).count();
    List<Step> peers = original.steps(peer);
    int found = -1;
    for (long seen = -1; seen < before; seen++) {
      found++;
      while (!belongs.test(peers.get(found))) {
        found++;
      }
    }
    return found;
  }

  /// Returns whether two steps count as one after the other at the peer: signals of a slot, or
  /// messages of a link.
  private static boolean isLike(Step step, Step other) {
    return step instanceof Step.Send(int peer, _)
        ? other instanceof Step.Send(int to, _) && to == peer
        : step.equals(other);
  }

  private static boolean isOfOneLink(Step step, Step other) {
    return switch (step) {
      case Step.Send _ -> isLike(step, other);
      case Step.Receive(int peer, _) -> isReceive(other, peer);
      case Step.ReceiveReduce(int peer, _) -> isReceive(other, peer);
      default -> false;
    };
  }

  private static boolean isReceive(Step step, int from) {
    return switch (step) {
      case Step.Receive(int peer, _) -> peer == from;
      case Step.ReceiveReduce(int peer, _) -> peer == from;
      default -> false;
    };
  }

  /// Removes what a rank says to a peer at both ends.
  private void removePair(String kind, int rank, int index, int peer, int partner) {
    List<Step> steps = steps(rank);
    List<Step> peers = steps(peer);
    Step step = steps.remove(index);
    peers.remove(partner);
    add(kind, rank, steps, peer, peers, step);
  }

  /// Swaps a message with each later one of its link, at both ends.
  private void reorderPairs(int rank, int index, int peer, int partner) {
    List<Step> steps = original.steps(rank);
    for (int later = index + 1; later < steps.size(); later++) {
      if (isLike(steps.get(index), steps.get(later))) {
        int with = partner(rank, later, peer, other -> isReceive(other, rank));
        List<Step> mine = steps(rank);
        List<Step> peers = steps(peer);
        Collections.swap(mine, index, later);
        Collections.swap(peers, partner, with);
        add("reordered", rank, mine, peer, peers, steps.get(index));
      }
    }
  }

  /// Exchanges steps between two ranks, each on the memory of the rank that now does it.
  private void exchange(int rank, int index, int other, int at) {
    List<Step> steps = steps(rank);
    List<Step> others = steps(other);
    if (at >= others.size()) {
      return;
    }
    Step mine = steps.get(index);
    Step theirs = others.get(at);
    steps.set(index, moved(theirs, other, rank));
    others.set(at, moved(mine, rank, other));
    if (!steps.get(index).equals(mine) || !others.get(at).equals(theirs)) {
      add("exchanged", rank, steps, other, others, mine);
    }
  }

  /// Returns a step as another rank does it: what was its own memory is the other's; what it had to
  /// do with the other, that has to do with it.
  private static Step moved(Step step, int from, int to) {
    IntUnaryOperator peers = peer -> peer == to ? from : peer;
    UnaryOperator<Range> ranges = range -> in(range, range.rank() == from ? to : range.rank());
    return switch (step) {
      case Step.Send(int peer, Range range) ->
          new Step.Send(peers.applyAsInt(peer), ranges.apply(range));
      case Step.Receive(int peer, Range range) ->
          new Step.Receive(peers.applyAsInt(peer), ranges.apply(range));
      case Step.ReceiveReduce(int peer, Range range) ->
          new Step.ReceiveReduce(peers.applyAsInt(peer), ranges.apply(range));
      case Step.Copy(Range source, Range target) ->
          new Step.Copy(ranges.apply(source), ranges.apply(target));
      case Step.Reduce(Range target, JoinTree tree) ->
          new Step.Reduce(ranges.apply(target), mapped(tree, ranges));
      case Step.Spread(List<Range> target, JoinTree tree) ->
          new Step.Spread(target.stream().map(ranges).toList(), mapped(tree, ranges));
      case Step.Swap(Range own, Range theirs) ->
          new Step.Swap(ranges.apply(own), in(theirs, peers.applyAsInt(theirs.rank())));
      case Step.Scale(Range source, Range target) ->
          new Step.Scale(ranges.apply(source), ranges.apply(target));
      case Step.Divide(Range target) -> new Step.Divide(ranges.apply(target));
      case Step.Signal(int peer, int slot) -> new Step.Signal(peers.applyAsInt(peer), slot);
      case Step.Await(int peer, int slot) -> new Step.Await(peers.applyAsInt(peer), slot);
    };
  }

  private static JoinTree mapped(JoinTree tree, UnaryOperator<Range> ranges) {
    return switch (tree) {
      case JoinTree.Leaf(Range range) -> new JoinTree.Leaf(ranges.apply(range));
      case JoinTree.Node(JoinTree left, JoinTree right) ->
          new JoinTree.Node(mapped(left, ranges), mapped(right, ranges));
    };
  }

  private List<Step> misdirected(Step step) {
    List<Step> wrong = new ArrayList<>();
    for (int to = 0; to < original.ranks(); to++) {
      int peer = to;
      switch (step) {
        case Step.Send(int right, Range from) when right != peer ->
            wrong.add(new Step.Send(peer, from));
        case Step.Receive(int right, Range into) when right != peer ->
            wrong.add(new Step.Receive(peer, into));
        case Step.ReceiveReduce(int right, Range into) when right != peer ->
            wrong.add(new Step.ReceiveReduce(peer, into));
        case Step.Signal(int right, int slot) when right != peer ->
            wrong.add(new Step.Signal(peer, slot));
        case Step.Await(int right, int slot) when right != peer ->
            wrong.add(new Step.Await(peer, slot));
        case Step.Copy(Range from, Range target) when from.rank() != peer ->
            wrong.add(new Step.Copy(in(from, peer), target));
        case Step.Scale(Range from, Range target) when from.rank() != peer ->
            wrong.add(new Step.Scale(in(from, peer), target));
        case Step.Reduce(Range target, JoinTree tree) ->
            withALeafIn(tree, peer).forEach(other -> wrong.add(new Step.Reduce(target, other)));
        case Step.Spread(List<Range> target, JoinTree tree) -> {
          withALeafIn(tree, peer).forEach(other -> wrong.add(new Step.Spread(target, other)));
          forEachChanged(
              target, range -> in(range, peer), other -> wrong.add(new Step.Spread(other, tree)));
        }
        case Step.Swap(Range own, Range theirs) when theirs.rank() != peer ->
            wrong.add(new Step.Swap(own, in(theirs, peer)));
        default -> {}
      }
    }
    return wrong;
  }

  /// Returns the trees that differ in one leaf, which is read of another rank.
  private static List<JoinTree> withALeafIn(JoinTree tree, int rank) {
    List<JoinTree> trees = new ArrayList<>();
    switch (tree) {
      case JoinTree.Leaf(Range range) -> {
        if (range.rank() != rank) {
          trees.add(new JoinTree.Leaf(in(range, rank)));
        }
      }
      case JoinTree.Node(JoinTree left, JoinTree right) -> {
        withALeafIn(left, rank).forEach(other -> trees.add(new JoinTree.Node(other, right)));
        withALeafIn(right, rank).forEach(other -> trees.add(new JoinTree.Node(left, other)));
      }
    }
    return trees;
  }

  /// Calls the consumer with the lists that differ in one range, for each that a change changes.
  private static void forEachChanged(
      List<Range> ranges, UnaryOperator<Range> change, Consumer<List<Range>> consumer) {
    for (int i = 0; i < ranges.size(); i++) {
      List<Range> changed = new ArrayList<>(ranges);
      changed.set(i, change.apply(ranges.get(i)));
      if (!changed.equals(ranges)) {
        consumer.accept(changed);
      }
    }
  }

  private static Range in(Range range, int rank) {
    return new Range(rank, range.space(), range.offset(), range.elements());
  }

  private static List<Step> displaced(Step step) {
    return switch (step) {
      case Step.Send(int peer, Range from) when from.elements() > 0 ->
          List.of(new Step.Send(peer, moved(from)), new Step.Send(peer, shorter(from)));
      case Step.Receive(int peer, Range into) when into.elements() > 0 ->
          List.of(new Step.Receive(peer, moved(into)), new Step.Receive(peer, shorter(into)));
      case Step.ReceiveReduce(int peer, Range into) ->
          List.of(new Step.ReceiveReduce(peer, moved(into)));
      case Step.Copy(Range from, Range to) ->
          List.of(
              new Step.Copy(moved(from), to),
              new Step.Copy(from, moved(to)),
              new Step.Copy(shorter(from), shorter(to)));
      case Step.Scale(Range from, Range to) ->
          List.of(new Step.Scale(moved(from), to), new Step.Scale(from, moved(to)));
      case Step.Divide(Range target) ->
          List.of(new Step.Divide(moved(target)), new Step.Divide(shorter(target)));
      case Step.Reduce(Range to, JoinTree tree) -> List.of(new Step.Reduce(moved(to), tree));
      case Step.Spread(List<Range> to, JoinTree tree) -> {
        List<Step> wrong = new ArrayList<>();
        forEachChanged(to, Mutants::moved, other -> wrong.add(new Step.Spread(other, tree)));
        for (int dropped = 0; dropped < to.size() && to.size() > 1; dropped++) {
          List<Range> others = new ArrayList<>(to);
          others.remove(dropped);
          wrong.add(new Step.Spread(others, tree));
        }
        yield wrong;
      }
      case Step.Swap(Range own, Range theirs) ->
          List.of(
              new Step.Swap(moved(own), theirs),
              new Step.Swap(own, moved(theirs)),
              new Step.Swap(shorter(own), shorter(theirs)));
      default -> List.of();
    };
  }

  /// Returns the range one element further, or back where it would start at 0.
  private static Range moved(Range range) {
    long offset = range.offset() == 0 ? 1 : range.offset() - 1;
    return new Range(range.rank(), range.space(), offset, range.elements());
  }

  private static Range shorter(Range range) {
    return new Range(range.rank(), range.space(), range.offset(), range.elements() - 1);
  }
}
