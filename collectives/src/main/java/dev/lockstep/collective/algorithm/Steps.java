package dev.lockstep.collective.algorithm;

import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.schedule.JoinTree;
import dev.lockstep.collective.schedule.Range;
import dev.lockstep.collective.schedule.Step;
import dev.lockstep.graph.ReduceOp;
import java.util.ArrayList;
import java.util.List;

/// One rank's program in the making. What has no elements is left out, on both ends of a message
/// alike.
final class Steps {
  private final List<Step> steps = new ArrayList<>();

  void send(int peer, Range from) {
    if (from.elements() > 0) {
      steps.add(new Step.Send(peer, from));
    }
  }

  void receive(int peer, Range into) {
    if (into.elements() > 0) {
      steps.add(new Step.Receive(peer, into));
    }
  }

  void receiveReduce(int peer, Range into) {
    if (into.elements() > 0) {
      steps.add(new Step.ReceiveReduce(peer, into));
    }
  }

  /// Sends a message that carries nothing but order.
  void tell(int peer, Range nothing) {
    steps.add(new Step.Send(peer, nothing));
  }

  /// Receives a message that carries nothing but order.
  void hear(int peer, Range nothing) {
    steps.add(new Step.Receive(peer, nothing));
  }

  void copy(Range from, Range to) {
    if (to.elements() > 0) {
      steps.add(new Step.Copy(from, to));
    }
  }

  void reduce(Range to, JoinTree tree) {
    if (to.elements() > 0) {
      steps.add(new Step.Reduce(to, tree));
    }
  }

  /// Joins sources and writes the result to several ranks.
  void spread(List<Range> to, JoinTree tree) {
    if (to.getFirst().elements() > 0) {
      steps.add(new Step.Spread(to, tree));
    }
  }

  /// Copies a range of this rank to a peer.
  void push(Range from, Range to) {
    spread(List.of(to), new JoinTree.Leaf(from));
  }

  /// Exchanges a range of this rank with one of a peer.
  void swap(Range own, Range theirs) {
    if (own.elements() > 0) {
      steps.add(new Step.Swap(own, theirs));
    }
  }

  /// Joins a range into another.
  void join(Range into, Range from) {
    reduce(into, new JoinTree.Node(new JoinTree.Leaf(into), new JoinTree.Leaf(from)));
  }

  void scale(Range from, Range to) {
    if (to.elements() > 0) {
      steps.add(new Step.Scale(from, to));
    }
  }

  /// Makes an average of a sum, where one is asked for.
  void finish(CollectiveRequest request, Range sum) {
    if (request.reduceOp() instanceof ReduceOp.Avg && sum.elements() > 0) {
      steps.add(new Step.Divide(sum));
    }
  }

  void signal(int peer, int slot) {
    steps.add(new Step.Signal(peer, slot));
  }

  void await(int peer, int slot) {
    steps.add(new Step.Await(peer, slot));
  }

  List<Step> list() {
    return steps;
  }
}
