package dev.lockstep.collective.algorithm;

import static dev.lockstep.collective.algorithm.Parts.input;
import static dev.lockstep.collective.algorithm.Parts.output;
import static dev.lockstep.collective.algorithm.Parts.scratch;

import dev.lockstep.collective.request.CollectiveKind;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.schedule.Range;
import java.util.Optional;

/// Reduce by messages up a binomial tree of T's shape.
///
/// Realises the lane tree T, whichever rank the root is, where every rank brings one subtree and
/// the ranks' order is the lanes'. `ceil(log2 P)` messages deep; every rank but the root sends `S`
/// bytes. Scratch: `S` on those that receive.
public final class BinomialReduce extends PlannedAlgorithm {
  /// Makes the algorithm.
  public BinomialReduce() {
    super("binomial-reduce", CollectiveKind.REDUCE);
  }

  @Override
  Optional<String> obstacle(CollectiveRequest request) {
    return Parts.notInRankOrder(request);
  }

  @Override
  Plan plan(CollectiveRequest request) {
    Binomial tree = new Binomial(request.ranks(), request.root());
    return Plan.of(rank -> steps(request, tree, rank))
        .withScratch(rank -> needsScratch(request, tree, rank) ? request.total() : 0);
  }

  private static boolean needsScratch(CollectiveRequest request, Binomial tree, int rank) {
    boolean joins = tree.meetings(rank).size() > 1 || request.inputs(rank) > 1;
    return rank != request.root() && joins;
  }

  private static Steps steps(CollectiveRequest request, Binomial tree, int rank) {
    Steps steps = new Steps();
    long elements = request.total();
    boolean root = rank == request.root();
    Range sum = root ? output(rank, 0, elements) : scratch(rank, 0, elements);
    Range held = input(rank, 0, 0, elements);
    if (request.inputs(rank) > 1) {
      steps.reduce(sum, Parts.chain(request, rank, 0, elements));
      held = sum;
    } else if (root && request.inPlace()) {
      held = sum;
    }
    for (Binomial.Meeting meeting : tree.meetings(rank)) {
      if (!meeting.leads()) {
        steps.send(meeting.peer(), held);
      } else if (held.equals(sum)) {
        steps.receiveReduce(meeting.peer(), sum);
      } else {
        steps.receive(meeting.peer(), sum);
        steps.join(sum, held);
        held = sum;
      }
    }
    if (root) {
      if (!held.equals(sum)) {
        steps.copy(held, sum);
      }
      steps.finish(request, sum);
    }
    return steps;
  }
}
