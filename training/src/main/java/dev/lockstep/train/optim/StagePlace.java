package dev.lockstep.train.optim;

import dev.lockstep.train.nn.Parameter;
import dev.lockstep.train.placement.AxisPlace;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;

/// A rank's place on the axis that layers are spread over, and which stage holds what.
///
/// @param axis the axis and the rank's stage
/// @param parameters what each stage holds; a tied weight is held by the first and by the last
/// @param all the parameters of all stages, in program order
public record StagePlace(AxisPlace axis, List<List<Parameter>> parameters, List<Parameter> all) {
  /// The axis on which the first and the last stage add the gradients of tied weights.
  public static final String ENDS = "pp ends";

  /// Copies the lists and checks which parameters are shared.
  ///
  /// @throws IllegalArgumentException if stages are missing, or a parameter is shared by other
  ///   stages than the first and the last
  public StagePlace {
    parameters = parameters.stream().map(List::copyOf).toList();
    all = List.copyOf(all);
    if (parameters.size() != axis.ranks()) {
      throw new IllegalArgumentException(
          "every stage has parameters: stages=%d, lists=%d"
              .formatted(axis.ranks(), parameters.size()));
    }
    Set<Parameter> seen = new LinkedHashSet<>();
    for (int stage = 0; stage < parameters.size(); stage++) {
      for (Parameter parameter : parameters.get(stage)) {
        boolean isEnds =
            stage == parameters.size() - 1 && parameters.getFirst().contains(parameter);
        if (!seen.add(parameter) && !isEnds) {
          throw new IllegalArgumentException(
              "a tied weight is shared by others than the first and the last stage: parameter=%s, stage=%d"
                  .formatted(parameter.name(), stage));
        }
      }
    }
  }

  /// Returns whether there are several stages.
  public boolean isStaged() {
    return axis.ranks() > 1;
  }

  /// Returns what this rank's stage holds.
  public List<Parameter> own() {
    return parameters.get(axis.rank());
  }

  /// Returns whether this is the stage that computes the loss.
  boolean isLast() {
    return axis.rank() == axis.ranks() - 1;
  }

  /// Returns whether this stage and another hold a parameter.
  boolean isShared(Parameter parameter) {
    return isStaged()
        && own().contains(parameter)
        && parameters.getFirst().contains(parameter)
        && parameters.getLast().contains(parameter);
  }
}
