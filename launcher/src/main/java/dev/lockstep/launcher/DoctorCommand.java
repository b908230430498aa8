package dev.lockstep.launcher;

import dev.lockstep.launcher.doctor.Doctor;
import java.io.PrintStream;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/// `lockstep doctor`.
@Command(
    name = "doctor",
    description = "Says what this machine can do, what is missing and how to mend it.",
    footer = {"", "Exit code: 0 if training can work here, 1 if not."})
final class DoctorCommand implements Callable<Integer> {
  private final PrintStream out;

  @Option(
      names = {"-h", "--help"},
      usageHelp = true,
      description = "Shows this.")
  boolean help;

  DoctorCommand(PrintStream out) {
    this.out = out;
  }

  @Override
  public Integer call() {
    Jobs jobs = Jobs.installed();
    return new Doctor(jobs.listed().stream().map(JobProvider::name).toList()).report(out) ? 0 : 1;
  }
}
