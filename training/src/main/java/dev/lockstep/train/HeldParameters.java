package dev.lockstep.train;

import dev.lockstep.train.nn.Parameter;
import java.util.List;

/// The parameters that a stage of a pipeline holds, or of the model where there is none.
///
/// @param runs the parameters in program order, in runs that are cut over the data axis by
///   themselves: one for each chunk, and what is shared apart
/// @param shared those that another stage holds too: they are cut before all others, so that both
///   cut them alike
record HeldParameters(List<List<Parameter>> runs, List<Parameter> shared) {
  /// Copies the lists.
  HeldParameters {
    runs = runs.stream().map(List::copyOf).toList();
    shared = List.copyOf(shared);
  }

  /// Returns the parameters of a rank that holds all layers.
  static HeldParameters all(List<Parameter> parameters) {
    return new HeldParameters(List.of(parameters), List.of());
  }

  /// Returns the parameters, in program order.
  List<Parameter> parameters() {
    return runs.stream().flatMap(List::stream).toList();
  }
}
