package dev.lockstep.collective.plan;

import dev.lockstep.collective.algorithm.Algorithm;
import dev.lockstep.collective.algorithm.DirectAllGather;
import dev.lockstep.collective.algorithm.DirectAllReduce;
import dev.lockstep.collective.algorithm.DirectReduceScatter;
import dev.lockstep.collective.algorithm.DirectSendReceive;
import dev.lockstep.collective.algorithm.MessageSendReceive;
import dev.lockstep.collective.algorithm.SpreadAllReduce;
import dev.lockstep.collective.algorithm.SwapAllToAll;
import dev.lockstep.collective.algorithm.SwapSendReceive;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.request.Counts;
import dev.lockstep.collective.request.Mode;
import dev.lockstep.collective.request.Topology;
import dev.lockstep.collective.schedule.JoinTree;
import dev.lockstep.collective.schedule.Range;
import dev.lockstep.collective.schedule.Schedule;
import dev.lockstep.collective.schedule.Space;
import dev.lockstep.collective.schedule.Step;
import dev.lockstep.graph.LaneSplit;
import dev.lockstep.graph.ReduceOp;
import dev.lockstep.tensor.DType;
import java.util.ArrayList;
import java.util.List;

/// The schedules by which [LinkFit] finds the constants of links: of 32-bit floats, all ranks at
/// work.
///
/// @param topology of the ranks
record FitSchedules(Topology topology) {
  int hostRanks() {
    return topology.levels().isEmpty() ? 1 : topology.levels().getFirst();
  }

  /// Returns how many ranks of each host can send to another host at once: all of them where two
  /// hosts are full, else as many as the last one has.
  int sharers() {
    int size = hostRanks();
    return size == 1 || topology.ranks() >= 2 * size ? size : Math.max(1, topology.ranks() - size);
  }

  /// Steps of the rank alone, of one element each.
  Schedule localSteps(int number) {
    CollectiveRequest request = CollectiveRequest.sendReceive(DType.F32, number, false, topology);
    return Schedule.of(
        "local-steps",
        request,
        rank -> {
          List<Step> steps = new ArrayList<>();
          for (int i = 0; i < number; i++) {
            steps.add(
                new Step.Copy(
                    new Range(rank, new Space.Input(0), i, 1),
                    new Range(rank, new Space.Output(), i, 1)));
          }
          return steps;
        },
        _ -> List.of(),
        _ -> 0);
  }

  /// Messages of every rank to the next; where hosts run several ranks of the first one of each,
  /// lest a rank has one slow partner and one fast one.
  Schedule messages(long bytes) {
    return hostRanks() > 1 ? fromHostToHost(bytes, 1) : exchange(new MessageSendReceive(), bytes);
  }

  /// Reads of one element.
  Schedule touches() {
    return exchange(new DirectSendReceive(), DType.F32.bytes());
  }

  /// Reads of a part of each peer's memory, in place.
  Schedule reads(long bytes) {
    Counts parts = Counts.each(topology.ranks(), part(bytes));
    return new DirectAllGather()
        .schedule(CollectiveRequest.allGather(DType.F32, parts, true, topology));
  }

  private Schedule exchange(Algorithm algorithm, long bytes) {
    return algorithm.schedule(
        CollectiveRequest.sendReceive(DType.F32, elements(bytes), false, topology));
  }

  /// Messages from host to host, of some ranks each, between hosts that have so many.
  ///
  /// @param senders how many of each host's ranks take part: the first one, or all that can
  Schedule fromHostToHost(long bytes, int senders) {
    long elements = elements(bytes);
    CollectiveRequest request = CollectiveRequest.sendReceive(DType.F32, elements, false, topology);
    int size = hostRanks();
    int hosts = (topology.ranks() - senders) / size + 1;
    int idle = senders < size ? senders : hosts * size; // the first one
    return Schedule.of(
        "from-host-to-host",
        request,
        rank -> {
          int place = rank % size;
          int host = rank / size;
          return place >= senders || host >= hosts
              ? List.of()
              : List.of(
                  new Step.Receive(
                      Math.floorMod(host - 1, hosts) * size + place,
                      new Range(rank, new Space.Output(), 0, elements)),
                  new Step.Send(
                      (host + 1) % hosts * size + place,
                      new Range(rank, new Space.Input(0), 0, elements)));
        },
        _ -> List.of(),
        rank -> rank % size < senders && rank / size < hosts ? 0 : idle);
  }

  /// Joins of the rank alone, in place: one half of its elements into the other.
  Schedule joins(long bytes) {
    CollectiveRequest request = allReduce(bytes, true);
    long half = request.total() / 2;
    return Schedule.of(
        "local-join",
        request,
        rank -> {
          Range left = new Range(rank, new Space.Input(0), 0, half);
          Range right = new Range(rank, new Space.Input(0), half, half);
          return List.of(
              new Step.Reduce(
                  new Range(rank, new Space.Output(), 0, half),
                  new JoinTree.Node(new JoinTree.Leaf(left), new JoinTree.Leaf(right))));
        },
        _ -> List.of(),
        _ -> 0);
  }

  /// Joins of a part of each peer's memory, in place.
  Schedule peerJoins(long bytes) {
    return new DirectReduceScatter()
        .schedule(
            CollectiveRequest.reduceScatter(
                DType.F32,
                new ReduceOp.Sum(),
                Counts.each(topology.ranks(), part(bytes)),
                true,
                topology,
                LaneSplit.onePerRank(topology.ranks()),
                Mode.SAME_BITS));
  }

  /// Joins of a part of each peer's memory, the results written to all ranks.
  ///
  /// @param inPlace whether over what has been joined
  Schedule spreads(long bytes, boolean inPlace) {
    return new SpreadAllReduce().schedule(allReduce(bytes, inPlace));
  }

  /// Joins of a part of each peer's memory, the results read from where they were joined.
  Schedule fetches(long bytes) {
    return new DirectAllReduce().schedule(allReduce(bytes, true));
  }

  /// Exchanges with each peer, in place: of everything between two ranks, else of a part with each.
  Schedule swaps(long bytes) {
    int ranks = topology.ranks();
    return ranks == 2
        ? new SwapSendReceive()
            .schedule(CollectiveRequest.sendReceive(DType.F32, elements(bytes), true, topology))
        : new SwapAllToAll()
            .schedule(
                CollectiveRequest.allToAll(
                    DType.F32, Counts.each((long) ranks * ranks, part(bytes)), true, topology));
  }

  private long part(long bytes) {
    return Math.max(1, elements(bytes) / topology.ranks());
  }

  private CollectiveRequest allReduce(long bytes, boolean inPlace) {
    return CollectiveRequest.allReduce(
        DType.F32,
        new ReduceOp.Sum(),
        elements(bytes),
        inPlace,
        topology,
        LaneSplit.onePerRank(topology.ranks()),
        Mode.SAME_BITS);
  }

  private static long elements(long bytes) {
    return bytes / DType.F32.bytes();
  }
}
