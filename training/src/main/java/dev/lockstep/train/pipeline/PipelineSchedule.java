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
  ONE_FORWARD_ONE_BACKWARD("1f1b"),

  /// As that one, where each stage holds several chunks of layers: lanes go round the stages once
  /// per chunk, so that a stage waits for a chunk's time where it would wait for a stage's. What
  /// more lanes keep is held, and more messages are sent.
  INTERLEAVED("interleaved");

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

  /// Returns how many chunks of layers a stage holds if the user did not say.
  public int usualChunks() {
    return this == INTERLEAVED ? 2 : 1;
  }

  /// Returns how many ways forth a stage takes before its first turn of one forth and one back.
  ///
  /// @param perStage chunks of a stage
  /// @param turns ways forth of all of its chunks
  int waitsFor(int stage, int stages, int perStage, int turns) {
    int behind = stages - 1 - stage;
    return switch (this) {
      case GPIPE -> turns;
      case ONE_FORWARD_ONE_BACKWARD -> behind;
      case INTERLEAVED -> 2 * behind + (perStage - 1) * stages;
    };
  }
}
