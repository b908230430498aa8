package dev.lockstep.collective.algorithm;

import static dev.lockstep.collective.algorithm.Parts.input;
import static dev.lockstep.collective.algorithm.Parts.output;
import static dev.lockstep.collective.algorithm.Parts.scratch;

import dev.lockstep.collective.request.CollectiveKind;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.schedule.Range;
import java.util.List;

/// Scatter by messages down a binomial tree, in which every rank gets all parts of its branch at
/// once.
///
/// `ceil(log2 P)` messages deep; a part travels over up to as many hops. Scratch: the parts of a
/// rank's branch.
final class BinomialScatter extends PlannedAlgorithm {
  /// Makes the algorithm.
  BinomialScatter() {
    super("binomial-scatter", CollectiveKind.SCATTER);
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
    Range own = output(rank, 0, request.counts().get(rank));
    if (rank != request.root() && meetings.size() == 1) {
      steps.receive(meetings.getFirst().peer(), own);
      return steps;
    }
    Binomial.Branch all = tree.led(rank);
    for (Binomial.Meeting meeting : meetings.reversed()) {
      if (meeting.leads()) {
        steps.send(meeting.peer(), place(request, rank, all, meeting.other()));
      } else {
        steps.receive(meeting.peer(), place(request, rank, all, meeting.own()));
      }
    }
    if (rank != request.root() || !request.inPlace()) {
      steps.copy(place(request, rank, all, new Binomial.Branch(rank, 1)), own);
    }
    return steps;
  }

  /// Returns where a branch's parts are on a rank that deals out those of another around it.
  private static Range place(
      CollectiveRequest request, int rank, Binomial.Branch all, Binomial.Branch branch) {
    long start = request.counts().start(branch.first());
    return rank == request.root()
        ? input(rank, 0, start, branch.elements(request.counts()))
        : scratch(
            rank, start - request.counts().start(all.first()), branch.elements(request.counts()));
  }
}
