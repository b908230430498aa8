package dev.lockstep.collective.algorithm;

import static dev.lockstep.collective.algorithm.Parts.input;
import static dev.lockstep.collective.algorithm.Parts.output;
import static dev.lockstep.collective.algorithm.Parts.scratch;

import dev.lockstep.collective.request.CollectiveKind;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.schedule.Range;
import java.util.List;

/// Gather by messages up a binomial tree, in which every rank passes on all parts of its branch at
/// once.
///
/// `ceil(log2 P)` messages deep; a part travels over up to as many hops. Scratch: the parts of a
/// rank's branch.
final class BinomialGather extends PlannedAlgorithm {
  /// Makes the algorithm.
  BinomialGather() {
    super("binomial-gather", CollectiveKind.GATHER);
  }

  @Override
  Plan plan(CollectiveRequest request) {
    Binomial tree = new Binomial(request.ranks(), request.root());
    return Plan.of(rank -> steps(request, tree, rank))
        .withScratch(rank -> tree.scratchElements(request.counts(), rank));
  }

  private static Steps steps(CollectiveRequest request, Binomial tree, int rank) {
    Steps steps = new Steps();
    List<Binomial.Meeting> meetings = tree.meetings(rank);
    Range own = input(rank, 0, 0, request.counts().get(rank));
    if (rank != request.root() && meetings.size() == 1) {
      steps.send(meetings.getFirst().peer(), own);
      return steps;
    }
    Binomial.Branch all = tree.led(rank);
    if (rank != request.root() || !request.inPlace()) {
      steps.copy(own, place(request, rank, all, new Binomial.Branch(rank, 1)));
    }
    for (Binomial.Meeting meeting : meetings) {
      if (meeting.leads()) {
        steps.receive(meeting.peer(), place(request, rank, all, meeting.other()));
      } else {
        steps.send(meeting.peer(), place(request, rank, all, meeting.own()));
      }
    }
    return steps;
  }

  /// Returns where a branch's parts are on a rank that collects those of another around it.
  private static Range place(
      CollectiveRequest request, int rank, Binomial.Branch all, Binomial.Branch branch) {
    long start = request.counts().start(branch.first());
    return rank == request.root()
        ? output(rank, start, branch.elements(request.counts()))
        : scratch(
            rank, start - request.counts().start(all.first()), branch.elements(request.counts()));
  }
}
