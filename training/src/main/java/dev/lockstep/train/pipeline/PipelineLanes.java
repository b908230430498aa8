package dev.lockstep.train.pipeline;

import dev.lockstep.graph.SumTree.Subtree;
import dev.lockstep.train.parallel.LanePlan;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.stream.IntStream;

/// The lanes that run through one pipeline of several side by side, and what becomes of their sums.
/// In round `i` each pipeline runs its lane `i`, if it has so many.
///
/// @param numbers the lanes of this pipeline, ascending
/// @param rounds how many lanes the pipeline with the most has
/// @param tree how a stage joins the sums of its lanes; empty where those of each round are reduced
///   over the pipelines as they come (ZeRO 2 and 3)
/// @param gathers whether the pipelines gather a chunk's parameters together whenever it computes
///   (ZeRO 3)
public record PipelineLanes(
    List<Integer> numbers, int rounds, Optional<LanePlan> tree, boolean gathers) {
  /// Copies the list.
  ///
  /// @throws IllegalArgumentException if there are fewer rounds than lanes
  public PipelineLanes {
    numbers = List.copyOf(numbers);
    if (rounds < numbers.size()) {
      throw new IllegalArgumentException(
          "every lane has a round: lanes=%s, rounds=%d".formatted(numbers, rounds));
    }
  }

  /// Returns lanes whose sums each stage joins by itself.
  public static PipelineLanes summed(LanePlan plan) {
    List<Integer> numbers = numbers(plan);
    return new PipelineLanes(numbers, numbers.size(), Optional.of(plan), false);
  }

  /// Returns lanes whose sums each stage joins by itself, while the pipelines gather parameters
  /// together.
  ///
  /// @param most how many lanes the pipeline with the most has
  public static PipelineLanes gathering(LanePlan plan, int most) {
    return new PipelineLanes(numbers(plan), most, Optional.of(plan), true);
  }

  /// Returns the lanes of a pipeline that takes them in rounds: at round `t` pipeline `r` of `R`
  /// runs lane `t·R + r`, and the round's sums are reduced.
  ///
  /// @param lanes lanes of all pipelines
  /// @param pipelines number of pipelines
  /// @param index which of them
  /// @param gathers whether they gather parameters together
  public static PipelineLanes inRounds(int lanes, int pipelines, int index, boolean gathers) {
    List<Integer> numbers = new ArrayList<>();
    for (int lane = index; lane < lanes; lane += pipelines) {
      numbers.add(lane);
    }
    return new PipelineLanes(numbers, Math.ceilDiv(lanes, pipelines), Optional.empty(), gathers);
  }

  private static List<Integer> numbers(LanePlan plan) {
    return plan.held().stream()
        .flatMap(held -> IntStream.range(held.first(), held.end()).boxed())
        .toList();
  }

  /// Returns the number of lanes.
  public int count() {
    return numbers.size();
  }

  /// Returns the round of a lane.
  int round(int lane) {
    return numbers.indexOf(lane);
  }

  /// Whether the pipelines do something together.
  boolean meets() {
    return gathers || tree.isEmpty();
  }

  /// Returns the lanes of another pipeline beside this one, numbered from 0.
  PipelineLanes beside(int count) {
    List<Integer> others = IntStream.range(0, count).boxed().toList();
    Optional<LanePlan> joined =
        tree.map(
            _ -> LanePlan.of(IntStream.range(0, count).mapToObj(PipelineLanes::leaf).toList()));
    return new PipelineLanes(others, rounds, joined, gathers);
  }

  private static Subtree leaf(int lane) {
    return new Subtree(lane, 1);
  }
}
