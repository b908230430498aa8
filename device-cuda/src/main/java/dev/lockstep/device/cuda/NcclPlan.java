package dev.lockstep.device.cuda;

import dev.lockstep.device.DeviceCollective;
import dev.lockstep.graph.LaneSplit;
import dev.lockstep.graph.ReduceOp;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Function;
import java.util.function.LongUnaryOperator;

/// The steps of a collective on one rank. Where sums follow the lane tree, ranks send each other
/// the subtrees that they hold, each rank its part's of all, and a kernel of ours joins them:
///
/// | | steps | bytes that a rank of `R` sends of a vector of `S`, one subtree on each |
/// |---|---|---|
/// | reduce-scatter | all to all, join | `(R-1)/R · S` |
/// | all-reduce | the same, then an all-gather | `2(R-1)/R · S` |
/// | all-reduce of a short vector | all to all of the whole, join | `(R-1) · S` |
///
/// as NCCL's rings send. A rank that holds several subtrees sends as many times more.
final class NcclPlan {
  /// Up to this length ranks send each other all and join all, in one exchange in place of two:
  /// what that sends more takes less time than an exchange takes to begin. Not measured yet.
  private static final long SHORT = 4096;

  /// How many floats of other ranks' are held at once: what is longer passes in rounds.
  static final long MOST_SCRATCH = 16 << 20;

  /// Rounds, and parts of unequal length that are cut here, begin at multiples of this, so that the
  /// kernel reads four floats at once; other parts it reads one by one where they do not.
  private static final long ALIGNMENT = 4;

  private final int rank;
  private final int ranks;
  private final boolean sameBits;
  private final long stream;
  private final long mostScratch;
  private final Function<ReduceOp, LaneJoin> joins;
  private final LongUnaryOperator scratch;
  private final List<NcclStep> steps = new ArrayList<>();

  /// What all plans of a rank have in common.
  ///
  /// @param rank its number
  /// @param ranks how many there are
  /// @param sameBits whether sums follow the lane tree
  /// @param stream on which everything is queued
  /// @param mostScratch how many floats of other ranks' are held at once
  record Place(int rank, int ranks, boolean sameBits, long stream, long mostScratch) {}

  /// Starts an empty plan.
  ///
  /// @param joins makes the launches of the kernel
  /// @param scratch the address of so many bytes for what other ranks send
  NcclPlan(Place place, Function<ReduceOp, LaneJoin> joins, LongUnaryOperator scratch) {
    this.rank = place.rank;
    this.ranks = place.ranks;
    this.sameBits = place.sameBits;
    this.stream = place.stream;
    this.mostScratch = place.mostScratch;
    this.joins = joins;
    this.scratch = scratch;
  }

  /// Returns the steps.
  ///
  /// @param inputs addresses of what this rank brings
  /// @param output address of what it gets
  List<NcclStep> of(DeviceCollective collective, List<Long> inputs, long output) {
    switch (collective) {
      case DeviceCollective.AllGather gather ->
          gather(gather.counts(), gather.dtype().bytes(), inputs.getFirst(), output);
      case DeviceCollective.AllReduce reduce -> allReduce(reduce, inputs, output);
      case DeviceCollective.ReduceScatter scatter -> reduceScatter(scatter, inputs, output);
    }
    return steps;
  }

  private void gather(List<Long> counts, long elementBytes, long part, long whole) {
    long each = counts.getFirst();
    if (counts.stream().allMatch(count -> count == each)) {
      if (each > 0) {
        steps.add(new NcclStep.Gather(part, whole, each * elementBytes, stream));
      }
      return;
    }
    List<NcclStep.Part> parts = new ArrayList<>();
    long at = whole;
    for (int owning = 0; owning < ranks; owning++) {
      long bytes = counts.get(owning) * elementBytes;
      if (bytes > 0) {
        parts.add(new NcclStep.Part(owning == rank ? part : at, at, bytes, owning));
      }
      at += bytes;
    }
    steps.add(new NcclStep.Broadcasts(parts, stream));
  }

  private void allReduce(DeviceCollective.AllReduce reduce, List<Long> inputs, long output) {
    long elements = reduce.elements();
    if (elements == 0) {
      return;
    }
    LaneJoin join = joins.apply(reduce.op());
    if (mayUseOwnOrder(reduce.op(), reduce.lanes())) {
      long from = inputs.getFirst();
      if (inputs.size() > 1) {
        steps.add(join.launch(own(reduce.lanes(), inputs), output, elements));
        from = output;
      }
      steps.add(new NcclStep.Sum(from, output, elements, stream));
    } else if (elements <= SHORT) {
      List<Long> whole = new ArrayList<>();
      List<Long> starts = new ArrayList<>();
      for (int each = 0; each < ranks; each++) {
        whole.add(elements);
        starts.add(0L);
      }
      exchange(join, reduce.lanes(), new Parts(starts, whole), inputs, output);
    } else {
      Parts parts = Parts.of(shares(elements));
      exchange(
          join, reduce.lanes(), parts, inputs, output + parts.starts().get(rank) * Float.BYTES);
      gather(parts.counts(), Float.BYTES, output + parts.starts().get(rank) * Float.BYTES, output);
    }
  }

