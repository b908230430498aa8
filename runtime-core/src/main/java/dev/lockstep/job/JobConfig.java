package dev.lockstep.job;

import dev.lockstep.failure.ConfigurationException;
import java.time.Duration;
import java.util.Map;
import java.util.Optional;

/// What a process is told about the job it joins. Everything that the environment can say, code can
/// say.
///
/// @param environment variables of whoever launched this process
/// @param joinTimeout how long [Job#join] waits for the other ranks
/// @param liveness how long a silent rank counts as alive; the store's host decides for the job
/// @param memoryBudgetBytes off-heap memory that one rank may take; [Long#MAX_VALUE] for no limit
/// @param leakDetection whether buffers that are forgotten are told, with where they were
///   allocated, as soon as the garbage collector finds them and when the job is left; costs a stack
///   walk for each
public record JobConfig(
    Map<String, String> environment,
    Duration joinTimeout,
    Duration liveness,
    long memoryBudgetBytes,
    boolean leakDetection) {
  static final Duration DEFAULT_JOIN_TIMEOUT = Duration.ofMinutes(2);
  static final Duration DEFAULT_LIVENESS = Duration.ofSeconds(2);

  // Below this a busy machine's scheduling alone would look like death.
  private static final Duration SHORTEST_LIVENESS = Duration.ofMillis(100);

  // Nothing waits longer, and times in nanoseconds stay far from their limit.
  private static final Duration LONGEST = Duration.ofDays(365);

  /// Copies the environment and checks the values.
  public JobConfig {
    environment = Map.copyOf(environment);
    if (!joinTimeout.isPositive()) {
      throw new ConfigurationException(
          JobVariables.JOIN_TIMEOUT_MILLIS,
          joinTimeout.toString(),
          "join timeout is not positive: joinTimeout=" + joinTimeout);
    }
    checkLength(JobVariables.JOIN_TIMEOUT_MILLIS, "join timeout", joinTimeout);
    checkLength(JobVariables.LIVENESS_MILLIS, "liveness", liveness);
    if (liveness.compareTo(SHORTEST_LIVENESS) < 0) {
      throw new ConfigurationException(
          JobVariables.LIVENESS_MILLIS,
          liveness.toString(),
          "liveness is too short: %s=%d, shortestMillis=%d"
              .formatted(
                  JobVariables.LIVENESS_MILLIS, liveness.toMillis(), SHORTEST_LIVENESS.toMillis()));
    }
    if (memoryBudgetBytes < 0) {
      throw new ConfigurationException(
          "memoryBudgetBytes",
          Long.toString(memoryBudgetBytes),
          "memory budget is negative: memoryBudgetBytes=" + memoryBudgetBytes);
    }
  }

  /// Makes a configuration without leak detection.
  public JobConfig(
      Map<String, String> environment,
      Duration joinTimeout,
      Duration liveness,
      long memoryBudgetBytes) {
    this(environment, joinTimeout, liveness, memoryBudgetBytes, false);
  }

  private static void checkLength(String key, String what, Duration time) {
    if (time.compareTo(LONGEST) > 0) {
      throw new ConfigurationException(
          key,
          time.toString(),
          "%s is too long: %s=%s, longest=%s".formatted(what, key, time, LONGEST));
    }
  }

  /// Returns the configuration that this process's environment asks for.
  ///
  /// @throws ConfigurationException if a variable is no positive number, or a time that is too long
  public static JobConfig fromEnvironment() {
    return of(System.getenv());
  }

  /// Returns the configuration that these variables ask for, as [#fromEnvironment] does.
  public static JobConfig of(Map<String, String> environment) {
    return new JobConfig(
        environment,
        millis(environment, JobVariables.JOIN_TIMEOUT_MILLIS, DEFAULT_JOIN_TIMEOUT),
        millis(environment, JobVariables.LIVENESS_MILLIS, DEFAULT_LIVENESS),
        Long.MAX_VALUE);
  }

  /// Returns who has made this process a rank, for example `TORCHRUN` or `SLURM`; empty if nobody
  /// has.
  ///
  /// @throws ConfigurationException if the variables are contradictory or incomplete
  public Optional<String> launcher() {
    String name = LaunchEnvironment.of(environment).launcher();
    return name.isEmpty() ? Optional.empty() : Optional.of(name);
  }

  private static Duration millis(Map<String, String> environment, String key, Duration otherwise) {
    String text = environment.get(key);
    if (text == null || text.isBlank()) {
      return otherwise;
    }
    try {
      return Duration.ofMillis(Long.parseLong(text.strip()));
    } catch (NumberFormatException e) {
      throw new ConfigurationException(
          key, text, "variable is not a number of milliseconds: %s=%s".formatted(key, text), e);
    }
  }

  /// Returns this configuration with other variables.
  public JobConfig withEnvironment(Map<String, String> variables) {
    return new JobConfig(variables, joinTimeout, liveness, memoryBudgetBytes, leakDetection);
  }

  /// Returns this configuration with another wait at the start.
  public JobConfig withJoinTimeout(Duration timeout) {
    return new JobConfig(environment, timeout, liveness, memoryBudgetBytes, leakDetection);
  }

  /// Returns this configuration with another liveness time.
  public JobConfig withLiveness(Duration time) {
    return new JobConfig(environment, joinTimeout, time, memoryBudgetBytes, leakDetection);
  }

  /// Returns this configuration with another memory budget.
  public JobConfig withMemoryBudgetBytes(long bytes) {
    return new JobConfig(environment, joinTimeout, liveness, bytes, leakDetection);
  }

  /// Returns this configuration with or without leak detection.
  public JobConfig withLeakDetection(boolean wanted) {
    return new JobConfig(environment, joinTimeout, liveness, memoryBudgetBytes, wanted);
  }
}
