package dev.lockstep.train;

import dev.lockstep.memory.Buffer;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Shape;
import dev.lockstep.tensor.Tensor;
import dev.lockstep.train.nn.Parameter;
import dev.lockstep.train.nn.ParameterUse;
import dev.lockstep.train.optim.StateShards;
import dev.lockstep.train.optim.StateShards.Piece;
import dev.lockstep.train.optim.StepGraph;
import dev.lockstep.train.parallel.FlatLayout;
import dev.lockstep.train.parallel.FlatTensors;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;

/// How a lane's gradients lie so that a shard of the state has its gradients side by side: for each
/// unit that the state is cut by, a group has the gradients of each parameter's first use, in the
/// order of the parameters, the next that of their second uses. A tied weight's uses thus are
/// reduced apart and added afterwards, as without shards. Groups of a chunk lie side by side.
final class GradientGroups {
  private final FlatLayout layout;
  private final List<List<ParameterUse>> groups;
  private final List<List<ParameterUse>> chunks;
  private final Map<Parameter, Integer> useCounts;
  private final StateShards shards;
  private final Grid grid;
  private final boolean hasLoss;

  private GradientGroups(
      Grid grid,
      StateShards shards,
      List<List<ParameterUse>> chunks,
      List<List<ParameterUse>> groups,
      boolean hasLoss) {
    this.grid = grid;
    this.shards = shards;
    this.chunks = chunks;
    this.groups = groups;
    this.hasLoss = hasLoss;
    this.useCounts = new LinkedHashMap<>();
    Map<String, Shape> shapes = new LinkedHashMap<>();
    for (List<ParameterUse> group : groups) {
      for (ParameterUse use : group) {
        useCounts.merge(use.parameter(), 1, Integer::sum);
        shapes.put(use.gradientName(), grid.localShape(use.parameter()));
      }
    }
    addLoss(shapes);
    layout = FlatLayout.of(shapes);
  }

  private void addLoss(Map<String, Shape> shapes) {
    if (hasLoss) {
      shapes.put(StepGraph.LOSS_SUM, Shape.scalar());
      shapes.put(StepGraph.COUNT, Shape.scalar());
    }
  }

  /// Groups the uses of parameters.
  ///
  /// @param held the parameters in the order in which they lie
  /// @param chunks their uses, by the chunks that the rank computes
  /// @param hasLoss whether the last of those computes the loss
  static GradientGroups of(
      Grid grid, HeldParameters held, List<List<ParameterUse>> chunks, boolean hasLoss) {
    StateShards shards = grid.shards(held);
    List<ParameterUse> uses = chunks.stream().flatMap(List::stream).toList();
    List<List<ParameterUse>> groups = new ArrayList<>();
    for (List<Parameter> unit : shards.units()) {
      groups.addAll(groups(unit, uses));
    }
    return new GradientGroups(grid, shards, chunks, groups, hasLoss);
  }

  /// The first uses of a unit's parameters, the second ones, and so on.
  private static List<List<ParameterUse>> groups(List<Parameter> unit, List<ParameterUse> uses) {
    List<List<ParameterUse>> groups = new ArrayList<>();
    for (Parameter parameter : unit) {
      int use = 0;
      for (ParameterUse each : uses) {
        if (each.parameter().equals(parameter)) {
          if (groups.size() == use) {
            groups.add(new ArrayList<>());
          }
          groups.get(use++).add(each);
        }
      }
    }
    return groups;
  }

  /// Returns how the wish to stop lies in memory.
  static FlatLayout stopLayout() {
    return FlatLayout.of(Map.of(StepGraph.STOP, Shape.scalar()));
  }

  /// Returns what a shard of a group is called.
  static String shardName(int group) {
    return "group " + group;
  }

  /// Returns where the gradients of a lane lie, of all chunks.
  FlatLayout layout() {
    return layout;
  }

  /// Returns how the state is cut.
  StateShards shards() {
    return shards;
  }

  /// Returns how often each parameter is used.
  Map<Parameter, Integer> useCounts() {
    return useCounts;
  }

  /// Returns the number of groups.
  int count() {
    return groups.size();
  }

  /// Whether the last chunk computes the loss.
  boolean hasLoss() {
    return hasLoss;
  }

  /// Returns a lane's loss and count, where [#lane] has them; none without a loss.
  Map<String, Tensor> losses(Buffer memory) {
    Map<String, Tensor> all = lane(chunks.size() - 1, memory);
    all.keySet().retainAll(List.of(StepGraph.LOSS_SUM, StepGraph.COUNT));
    return all;
  }

  /// Returns the number of chunks.
  int chunks() {
    return chunks.size();
  }

  /// Returns the groups of a chunk.
  List<Integer> of(int chunk) {
    return IntStream.range(0, groups.size())
        .filter(group -> chunks.get(chunk).contains(groups.get(group).getFirst()))
        .boxed()
        .toList();
  }

  private long first(int group) {
    return element(groups.get(group).getFirst());
  }

  private long end(int group) {
    if (group + 1 < groups.size()) {
      return first(group + 1);
    }
    return hasLoss ? layout.offset(StepGraph.LOSS_SUM) / DType.F32.bytes() : layout.elements();
  }

  private long element(ParameterUse use) {
    return layout.offset(use.gradientName()) / DType.F32.bytes();
  }

  /// Returns a group of a lane's gradients as one vector.
  Tensor vector(FlatTensors slot, int group) {
    return vector(slot.whole().buffer(), first(group), end(group));
  }

