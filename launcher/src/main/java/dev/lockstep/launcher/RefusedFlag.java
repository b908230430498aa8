package dev.lockstep.launcher;

import java.util.List;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Model.OptionSpec;
import picocli.CommandLine.ParameterException;

/// A flag of torchrun's that `lockstep run` does not have.
///
/// @param names its spellings
/// @param takesValue whether a value follows
/// @param remedy what to do instead
record RefusedFlag(List<String> names, boolean takesValue, String remedy) {
  static List<RefusedFlag> all() {
    return List.of(
        value("give the address in --rdzv-endpoint H:P", "--master-addr", "--master_addr"),
        value("give the port in --rdzv-endpoint H:P", "--master-port", "--master_port"),
        value("the store has nothing to set here, leave it out", "--rdzv-conf", "--rdzv_conf"),
        value(
            "ranks are watched without polling, leave it out",
            "--monitor-interval",
            "--monitor_interval"),
        value(
            "ranks are always processes of their own, leave it out",
            "--start-method",
            "--start_method"),
        value("all ranks have one role, leave it out", "--role"),
        switched("JOB is the name of a job, leave it out", "-m", "--module"),
        switched("JOB is the name of a job, leave it out", "--no-python", "--no_python"),
        switched("JOB is the name of a job, leave it out", "--run-path", "--run_path"),
        value("use --log-dir, which keeps and shows the output", "-r", "--redirects"),
        value("use --log-dir, which keeps and shows the output", "-t", "--tee"),
        value(
            "lines carry their rank, filter by it", "--local-ranks-filter", "--local_ranks_filter"),
        value(
            "node 0's address is in --rdzv-endpoint, leave it out", "--local-addr", "--local_addr"),
        value("use --log-dir", "--logs-specs", "--logs_specs"),
        value(
            "give --bind cores, or start the command under numactl",
            "--numa-binding",
            "--numa_binding"),
        value(
            "SIGTERM and SIGINT are passed on, leave it out",
            "--signals-to-handle",
            "--signals_to_handle"),
        value(
            "failures are in the error file, leave it out",
            "--event-log-handler",
            "--event_log_handler"));
  }

  private static RefusedFlag value(String remedy, String... names) {
    return new RefusedFlag(List.of(names), true, remedy);
  }

  private static RefusedFlag switched(String remedy, String... names) {
    return new RefusedFlag(List.of(names), false, remedy);
  }

  /// Returns the hidden option that refuses.
  OptionSpec option(CommandSpec command) {
    return OptionSpec.builder(names.toArray(String[]::new))
        .arity(takesValue ? "1" : "0")
        .type(takesValue ? String.class : boolean.class)
        .hidden(true)
        .setter(
            new picocli.CommandLine.Model.ISetter() {
              @Override
              @SuppressWarnings("TypeParameterUnusedInFormals") // picocli's signature
              public <T> T set(T value) {
                if (value == null || Boolean.FALSE.equals(value)) {
                  return value;
                }
                throw new ParameterException(
                    command.commandLine(),
                    "flag of torchrun that lockstep run does not have: %s (%s)"
                        .formatted(names.getFirst(), remedy));
              }
            })
        .build();
  }
}
