package dev.lockstep.device.neuron;

import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;

/// What the provider looks at of the machine and the process.
///
/// @param environment variables of the process
/// @param devices the folder of device files
record NeuronHost(Map<String, String> environment, Path devices) {
  private static final String VISIBLE_CORES = "NEURON_RT_VISIBLE_CORES";
  private static final String CORES = "NEURON_RT_NUM_CORES";

  /// Copies the map.
  NeuronHost {
    environment = Map.copyOf(environment);
  }

  /// This process on this machine.
  static NeuronHost here() {
    return new NeuronHost(System.getenv(), Path.of("/dev"));
  }

  /// The first chip's device file.
  Path driver() {
    return devices.resolve("neuron0");
  }

  private boolean saysCores() {
    return environment.containsKey(VISIBLE_CORES) || environment.containsKey(CORES);
  }

  /// The core of device `ordinal` among those that the process sees: where the user did not say
  /// which, it sees one alone.
  int core(int ordinal) {
    return saysCores() ? ordinal : 0;
  }

  /// What must be set before the runtime is initialised; what the user has set stays.
  ///
  /// A process takes one core, the device's: who opens it has shared out the host's devices among
  /// its ranks. Sums are rounded to nearest, not at random, or no run could be repeated.
  Map<String, String> variables(int ordinal) {
    Map<String, String> variables = new HashMap<>();
    variables.put("NEURON_RT_STOCHASTIC_ROUNDING_EN", "0");
    if (!saysCores()) {
      variables.put(VISIBLE_CORES, Integer.toString(ordinal));
    }
    variables.keySet().removeAll(environment.keySet());
    return variables;
  }
}
