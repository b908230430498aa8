package dev.lockstep.collective.verify;

import dev.lockstep.collective.schedule.JoinTree;
import dev.lockstep.collective.schedule.Range;
import dev.lockstep.collective.schedule.Schedule;
import dev.lockstep.collective.schedule.Step;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;
import java.util.function.IntFunction;

/// Makes every schedule that differs from a given one by one mistake.
final class Mutants {
  /// A schedule with a mistake.
  record Mutant(String kind, String what, Schedule schedule) {}

  private final Schedule original;
  private final List<Mutant> mutants = new ArrayList<>();

  private Mutants(Schedule original) {
    this.original = original;
  }

  static List<Mutant> of(Schedule original) {
    Mutants made = new Mutants(original);
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
    for (int other = index + 1; other < steps.size() && other <= index + 2; other++) {
      int with = other;
      add("swapped", rank, step, program -> program.set(index, program.set(with, step)));
    }
    int next = nextOnLink(steps, index);
    if (next > index + 2) {
      add("reordered", rank, step, program -> program.set(index, program.set(next, step)));
    }
    for (Step wrong : misdirected(step)) {
      add("misdirected", rank, step, program -> program.set(index, wrong));
    }
    for (Step wrong : displaced(step)) {
      add("displaced", rank, step, program -> program.set(index, wrong));
    }
    if (step instanceof Step.Signal(int peer, int slot)) {
      removePair(rank, index, peer, slot);
    }
  }

  private void add(String kind, int rank, Step step, Consumer<List<Step>> mistake) {
    List<Step> steps = new ArrayList<>(original.steps(rank));
    mistake.accept(steps);
    keep(kind, rank, step, with -> with == rank ? steps : original.steps(with));
  }

  private void keep(String kind, int rank, Step step, IntFunction<List<Step>> steps) {
    mutants.add(
        new Mutant(
            kind,
            kind + " on rank " + rank + ": " + step,
            Schedule.of(
                original.algorithm(), original.request(), steps, original::scratch, with -> with)));
  }

  /// Removes a signal together with the await that it satisfies.
  private void removePair(int rank, int index, int peer, int slot) {
    List<Step> steps = new ArrayList<>(original.steps(rank));
    Step signal = steps.remove(index);
    long before = steps.subList(0, index).stream().filter(signal::equals).count();
    List<Step> peers = new ArrayList<>(original.steps(peer));
    Step await = new Step.Await(rank, slot);
    int found = -1;
    for (long seen = -1; seen < before; seen++) {
      found++;
      while (!peers.get(found).equals(await)) {
        found++;
      }
    }
    peers.remove(found);
    keep(
        "unsignalled",
        rank,
        signal,
        with -> with == rank ? steps : with == peer ? peers : original.steps(with));
  }

  /// Returns where the next message of the same link and direction stands, or the next step with
  /// the same peer in whose memory a step reads; -1 if there is none.
  private static int nextOnLink(List<Step> steps, int index) {
    Step step = steps.get(index);
    for (int at = index + 1; at < steps.size(); at++) {
      boolean same =
          switch (step) {
            case Step.Send(int peer, _) -> steps.get(at) instanceof Step.Send s && s.peer() == peer;
            case Step.Receive(int peer, _) ->
                steps.get(at) instanceof Step.Receive r && r.peer() == peer;
            case Step.ReceiveReduce(int peer, _) ->
                steps.get(at) instanceof Step.ReceiveReduce r && r.peer() == peer;
            case Step.Signal(int peer, _) ->
                steps.get(at) instanceof Step.Signal s && s.peer() == peer;
            case Step.Await(int peer, _) ->
                steps.get(at) instanceof Step.Await a && a.peer() == peer;
            default -> false;
          };
      if (same) {
        return at;
      }
    }
    return -1;
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
        case Step.Reduce(Range target, JoinTree.Node(JoinTree left, JoinTree.Leaf(Range range)))
            when range.rank() != peer ->
            wrong.add(
                new Step.Reduce(
                    target, new JoinTree.Node(left, new JoinTree.Leaf(in(range, peer)))));
        default -> {}
      }
    }
    return wrong;
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