  private static Tensor vector(Buffer buffer, long first, long end) {
    return new Tensor(buffer, first * DType.F32.bytes(), DType.F32, Shape.of(end - first));
  }

  /// Returns the bytes of a lane's gradients of one chunk, and its loss; the most of all.
  long laneBytes() {
    long most = 0;
    for (int chunk = 0; chunk < chunks.size(); chunk++) {
      most = Math.max(most, (end(layout, chunk) - start(chunk)) * DType.F32.bytes());
    }
    return most;
  }

  private long start(int chunk) {
    return first(of(chunk).getFirst());
  }

  private long end(FlatLayout whole, int chunk) {
    return chunk + 1 < chunks.size() ? start(chunk + 1) : whole.elements();
  }

  /// Returns where a chunk's gradients of a lane, and its loss, lie in memory of [#laneBytes].
  Map<String, Tensor> lane(int chunk, Buffer memory) {
    Map<String, Tensor> found = new LinkedHashMap<>();
    long start = start(chunk) * DType.F32.bytes();
    for (ParameterUse use : chunks.get(chunk)) {
      long offset = layout.offset(use.gradientName()) - start;
      Shape shape = grid.localShape(use.parameter());
      found.put(use.gradientName(), new Tensor(memory, offset, DType.F32, shape));
    }
    if (hasLoss && chunk == chunks.size() - 1) {
      for (String name : List.of(StepGraph.LOSS_SUM, StepGraph.COUNT)) {
        long offset = layout.offset(name) - start;
        found.put(name, new Tensor(memory, offset, DType.F32, Shape.scalar()));
      }
    }
    return found;
  }

  /// Returns the groups of a lane's gradients as vectors, where [#lane] has them.
  List<Tensor> laneVectors(Buffer memory) {
    List<Tensor> vectors = new ArrayList<>();
    for (int chunk = 0; chunk < chunks.size(); chunk++) {
      for (int group : of(chunk)) {
        vectors.add(vector(memory, first(group) - start(chunk), end(group) - start(chunk)));
      }
    }
    return vectors;
  }

  /// Where a shard's part of a group starts: at the first of its elements, or of those behind it,
  /// that the group has.
  private long start(int group, int rank) {
    if (rank == 0) {
      return first(group);
    }
    for (int next = rank; next < shards.ranks(); next++) {
      for (Piece piece : shards.pieces(next)) {
        for (ParameterUse use : groups.get(group)) {
          if (use.parameter().equals(piece.parameter())) {
            return element(use) + piece.start();
          }
        }
      }
    }
    return end(group);
  }

  private long end(int group, int rank) {
    return rank + 1 < shards.ranks() ? start(group, rank + 1) : end(group);
  }

  /// Returns the elements of each shard's part of a group.
  List<Long> counts(int group) {
    List<Long> counts = new ArrayList<>();
    for (int rank = 0; rank < shards.ranks(); rank++) {
      counts.add(end(group, rank) - start(group, rank));
    }
    return counts;
  }

  /// Returns how a shard of sums lies in memory: its part of each group, and the loss.
  FlatLayout shardLayout(int rank) {
    Map<String, Shape> shapes = new LinkedHashMap<>();
    for (int group = 0; group < groups.size(); group++) {
      shapes.put(shardName(group), Shape.of(counts(group).get(rank)));
    }
    addLoss(shapes);
    return FlatLayout.of(shapes);
  }

  /// Returns a shard of a chunk's sums, the loss included, as one vector.
  Tensor shard(FlatTensors slot, int chunk, int rank) {
    long first = shardStart(shardLayout(rank), chunk);
    return vector(slot.whole().buffer(), first, first + shardElements(chunk, rank));
  }

  /// Returns the elements of [#shard].
  long shardElements(int chunk, int rank) {
    FlatLayout whole = shardLayout(rank);
    long end = chunk + 1 < chunks.size() ? shardStart(whole, chunk + 1) : whole.elements();
    return end - shardStart(whole, chunk);
  }

  private long shardStart(FlatLayout whole, int chunk) {
    return whole.offset(shardName(of(chunk).getFirst())) / DType.F32.bytes();
  }

  /// Returns a piece's gradient within a shard of sums.
  ///
  /// @param use which of its parameter's uses
  Tensor piece(int use, Piece piece, int rank, FlatTensors sums) {
    int before = use;
    for (int group = 0; group < groups.size(); group++) {
      for (ParameterUse each : groups.get(group)) {
        if (each.parameter().equals(piece.parameter()) && before-- == 0) {
          long start = element(each) + piece.start() - start(group, rank);
          Tensor shard = sums.get(shardName(group));
          return new Tensor(
              shard.buffer(),
              shard.offset() + start * DType.F32.bytes(),
              DType.F32,
              Shape.of(piece.elements()));
        }
      }
    }
    throw new IllegalStateException(
        "no group has this gradient: parameter=%s, use=%d"
            .formatted(piece.parameter().name(), use));
  }

  /// Returns the gradients of a group, by name.
  Map<String, Shape> shapes(int group) {
    Map<String, Shape> shapes = new LinkedHashMap<>();
    for (ParameterUse use : groups.get(group)) {
      shapes.put(use.gradientName(), grid.localShape(use.parameter()));
    }
    return shapes;
  }

  /// Returns how a group lies in memory of its own, as it does among all.
  FlatLayout groupLayout(int group) {
    return FlatLayout.of(shapes(group));
  }
}
