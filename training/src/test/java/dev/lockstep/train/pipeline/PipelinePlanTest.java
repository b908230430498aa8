package dev.lockstep.train.pipeline;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import dev.lockstep.graph.LaneSplit;
import dev.lockstep.graph.SumTree.Subtree;
import dev.lockstep.train.parallel.LanePlan;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

class PipelinePlanTest {
  private static PipelineLanes lanes(int count) {
    return PipelineLanes.summed(LanePlan.of(LaneSplit.contiguous(count, 1).ranks().getFirst()));
  }

  @ParameterizedTest
  @EnumSource
  void everyNumberOfStagesAndLanesHasAPlanThatEnds(PipelineSchedule schedule) {
    boolean isInterleaved = schedule == PipelineSchedule.INTERLEAVED;
    for (int stages = isInterleaved ? 2 : 1; stages <= 7; stages++) {
      for (int count = 1; count <= 12; count++) {
        for (int perStage = isInterleaved ? 2 : 1;
            perStage <= (isInterleaved ? 4 : 1);
            perStage++) {
          PipelinePlan plan = PipelinePlan.training(schedule, stages, perStage, lanes(count));
          assertThat(plan.count()).isEqualTo(count);
          assertThat(plan.chunks()).isEqualTo(stages * perStage);
          assertThat(plan.slots()).allMatch(slots -> slots >= 1).last().isEqualTo(1);
          for (int slots : plan.slots()) {
            assertThat(slots).isLessThanOrEqualTo(count);
          }
          PipelinePlan evaluation = PipelinePlan.evaluation(stages, perStage, lanes(count));
          assertThat(evaluation.stages()).hasSize(stages);
        }
      }
    }
  }

  /// Pipelines that share out sums or parameters meet for each round, also those that have no lane
  /// in it.
  @ParameterizedTest(name = "{0}, {1} stages of {2} chunks, {3} lanes over {4} pipelines")
  @CsvSource({
    "GPIPE, 2, 1, 5, 3",
    "ONE_FORWARD_ONE_BACKWARD, 4, 1, 7, 3",
    "ONE_FORWARD_ONE_BACKWARD, 3, 1, 3, 3",
    "INTERLEAVED, 2, 2, 5, 2",
    "INTERLEAVED, 3, 3, 16, 3",
    "INTERLEAVED, 4, 2, 3, 2",
  })
  void pipelinesMeetInTheSameOrder(
      PipelineSchedule schedule, int stages, int perStage, int lanes, int pipelines) {
    for (boolean gathers : new boolean[] {false, true}) {
      List<Integer> all = new ArrayList<>();
      for (int index = 0; index < pipelines; index++) {
        PipelineLanes own = PipelineLanes.inRounds(lanes, pipelines, index, gathers);
        PipelinePlan plan = PipelinePlan.training(schedule, stages, perStage, own);
        all.addAll(own.numbers());
        for (List<StageAction> stage : plan.stages()) {
          long reduced = stage.stream().filter(StageAction.Reduce.class::isInstance).count();
          assertThat(reduced).isEqualTo((long) perStage * own.rounds());
        }
      }
      assertThat(all)
          .containsExactlyInAnyOrderElementsOf(IntStream.range(0, lanes).boxed().toList());
    }
  }

  @Test
  void pipelinesThatMeetForDifferentThingsAreRefused() {
    PipelineLanes first = PipelineLanes.inRounds(4, 2, 0, false);
    PipelineLanes second = PipelineLanes.inRounds(4, 2, 1, false);
    PipelinePlan eager = PipelinePlan.training(PipelineSchedule.GPIPE, 2, 1, first);
    PipelinePlan other = PipelinePlan.training(PipelineSchedule.GPIPE, 2, 1, second);
    List<PipelinePlay.Pipeline> alike =
        List.of(
            new PipelinePlay.Pipeline(first, eager.slots(), eager.stages()),
            new PipelinePlay.Pipeline(second, other.slots(), other.stages()));
    new PipelinePlay(true, alike).play();
    PipelineLanes joined = lanes(2);
    PipelinePlan alone = PipelinePlan.training(PipelineSchedule.GPIPE, 2, 1, joined);
    List<PipelinePlay.Pipeline> unlike =
        List.of(
            new PipelinePlay.Pipeline(first, eager.slots(), eager.stages()),
            new PipelinePlay.Pipeline(joined, alone.slots(), alone.stages()));
    assertThatThrownBy(() -> new PipelinePlay(true, unlike).play())
        .hasMessageContaining("stages wait for one another");
  }

