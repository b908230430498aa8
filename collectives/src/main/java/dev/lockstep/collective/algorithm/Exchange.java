package dev.lockstep.collective.algorithm;

import static dev.lockstep.collective.algorithm.Parts.input;
import static dev.lockstep.collective.algorithm.Parts.peers;

import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.schedule.Range;

/// All-to-all exchange of contributions with a local join: every rank gets all contributions to its
/// part and joins them by the lane tree.
///
/// @param request what is reduced
/// @param parts each rank's part of the reduction
record Exchange(CollectiveRequest request, Cut parts) {
  /// Returns how much of a rank's scratch is taken, from its start on.
  long scratchElements(int rank) {
    long arriving = 0;
    for (int peer : peers(rank, request.ranks())) {
      arriving += request.inputs(peer);
    }
    return arriving * parts.length(rank);
  }

  /// Adds the steps after which a rank's part is reduced.
  ///
  /// @param to where the part goes
  void joinParts(Steps steps, int rank, Range to) {
    int[] peers = peers(rank, request.ranks());
    for (int peer : peers) {
      for (int index = 0; index < request.inputs(peer); index++) {
        steps.receive(peer, arrived(rank, peer, index));
      }
    }
    for (int peer : peers) {
      for (int index = 0; index < request.inputs(rank); index++) {
        steps.send(peer, input(rank, index, parts.start(peer), parts.length(peer)));
      }
    }
    if (to.elements() > 0) {
      steps.reduce(
          to,
          Parts.laneTree(
              request,
              (holder, index) ->
                  holder == rank
                      ? input(rank, index, parts.start(rank), parts.length(rank))
                      : arrived(rank, holder, index)));
      steps.finish(request, to);
    }
  }

  /// Returns where a peer's contribution to a rank's part arrives.
  private Range arrived(int rank, int peer, int index) {
    long position = index;
    for (int before = 0; before < peer; before++) {
      position += before == rank ? 0 : request.inputs(before);
    }
    long length = parts.length(rank);
    return Parts.scratch(rank, position * length, length);
  }
}
