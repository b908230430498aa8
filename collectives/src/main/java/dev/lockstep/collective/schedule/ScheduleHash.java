package dev.lockstep.collective.schedule;

import dev.lockstep.collective.request.StableHash;
import java.util.List;

/// The identity of a schedule: a hash of its request and of the steps of one rank of each kind.
final class ScheduleHash {
  private final StableHash hash = new StableHash();

  private ScheduleHash() {}

  static long of(Schedule schedule) {
    ScheduleHash content = new ScheduleHash();
    content.hash.add(schedule.algorithm()).add(schedule.request().hash());
    for (int rank = 0; rank < schedule.ranks(); rank++) {
      if (schedule.alike(rank) == rank) {
        content.hash.add(rank);
        schedule.scratch(rank).forEach(content::add);
        schedule.steps(rank).forEach(content::add);
      }
    }
    long value = content.hash.value();
    return value == 0 ? 1 : value;
  }

  private void add(ScratchSpace scratch) {
    hash.add(scratch.elements()).add(scratch.shared() ? 1 : 0);
  }

  private void add(Step step) {
    switch (step) {
      case Step.Send(int peer, Range from) -> add(hash.add(1).add(peer), from);
      case Step.Receive(int peer, Range into) -> add(hash.add(2).add(peer), into);
      case Step.ReceiveReduce(int peer, Range into) -> add(hash.add(3).add(peer), into);
      case Step.Copy(Range from, Range to) -> add(add(hash.add(4), from), to);
      case Step.Reduce(Range to, JoinTree tree) -> {
        add(hash.add(5), to);
        add(tree);
      }
      case Step.Spread(List<Range> to, JoinTree tree) -> {
        hash.add(10).add(to.size());
        to.forEach(range -> add(hash, range));
        add(tree);
      }
      case Step.Swap(Range own, Range theirs) -> add(add(hash.add(11), own), theirs);
      case Step.Scale(Range from, Range to) -> add(add(hash.add(9), from), to);
      case Step.Divide(Range target) -> add(hash.add(6), target);
      case Step.Signal(int peer, int slot) -> hash.add(7).add(peer).add(slot);
      case Step.Await(int peer, int slot) -> hash.add(8).add(peer).add(slot);
    }
  }

  private void add(JoinTree tree) {
    switch (tree) {
      case JoinTree.Leaf(Range range) -> add(hash.add(1), range);
      case JoinTree.Node(JoinTree left, JoinTree right) -> {
        hash.add(2);
        add(left);
        add(right);
      }
    }
  }

  private static StableHash add(StableHash hash, Range range) {
    hash.add(range.rank());
    switch (range.space()) {
      case Space.Input(int index) -> hash.add(1).add(index);
      case Space.Output _ -> hash.add(2);
      case Space.Scratch(int index) -> hash.add(3).add(index);
    }
    return hash.add(range.offset()).add(range.elements());
  }
}