  /// A rank of an uneven world holds several subtrees, and not from lane 0 on.
  @Test
  void aPipelineTakesTheLanesOfItsPlaceOnTheDataAxis() {
    List<Subtree> held = LaneSplit.contiguous(7, 3).ranks().get(1);
    PipelinePlan plan =
        PipelinePlan.training(
            PipelineSchedule.ONE_FORWARD_ONE_BACKWARD,
            3,
            1,
            PipelineLanes.summed(LanePlan.of(held)));
    assertThat(held).hasSize(2);
    assertThat(plan.count()).isEqualTo(2);
    assertThat(plan.stages().getFirst().getFirst()).isEqualTo(new StageAction.Forward(0, 3, 0));
  }

  @Test
  void holdsAsManyLanesAsThereAreStagesBehind() {
    assertThat(
            PipelinePlan.training(PipelineSchedule.ONE_FORWARD_ONE_BACKWARD, 4, 1, lanes(8))
                .slots())
        .containsExactly(4, 3, 2, 1);
    assertThat(PipelinePlan.training(PipelineSchedule.GPIPE, 4, 1, lanes(8)).slots())
        .containsExactly(8, 8, 8, 1);
  }

  /// Stage `s` of `P` takes `2(P - 1 - s) + (V - 1)P` ways forth ahead (Narayanan et al. 2021): of
  /// its first chunk it holds at most two groups of lanes.
  @Test
  void interleavedStagesHoldTwoGroupsOfLanesPerChunkAtMost() {
    assertThat(PipelinePlan.training(PipelineSchedule.INTERLEAVED, 4, 2, lanes(16)).slots())
        .containsExactly(8, 8, 7, 5, 4, 4, 3, 1);
    assertThat(PipelinePlan.training(PipelineSchedule.INTERLEAVED, 2, 2, lanes(8)).slots())
        .containsExactly(4, 3, 2, 1);
  }

  @Test
  void stagesWaitForTheShareThatTheScheduleIsKnownFor() {
    double[] forth = {1, 1, 1, 0};
    double[] back = {2, 2, 2, 3};
    PipelinePlan plan =
        PipelinePlan.training(PipelineSchedule.ONE_FORWARD_ONE_BACKWARD, 4, 1, lanes(8));
    // (P - 1) / (L + P - 1), for stages that take as long as one another.
    assertThat(plan.times(forth, back).bubble()).isCloseTo(3.0 / 11, within(1e-9));
    assertThat(plan.times(forth, back).total()).isCloseTo(33, within(1e-9));
  }

  /// With `V` chunks per stage the pipeline fills and drains in `1/V` of the time.
  @ParameterizedTest(name = "{0} stages of {1} chunks, {2} lanes")
  @CsvSource({"4, 2, 8", "2, 2, 4", "4, 4, 16", "3, 2, 9"})
  void interleavedStagesWaitForAFractionOfThat(int stages, int perStage, int count) {
    int chunks = stages * perStage;
    double[] forth = new double[chunks];
    double[] back = new double[chunks];
    for (int chunk = 0; chunk < chunks; chunk++) {
      forth[chunk] = chunk == chunks - 1 ? 0 : 1.0 / perStage;
      back[chunk] = chunk == chunks - 1 ? 3.0 / perStage : 2.0 / perStage;
    }
    PipelinePlan plan =
        PipelinePlan.training(PipelineSchedule.INTERLEAVED, stages, perStage, lanes(count));
    double fill = (stages - 1.0) / perStage;
    assertThat(plan.times(forth, back).total()).isCloseTo(3 * (count + fill), within(1e-9));
    assertThat(plan.times(forth, back).bubble()).isCloseTo(fill / (count + fill), within(1e-9));
  }

