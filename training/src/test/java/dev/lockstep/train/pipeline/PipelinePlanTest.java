package dev.lockstep.train.pipeline;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import dev.lockstep.graph.LaneSplit;
import dev.lockstep.graph.SumTree.Subtree;
import dev.lockstep.train.parallel.LanePlan;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

class PipelinePlanTest {
  private static LanePlan lanes(int count) {
    return LanePlan.of(List.of(LaneSplit.contiguous(count, 1).ranks().getFirst()).getFirst());
  }

  @ParameterizedTest
  @EnumSource
  void everyNumberOfStagesAndLanesHasAPlanThatEnds(PipelineSchedule schedule) {
    for (int stages = 1; stages <= 9; stages++) {
      for (int count = 1; count <= 12; count++) {
        PipelinePlan plan = PipelinePlan.training(schedule, stages, lanes(count));
        assertThat(plan.count()).isEqualTo(count);
        for (int stage = 0; stage < stages; stage++) {
          assertThat(plan.slots().get(stage))
              .isEqualTo(schedule.inFlight(stage, stages, count))
              .isLessThanOrEqualTo(count);
        }
        PipelinePlan evaluation = PipelinePlan.evaluation(stages, lanes(count));
        assertThat(evaluation.stages()).hasSize(stages);
      }
    }
  }

  /// A rank of an uneven world holds several subtrees, and not from lane 0 on.
  @Test
  void aPipelineTakesTheLanesOfItsPlaceOnTheDataAxis() {
    List<Subtree> held = LaneSplit.contiguous(7, 3).ranks().get(1);
    PipelinePlan plan =
        PipelinePlan.training(PipelineSchedule.ONE_FORWARD_ONE_BACKWARD, 3, LanePlan.of(held));
    assertThat(held).hasSize(2);
    assertThat(plan.count()).isEqualTo(2);
    assertThat(plan.stages().getFirst().getFirst()).isEqualTo(new StageAction.Forward(3, 0));
  }

  @Test
  void holdsAsManyLanesAsThereAreStagesBehind() {
    assertThat(
            PipelinePlan.training(PipelineSchedule.ONE_FORWARD_ONE_BACKWARD, 4, lanes(8)).slots())
        .containsExactly(4, 3, 2, 1);
    assertThat(PipelinePlan.training(PipelineSchedule.GPIPE, 4, lanes(8)).slots())
        .containsExactly(8, 8, 8, 1);
  }

  @Test
  void stagesWaitForTheShareThatTheScheduleIsKnownFor() {
    double[] forth = {1, 1, 1, 0};
    double[] back = {2, 2, 2, 3};
    PipelinePlan plan =
        PipelinePlan.training(PipelineSchedule.ONE_FORWARD_ONE_BACKWARD, 4, lanes(8));
    // (P - 1) / (L + P - 1), for stages that take as long as one another.
    assertThat(plan.times(forth, back).bubble()).isCloseTo(3.0 / 11, within(1e-9));
    assertThat(plan.times(forth, back).total()).isCloseTo(33, within(1e-9));
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
      case StageAction.Send(int lane, int slot) -> {
        found.add(List.of(new StageAction.Send(lane + 1, slot)));
        found.add(List.of(new StageAction.Send(lane, slot + 1)));
        found.add(List.of(new StageAction.SendGradient(lane, 0)));
      }
      case StageAction.Receive(int lane, int slot) -> {
        found.add(List.of(new StageAction.Receive(lane + 1, slot)));
        found.add(List.of(new StageAction.Receive(lane, slot + 1)));
        found.add(List.of(new StageAction.ReceiveGradient(lane)));
      }
      case StageAction.SendGradient(int lane, int message) -> {
        found.add(List.of(new StageAction.SendGradient(lane + 1, message)));
        found.add(List.of(new StageAction.SendGradient(lane, message + 1)));
        found.add(List.of(new StageAction.Send(lane, 0)));
      }
      case StageAction.ReceiveGradient(int lane) -> {
        found.add(List.of(new StageAction.ReceiveGradient(lane + 1)));
        found.add(List.of(new StageAction.Receive(lane, 0)));
      }
      case StageAction.Backward(int lane, int slot, int sum, int message) -> {
        found.add(List.of(new StageAction.Backward(lane + 1, slot, sum, message)));
        found.add(List.of(new StageAction.Backward(lane, slot + 1, sum, message)));
        found.add(List.of(new StageAction.Backward(lane, slot, sum + 1, message)));
      }
      case StageAction.Forward(int lane, int slot) -> {
        found.add(List.of(new StageAction.Forward(lane + 1, slot)));
        found.add(List.of(new StageAction.Forward(lane, slot + 1)));
      }
      case StageAction.Join join -> {
        int left = join.into();
        int right = join.from();
        found.add(List.of(new StageAction.Join(/* into= */ right, /* from= */ left)));
      }
    }
    return found;
  }

  @ParameterizedTest
  @EnumSource
  void noMessageCanBeDroppedDoubledOrMisdirected(PipelineSchedule schedule) {
    PipelinePlan plan = PipelinePlan.training(schedule, 3, lanes(5));
    int mutants = 0;
    for (int stage = 0; stage < 3; stage++) {
      for (int at = 0; at < plan.stages().get(stage).size(); at++) {
        for (List<StageAction> variant : variants(plan.stages().get(stage).get(at))) {
          List<List<StageAction>> other = copy(plan);
          other.get(stage).remove(at);
          other.get(stage).addAll(at, variant);
          assertThatThrownBy(() -> new PipelinePlan(plan.lanes(), true, plan.slots(), other))
              .as("stage %d, %s instead of %s", stage, variant, plan.stages().get(stage).get(at))
              .isInstanceOf(IllegalArgumentException.class)
              .hasMessageStartingWith("no plan of a pipeline: ");
          mutants++;
        }
      }
    }
    System.out.printf("%s: %d mutants of a plan, all refused%n", schedule.label(), mutants);
    assertThat(mutants).isGreaterThan(150);
  }

  @Test
  void stagesThatWaitForOneAnotherAreRefused() {
    PipelinePlan plan = PipelinePlan.training(PipelineSchedule.GPIPE, 2, lanes(2));
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
