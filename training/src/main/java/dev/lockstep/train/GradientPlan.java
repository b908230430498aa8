package dev.lockstep.train;

import dev.lockstep.memory.Buffer;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Shape;
import dev.lockstep.tensor.Tensor;
import dev.lockstep.train.parallel.FirstFit;
import dev.lockstep.train.parallel.FlatLayout;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/// When groups of a lane's gradients are made in a program that is cut into phases, and where they
/// lie until they are reduced.
///
/// @param last phase in which the last of a group is made, by group
/// @param places where groups lie
record GradientPlan(Map<Integer, Integer> last, FirstFit places) {
  /// Plans the memory of a lane's gradients.
  ///
  /// @param plan the program that makes them
  /// @param of which groups
  static GradientPlan of(GatherPlan plan, GradientGroups groups, List<Integer> of) {
    Map<Integer, Integer> last = new HashMap<>();
    List<FirstFit.Life> lives = new ArrayList<>();
    for (int group : of) {
      int first = Integer.MAX_VALUE;
      int end = 0;
      for (String name : groups.shapes(group).keySet()) {
        int made = plan.madeIn(name);
        first = Math.min(first, made);
        end = Math.max(end, made);
      }
      last.put(group, end);
      // Read until the reduction is awaited, at the end of the next phase.
      long bytes = groups.groupLayout(group).bytes();
      lives.add(new FirstFit.Life(GradientGroups.shardName(group), bytes, first, end + 1));
    }
    return new GradientPlan(Map.copyOf(last), FirstFit.of(lives));
  }

  /// Returns the bytes of a lane's gradients.
  long bytes() {
    return places.bytes();
  }

  /// Returns the gradients of a group as one vector, in memory of [#bytes].
  Tensor vector(GradientGroups groups, int group, Buffer memory) {
    Shape elements = Shape.of(groups.groupLayout(group).elements());
    return new Tensor(memory, offset(group), DType.F32, elements);
  }

  private long offset(int group) {
    return places.offsets().getOrDefault(GradientGroups.shardName(group), 0L);
  }

  /// Returns the gradients of a group in memory of [#bytes].
  Map<String, Tensor> tensors(GradientGroups groups, int group, Buffer memory) {
    FlatLayout layout = groups.groupLayout(group);
    Map<String, Tensor> found = new HashMap<>();
    groups
        .shapes(group)
        .forEach(
            (name, shape) ->
                found.put(
                    name,
                    new Tensor(memory, offset(group) + layout.offset(name), DType.F32, shape)));
    return found;
  }
}