  private static List<List<StageAction>> copy(PipelinePlan plan) {
    List<List<StageAction>> copy = new ArrayList<>();
    plan.stages().forEach(actions -> copy.add(new ArrayList<>(actions)));
    return copy;
  }

  /// What may go wrong with one action; none of it is a plan any more.
  private static List<List<StageAction>> variants(StageAction action) {
    List<List<StageAction>> found = new ArrayList<>();
    found.add(List.of());
    found.add(List.of(action, action));
    switch (action) {
      case StageAction.Send(int chunk, int lane, int slot) -> {
        found.add(List.of(new StageAction.Send(chunk, lane + 1, slot)));
        found.add(List.of(new StageAction.Send(chunk, lane, slot + 1)));
        found.add(List.of(new StageAction.Send(chunk + 1, lane, slot)));
        found.add(List.of(new StageAction.SendGradient(chunk, lane, 0)));
      }
      case StageAction.Receive(int chunk, int lane, int slot) -> {
        found.add(List.of(new StageAction.Receive(chunk, lane + 1, slot)));
        found.add(List.of(new StageAction.Receive(chunk, lane, slot + 1)));
        found.add(List.of(new StageAction.Receive(chunk - 1, lane, slot)));
        found.add(List.of(new StageAction.ReceiveGradient(chunk, lane)));
      }
      case StageAction.SendGradient(int chunk, int lane, int message) -> {
        found.add(List.of(new StageAction.SendGradient(chunk, lane + 1, message)));
        found.add(List.of(new StageAction.SendGradient(chunk, lane, message + 1)));
        found.add(List.of(new StageAction.SendGradient(chunk - 1, lane, message)));
        found.add(List.of(new StageAction.Send(chunk, lane, 0)));
      }
      case StageAction.ReceiveGradient(int chunk, int lane) -> {
        found.add(List.of(new StageAction.ReceiveGradient(chunk, lane + 1)));
        found.add(List.of(new StageAction.ReceiveGradient(chunk + 1, lane)));
        found.add(List.of(new StageAction.Receive(chunk, lane, 0)));
      }
      case StageAction.Backward(int chunk, int lane, int slot, int sum, int message) -> {
        found.add(List.of(new StageAction.Backward(chunk, lane + 1, slot, sum, message)));
        found.add(List.of(new StageAction.Backward(chunk, lane, slot + 1, sum, message)));
        found.add(List.of(new StageAction.Backward(chunk, lane, slot, sum + 1, message)));
        found.add(List.of(new StageAction.Backward(chunk + 1, lane, slot, sum, message)));
      }
      case StageAction.Forward(int chunk, int lane, int slot) -> {
        found.add(List.of(new StageAction.Forward(chunk, lane + 1, slot)));
        found.add(List.of(new StageAction.Forward(chunk, lane, slot + 1)));
        found.add(List.of(new StageAction.Forward(chunk + 1, lane, slot)));
      }
      case StageAction.Join(int chunk, int left, int right) ->
          found.add(List.of(new StageAction.Join(chunk, /* into= */ right, /* from= */ left)));
      case StageAction.Reduce(int chunk, int round) -> {
        found.add(List.of(new StageAction.Reduce(chunk, round + 1)));
        found.add(List.of(new StageAction.Reduce(chunk + 1, round)));
      }
      case StageAction.Lend(int chunk, int round, boolean back) -> {
        found.add(List.of(new StageAction.Lend(chunk, round + 1, back)));
        found.add(List.of(new StageAction.Lend(chunk, round, !back)));
      }
    }
    return found;
  }

