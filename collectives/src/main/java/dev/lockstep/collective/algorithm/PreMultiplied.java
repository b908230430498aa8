package dev.lockstep.collective.algorithm;

import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.schedule.JoinTree;
import dev.lockstep.collective.schedule.Range;
import dev.lockstep.collective.schedule.ScratchSpace;
import dev.lockstep.collective.schedule.Space;
import dev.lockstep.collective.schedule.Step;
import dev.lockstep.graph.ReduceOp;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Function;

/// Makes a pre-multiplied sum of a plain one: every rank writes its contributions, multiplied, into
/// scratch, and the plain sum's steps read them there.
final class PreMultiplied {
  private final CollectiveRequest request;

  private PreMultiplied(CollectiveRequest request) {
    this.request = request;
  }

  static Plan plan(CollectiveRequest request, Function<CollectiveRequest, Plan> planner) {
    Plan plain = planner.apply(request.withReduceOp(new ReduceOp.Sum()).withInPlace(false));
    PreMultiplied made = new PreMultiplied(request);
    return new Plan(
        rank -> made.steps(rank, plain.steps().apply(rank)),
        rank -> made.scratch(rank, plain.scratch().apply(rank)),
        plain.alike());
  }

  private List<ScratchSpace> scratch(int rank, List<ScratchSpace> plain) {
    List<ScratchSpace> scratch = new ArrayList<>();
    for (int input = 0; input < request.inputs(rank); input++) {
      long elements = request.inputElements(rank);
      scratch.add(new ScratchSpace(elements, request.topology().peerMemory()));
    }
    scratch.addAll(plain);
    return scratch;
  }

  private Steps steps(int rank, Steps plain) {
    Steps steps = new Steps();
    for (int input = 0; input < request.inputs(rank); input++) {
      Range whole = Parts.input(rank, input, 0, request.inputElements(rank));
      steps.scale(whole, moved(whole));
    }
    for (Step step : plain.list()) {
      switch (step) {
        case Step.Send(int peer, Range from) -> steps.send(peer, moved(from));
        case Step.Receive(int peer, Range into) -> steps.receive(peer, moved(into));
        case Step.ReceiveReduce(int peer, Range into) -> steps.receiveReduce(peer, moved(into));
        case Step.Copy(Range from, Range to) -> steps.copy(moved(from), moved(to));
        case Step.Reduce(Range to, JoinTree tree) -> steps.reduce(moved(to), moved(tree));
        case Step.Spread(List<Range> to, JoinTree tree) ->
            steps.spread(to.stream().map(this::moved).toList(), moved(tree));
        case Step.Signal(int peer, int slot) -> steps.signal(peer, slot);
        case Step.Await(int peer, int slot) -> steps.await(peer, slot);
        case Step.Scale _, Step.Divide _, Step.Swap _ ->
            throw new AssertionError("not a step of a plain sum");
      }
    }
    return steps;
  }

  private JoinTree moved(JoinTree tree) {
    return switch (tree) {
      case JoinTree.Leaf(Range range) -> new JoinTree.Leaf(moved(range));
      case JoinTree.Node(JoinTree left, JoinTree right) ->
          new JoinTree.Node(moved(left), moved(right));
    };
  }

  /// Inputs lie in the first scratch spaces, the plain sum's scratch in those after them.
  private Range moved(Range range) {
    Space space =
        switch (range.space()) {
          case Space.Input(int index) -> new Space.Scratch(index);
          case Space.Scratch(int index) -> new Space.Scratch(request.inputs(range.rank()) + index);
          case Space.Output output -> output;
        };
    return new Range(range.rank(), space, range.offset(), range.elements());
  }
}
