package dev.lockstep.train;

import dev.lockstep.train.nn.Parameter;
import java.util.ArrayList;
import java.util.List;

/// What is gathered at once where parameters are sharded: a layer, told by the first number in the
/// names of its parameters (`transformer.h.3.ln_1.weight`), or a run of parameters that belong to
/// none.
final class ParameterUnits {
  private ParameterUnits() {}

  /// Returns the units, each a run of the parameters.
  ///
  /// @param parameters in program order
  static List<List<Parameter>> of(List<Parameter> parameters) {
    List<List<Parameter>> units = new ArrayList<>();
    String last = null;
    for (Parameter parameter : parameters) {
      String layer = layer(parameter.name());
      if (!layer.equals(last)) {
        units.add(new ArrayList<>());
        last = layer;
      }
      units.getLast().add(parameter);
    }
    return units.stream().map(List::copyOf).toList();
  }

  /// The name up to its first number; empty if it has none.
  private static String layer(String name) {
    int end = 0;
    for (String word : name.split("\\.", -1)) {
      end += word.length();
      if (!word.isEmpty() && word.chars().allMatch(Character::isDigit)) {
        return name.substring(0, end);
      }
      end++;
    }
    return "";
  }
}
