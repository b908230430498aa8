package dev.lockstep.device.neuron;

import dev.lockstep.device.DeviceRanks;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/// What the provider looks at of the machine and the process.
///
/// @param environment variables of the process
/// @param devices the folder of device files
record NeuronHost(Map<String, String> environment, Path devices) {
  private static final String VISIBLE_CORES = "NEURON_RT_VISIBLE_CORES";
  private static final String CORES = "NEURON_RT_NUM_CORES";
  private static final String ROOT = "NEURON_RT_ROOT_COMM_ID";
  private static final String TIMEOUT = "NEURON_RT_EXEC_TIMEOUT";

  /// Environment variable that leaves collectives to the host if it is `host`.
  static final String COLLECTIVES = "LOCKSTEP_NEURON_COLLECTIVES";

  private static final Pattern RANGE = Pattern.compile("\\s*(\\d{1,6})(?:-(\\d{1,6}))?\\s*");

  /// Copies the map.
  NeuronHost {
    environment = Map.copyOf(environment);
  }

  /// This process on this machine.
  static NeuronHost here() {
    return new NeuronHost(System.getenv(), Path.of("/dev"));
  }

  /// The device files of the chips that are here, `neuron0` and so on: of a container's chips the
  /// first may have another number.
  List<Path> chips() {
    try (Stream<Path> files = Files.list(devices)) {
      return files
          .filter(file -> file.getFileName().toString().matches("neuron\\d+"))
          .sorted()
          .toList();
    } catch (IOException | UncheckedIOException none) {
      return List.of();
    }
  }

  private boolean saysCores() {
    return environment.containsKey(VISIBLE_CORES) || environment.containsKey(CORES);
  }

  /// How many of the host's cores the process sees: all, or those that the user has set aside for
  /// it. 0 if what the user says names none.
  ///
  /// The runtime itself tells only after it was initialised, which takes the cores.
  int cores(int total) {
    String visible = environment.get(VISIBLE_CORES);
    if (visible != null) {
      return visible(visible);
    }
    String count = environment.getOrDefault(CORES, "0");
    if (!count.matches("\\d{1,6}")) {
      return 0;
    }
    return count.matches("0+") ? total : Integer.parseInt(count);
  }

  /// Counts `0`, `4-7` and `0,2,4-7`.
  private static int visible(String list) {
    int cores = 0;
    for (String part : list.split(",", -1)) {
      Matcher range = RANGE.matcher(part);
      if (!range.matches()) {
        return 0;
      }
      int first = Integer.parseInt(range.group(1));
      int last = range.group(2) == null ? first : Integer.parseInt(range.group(2));
      cores += Math.max(0, last - first + 1);
    }
    return cores;
  }

  /// What the user says of cores, for messages.
  String said() {
    return environment.containsKey(VISIBLE_CORES)
        ? VISIBLE_CORES + "=" + environment.get(VISIBLE_CORES)
        : CORES + "=" + environment.getOrDefault(CORES, "");
  }

  /// The core of device `ordinal` among those that the process sees: where the user did not say
  /// which, it sees one alone.
  int core(int ordinal) {
    return saysCores() ? ordinal : 0;
  }

  /// Whether programs keep collectives inside where ranks run them together.
  boolean keepsCollectives() {
    return keepsCollectives(environment);
  }

  static boolean keepsCollectives(Map<String, String> environment) {
    return !environment.getOrDefault(COLLECTIVES, "").equals("host");
  }

  /// What must be set before the runtime is initialised; what the user has set stays.
  ///
  /// A process takes one core, the device's: who opens it has shared out the host's devices among
  /// its ranks. Sums are rounded to nearest, not at random, or no run could be repeated. Ranks that
  /// run programs together find each other at their root, and an execution that takes longer than a
  /// collective may is given up.
  Map<String, String> variables(int ordinal, Optional<DeviceRanks> ranks) {
    Map<String, String> variables = new HashMap<>();
    if (keepsCollectives() && ranks.isPresent()) {
      variables.put(ROOT, ranks.get().root());
      long seconds = Math.max(1, ranks.get().timeout().toSeconds());
      variables.put(TIMEOUT, Long.toString(seconds));
    }
    variables.put("NEURON_RT_STOCHASTIC_ROUNDING_EN", "0");
    if (!saysCores()) {
      variables.put(VISIBLE_CORES, Integer.toString(ordinal));
    }
    variables.keySet().removeAll(environment.keySet());
    return variables;
  }
}
