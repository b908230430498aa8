package dev.lockstep.collective.plan;

import dev.lockstep.collective.algorithm.Algorithm;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.request.Counts;
import dev.lockstep.collective.request.Topology;
import dev.lockstep.graph.LaneSplit;
import java.util.List;

/// How many steps a rank would have, without making them: among very many ranks an algorithm whose
/// steps grow with their number is known by how they grow among fewer. One rank that has many, the
/// root of a star, is no obstacle.
final class StepCount {
  /// Steps of one rank beyond which nothing is simulated.
  static final long MOST = 200_000;

  private static final int FEW = 2_048;
  private static final int MANY_RANKS = 8 * FEW;

  private StepCount() {}

  /// Returns about how many steps a rank has, 0 where ranks are few enough to count them.
  static long estimate(Algorithm algorithm, CollectiveRequest request) {
    if (request.ranks() < MANY_RANKS
        || !request.lanes().isOnePerRank()
        || !request.counts().areEqual()) {
      return 0;
    }
    CollectiveRequest few = withRanks(request, FEW);
    CollectiveRequest twice = withRanks(request, 2 * FEW);
    return Math.min(
        estimate(steps(algorithm, few, true), steps(algorithm, twice, true), request.ranks()),
        estimate(steps(algorithm, few, false), steps(algorithm, twice, false), request.ranks()));
  }

  private static long estimate(long few, long twice, int ranks) {
    boolean growsWithRanks = 2 * twice > 3 * few;
    return growsWithRanks ? twice * (ranks / (2 * FEW)) : twice;
  }

  /// Returns the steps of the root, or of the rank farthest from it.
  private static long steps(Algorithm algorithm, CollectiveRequest request, boolean ofRoot) {
    int root = Math.max(0, request.root());
    int rank = ofRoot ? root : root == 0 ? request.ranks() - 1 : 0;
    return algorithm.refusal(request).isPresent()
        ? 0
        : algorithm.schedule(request).steps(rank).size();
  }

  private static CollectiveRequest withRanks(CollectiveRequest request, int ranks) {
    Topology topology = request.topology();
    List<Integer> levels = topology.levels().stream().filter(size -> size < ranks).toList();
    long parts = request.counts().size();
    long scaled = parts <= 1 ? parts : parts == request.ranks() ? ranks : (long) ranks * ranks;
    return new CollectiveRequest(
        request.kind(),
        request.dtype(),
        request.reduceOp(),
        Math.min(request.root(), ranks - 1),
        parts == 0 ? Counts.none() : Counts.each(scaled, request.counts().get(0)),
        request.inPlace(),
        new Topology(ranks, levels, topology.peerMemory()),
        LaneSplit.onePerRank(ranks),
        request.mode());
  }
}
