package dev.lockstep.train.pipeline;

import dev.lockstep.failure.ConfigurationException;
import java.util.Arrays;
import java.util.stream.Collectors;

/// In which order the stages of a pipeline take the ways forth and back of their lanes. The bits of
/// a run do not depend on it.
public enum PipelineSchedule {
  /// All ways forth, then all ways back: what every lane keeps is held at once.
  GPIPE("gpipe"),

  /// After some lanes' ways forth, one way back and one way forth in turn: stage `s` of `P` holds
  /// what `P - s` lanes keep.
  ONE_FORWARD_ONE_BACKWARD("1f1b");

  private final String label;

  PipelineSchedule(String label) {
    this.label = label;
  }

  /// Returns the name that options use.
  public String label() {
    return label;
  }

  /// Returns the schedule called `label`.
  ///
  /// @throws ConfigurationException if there is none; the sentence names the choices
  public static PipelineSchedule of(String label) {
    for (PipelineSchedule schedule : values()) {
      if (schedule.label.equals(label)) {
        return schedule;
      }
    }
    throw new ConfigurationException(
        "--schedule",
        label,
        "there is no such schedule: --schedule %s (known: %s)"
            .formatted(
                label,
                Arrays.stream(values())
                    .map(PipelineSchedule::label)
                    .collect(Collectors.joining(", "))));
  }

  /// Returns for how many lanes a stage holds what they keep, at most.
  ///
  /// @param stage number of the stage
  /// @param stages stages of the pipeline
  /// @param lanes lanes that run through it
  public int inFlight(int stage, int stages, int lanes) {
    return stage == stages - 1 ? 1 : Math.min(lanes, waitsFor(stage, stages, lanes) + 1);
  }

  /// Returns how many ways forth a stage takes before its first turn of one forth and one back.
  int waitsFor(int stage, int stages, int lanes) {
    return switch (this) {
      case GPIPE -> stage == stages - 1 ? 0 : lanes;
      case ONE_FORWARD_ONE_BACKWARD -> Math.min(lanes, stages - 1 - stage);
    };
  }
}
