package dev.lockstep.train.nn;

/// One place where a model uses a parameter: an input of its own, so that each use's gradient is a
/// value of its own. A tied weight has several, bound to the same memory.
///
/// @param inputName name of the graph's input
/// @param parameter what is bound to it
public record ParameterUse(String inputName, Parameter parameter) {
  /// Returns what the gradient of this use is called in programs.
  public String gradientName() {
    return gradientName(inputName);
  }

  /// Returns what the gradient of the use `inputName` is called in programs.
  public static String gradientName(String inputName) {
    return "gradient/" + inputName;
  }
}