  /// Which part of a vector each rank joins.
  private List<Long> shares(long elements) {
    long share =
        elements % ranks == 0
            ? elements / ranks
            : (elements + ranks * ALIGNMENT - 1) / (ranks * ALIGNMENT) * ALIGNMENT;
    List<Long> counts = new ArrayList<>();
    for (int each = 0; each < ranks; each++) {
      counts.add(Math.clamp(elements - each * share, 0, share));
    }
    return counts;
  }

  private void reduceScatter(
      DeviceCollective.ReduceScatter scatter, List<Long> inputs, long output) {
    List<Long> counts = scatter.counts();
    LaneSplit lanes = scatter.lanes();
    if (mayUseOwnOrder(scatter.op(), lanes)
        && lanes.isOneSubtreePerRank()
        && counts.stream().allMatch(counts.getFirst()::equals)) {
      if (counts.getFirst() > 0) {
        steps.add(new NcclStep.SumParts(inputs.getFirst(), output, counts.getFirst(), stream));
      }
      return;
    }
    LaneJoin join = joins.apply(scatter.op());
    exchange(join, lanes, Parts.of(counts), inputs, output);
  }

  /// Whether NCCL's own order of sums will do, and every rank has something to bring.
  private boolean mayUseOwnOrder(ReduceOp op, LaneSplit lanes) {
    return !sameBits
        && op instanceof ReduceOp.Sum
        && lanes.ranks().stream().noneMatch(List::isEmpty);
  }

  private List<LaneJoin.Subtree> own(LaneSplit lanes, List<Long> inputs) {
    return LaneLeaf.of(lanes).stream()
        .filter(leaf -> leaf.rank() == rank)
        .map(leaf -> new LaneJoin.Subtree(inputs.get(leaf.index()), leaf.level()))
        .toList();
  }

  /// Which part of a vector each rank gets.
  private record Parts(List<Long> starts, List<Long> counts) {
    static Parts of(List<Long> counts) {
      List<Long> starts = new ArrayList<>();
      long at = 0;
      for (long count : counts) {
        starts.add(at);
        at += count;
      }
      return new Parts(starts, counts);
    }

    /// Returns how many elements of a rank's part pass in the round that begins at `offset`.
    long inRound(int rank, long offset, long most) {
      return Math.clamp(counts.get(rank) - offset, 0, most);
    }
  }

  /// Sends each rank its part of every subtree that is held here, and joins what comes for this
  /// rank's. All ranks plan the same rounds.
  private void exchange(
      LaneJoin join, LaneSplit lanes, Parts parts, List<Long> inputs, long output) {
    List<LaneLeaf> leaves = LaneLeaf.of(lanes);
    long longest = parts.counts.stream().mapToLong(Long::longValue).max().orElse(0);
    long round = mostScratch / leaves.size() / ALIGNMENT * ALIGNMENT;
    round = Math.min(round, (longest + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT);
    long foreign = leaves.stream().filter(leaf -> leaf.rank() != rank).count();
    long memory =
        foreign == 0 || round == 0 ? 0 : scratch.applyAsLong(foreign * round * Float.BYTES);
    for (long offset = 0; offset < longest; offset += round) {
      List<NcclStep.Message> sends = new ArrayList<>();
      for (int peer = 0; peer < ranks; peer++) {
        long count = parts.inRound(peer, offset, round);
        if (peer != rank && count > 0) {
          for (long input : inputs) {
            long from = input + (parts.starts.get(peer) + offset) * Float.BYTES;
            sends.add(new NcclStep.Message(from, count, peer));
          }
        }
      }
      long mine = parts.inRound(rank, offset, round);
      List<NcclStep.Message> receives = new ArrayList<>();
      List<LaneJoin.Subtree> subtrees = new ArrayList<>();
      if (mine > 0) {
        for (LaneLeaf leaf : leaves) {
          long at;
          if (leaf.rank() == rank) {
            at = inputs.get(leaf.index()) + (parts.starts.get(rank) + offset) * Float.BYTES;
          } else {
            at = memory + receives.size() * round * Float.BYTES;
            receives.add(new NcclStep.Message(at, mine, leaf.rank()));
          }
          subtrees.add(new LaneJoin.Subtree(at, leaf.level()));
        }
      }
      if (!sends.isEmpty() || !receives.isEmpty()) {
        steps.add(new NcclStep.Messages(sends, receives, stream));
      }
      if (mine > 0) {
        steps.add(join.launch(subtrees, output + offset * Float.BYTES, mine));
      }
    }
  }
}
