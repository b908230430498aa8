package dev.lockstep.collective.algorithm;

import static dev.lockstep.collective.algorithm.Parts.input;
import static dev.lockstep.collective.algorithm.Parts.output;
import static dev.lockstep.collective.algorithm.Parts.peers;

import dev.lockstep.collective.request.CollectiveKind;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.schedule.Range;
import dev.lockstep.collective.schedule.Schedule;
import dev.lockstep.collective.schedule.Step;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/// Broadcast in memory that all ranks share: every rank reads the root's elements where they lie.
///
/// Two signals deep: the elements are ready, they are read. Every rank but the root copies `S`
/// bytes.
public final class DirectBroadcast implements Algorithm {
  private static final int READY = 0;
  private static final int READ = 2;

  /// Makes the algorithm.
  public DirectBroadcast() {}

  @Override
  public String name() {
    return "direct-broadcast";
  }

  @Override
  public Optional<String> refusal(CollectiveRequest request) {
    return Parts.refuseOtherKinds(request, CollectiveKind.BROADCAST)
        .or(() -> Parts.refuseWithoutPeerMemory(request));
  }

  @Override
  public Schedule schedule(CollectiveRequest request) {
    Parts.check(this, request);
    int firstOther = request.root() == 0 ? 1 : 0;
    return Schedule.of(
        name(),
        request,
        rank -> steps(request, rank),
        _ -> List.of(),
        rank -> rank == request.root() ? rank : firstOther);
  }

  private static List<Step> steps(CollectiveRequest request, int rank) {
    List<Step> steps = new ArrayList<>();
    int root = request.root();
    long elements = request.total();
    if (elements == 0) {
      return steps;
    }
    Range source = input(root, 0, 0, elements);
    if (rank != root) {
      steps.add(new Step.Await(root, READY));
      steps.add(new Step.Copy(source, output(rank, 0, elements)));
      steps.add(new Step.Signal(root, READ));
      return steps;
    }
    for (int peer : peers(root, request.ranks())) {
      steps.add(new Step.Signal(peer, READY));
    }
    if (!request.inPlace()) {
      steps.add(new Step.Copy(source, output(root, 0, elements)));
    }
    for (int peer : peers(root, request.ranks())) {
      steps.add(new Step.Await(peer, READ));
    }
    return steps;
  }
}