  /// Whether the order of two actions that follow one another matters.
  private static boolean depends(StageAction second, StageAction first) {
    boolean ends =
        second instanceof StageAction.SendGradient
            || second instanceof StageAction.Join
            || second instanceof StageAction.Reduce;
    return first.chunk() == second.chunk()
        && switch (first) {
          case StageAction.Receive _, StageAction.Forward _, StageAction.ReceiveGradient _ -> true;
          case StageAction.Backward _ -> ends;
          case StageAction.Lend _ -> second instanceof StageAction.Reduce;
          case StageAction.Send _,
              StageAction.SendGradient _,
              StageAction.Join _,
              StageAction.Reduce _ ->
              false;
        };
  }

  private static List<List<List<StageAction>>> mutants(PipelinePlan plan) {
    List<List<List<StageAction>>> mutants = new ArrayList<>();
    for (int stage = 0; stage < plan.stages().size(); stage++) {
      List<StageAction> actions = plan.stages().get(stage);
      for (int at = 0; at < actions.size(); at++) {
        for (List<StageAction> variant : variants(actions.get(at))) {
          List<List<StageAction>> other = copy(plan);
          other.get(stage).remove(at);
          other.get(stage).addAll(at, variant);
          mutants.add(other);
        }
        if (at + 1 < actions.size() && depends(actions.get(at + 1), actions.get(at))) {
          List<List<StageAction>> other = copy(plan);
          Collections.swap(other.get(stage), at, at + 1);
          mutants.add(other);
        }
      }
    }
    return mutants;
  }

  @ParameterizedTest(name = "{0}, {1} stages of {2} chunks, sums {3}")
  @CsvSource({
    "GPIPE, 3, 1, joined",
    "ONE_FORWARD_ONE_BACKWARD, 3, 1, joined",
    "ONE_FORWARD_ONE_BACKWARD, 3, 1, reduced",
    "ONE_FORWARD_ONE_BACKWARD, 3, 1, gathered",
    "INTERLEAVED, 2, 2, joined",
    "INTERLEAVED, 3, 2, joined",
    "INTERLEAVED, 2, 3, reduced",
    "INTERLEAVED, 2, 2, gathered",
  })
  void noActionCanBeDroppedDoubledSwappedOrMisdirected(
      PipelineSchedule schedule, int stages, int perStage, String sums) {
    // Of seven lanes over two pipelines the second one has three.
    PipelineLanes lanes =
        sums.equals("joined") ? lanes(5) : PipelineLanes.inRounds(7, 2, 1, sums.equals("gathered"));
    PipelinePlan plan = PipelinePlan.training(schedule, stages, perStage, lanes);
    List<List<List<StageAction>>> mutants = mutants(plan);
    for (List<List<StageAction>> mutant : mutants) {
      assertThatThrownBy(() -> new PipelinePlan(lanes, true, plan.slots(), mutant))
          .as("%s instead of %s", mutant, plan.stages())
          .isInstanceOf(IllegalArgumentException.class)
          .hasMessageStartingWith("no plan of a pipeline: ");
    }
    System.out.printf(
        "%s, %d stages of %d chunks, sums %s: %d mutants of a plan, all refused%n",
        schedule.label(), stages, perStage, sums, mutants.size());
    assertThat(mutants).hasSizeGreaterThan(150);
  }

  @Test
  void stagesThatWaitForOneAnotherAreRefused() {
    PipelinePlan plan = PipelinePlan.training(PipelineSchedule.GPIPE, 2, 1, lanes(2));
    List<List<StageAction>> other = copy(plan);
    StageAction first = other.getFirst().removeFirst();
    StageAction send = other.getFirst().removeFirst();
    int behind = other.getFirst().size();
    other.getFirst().add(behind, first);
    other.getFirst().add(behind + 1, send);
    assertThatThrownBy(() -> new PipelinePlan(plan.lanes(), true, plan.slots(), other))
        .hasMessageContaining("no plan of a pipeline");
  }
}
