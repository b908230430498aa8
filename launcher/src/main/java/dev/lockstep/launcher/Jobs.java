package dev.lockstep.launcher;

import dev.lockstep.failure.ConfigurationException;
import java.util.Comparator;
import java.util.List;
import java.util.ServiceLoader;

/// The jobs that are installed.
record Jobs(List<JobProvider> all) {
  static Jobs installed() {
    return new Jobs(
        ServiceLoader.load(JobProvider.class).stream()
            .map(ServiceLoader.Provider::get)
            .sorted(Comparator.comparing(JobProvider::name))
            .toList());
  }

  List<JobProvider> listed() {
    return all.stream().filter(JobProvider::isListed).toList();
  }

  /// Returns the job of that name.
  ///
  /// @throws ConfigurationException if there is none
  JobProvider named(String name) {
    return all.stream()
        .filter(job -> job.name().equals(name))
        .findFirst()
        .orElseThrow(
            () ->
                new ConfigurationException(
                    "JOB", name, "unknown job: job=%s (%s)".formatted(name, choice())));
  }

  /// Returns in words what there is to choose from.
  String choice() {
    return listed().isEmpty()
        ? "no job is installed: add a module that provides one, such as lockstep-examples"
        : "jobs: " + String.join(", ", listed().stream().map(JobProvider::name).toList());
  }
}
