package dev.lockstep.job;

import java.net.InetAddress;
import java.util.Locale;
import java.util.Optional;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/// Where the variables say that the store is: `MASTER_ADDR` and `LOCKSTEP_STORE_PORT` or
/// `MASTER_PORT`; where a launcher gives none, host and port follow from the numbers it gives its
/// jobs, so that all ranks come to the same.
final class StoreAddress {
  // The upper end of the port range, above those that Linux hands out by itself.
  private static final int FIRST_PORT = 61440;
  private static final int PORTS = 4096;
  private static final int LAST_PORT = 65535;

  // Of the ports, the golden section: steps of a job, and of those with the next numbers, lie far
  // apart. Odd, so that no two of 4,096 successive steps share a port.
  private static final long STEP_STRIDE = 2531;

  // mpirun tells its ranks where it listens: "1531576320.0;tcp://10.96.0.1,172.17.0.1:34911".
  private static final Pattern MPIRUN_HOST = Pattern.compile("tcp://([^,:]+)|tcp6://\\[([^,\\]]+)");

  private static final Set<String> LOOPBACK_NAMES =
      Set.of("localhost", "localhost.localdomain", "ip6-localhost", "ip6-loopback");

  private StoreAddress() {}

  static String host(Variables variables) {
    Optional<String> given = variables.text(variables.firstSet("MASTER_ADDR", "PET_MASTER_ADDR"));
    return given
        .or(() -> nodeList(variables))
        .or(() -> mpirunHost(variables))
        .orElseThrow(() -> missing(variables, "MASTER_ADDR", "the host of rank 0"));
  }

  private static Optional<String> nodeList(Variables variables) {
    String key = variables.firstSet("SLURM_STEP_NODELIST", "SLURM_JOB_NODELIST", "SLURM_NODELIST");
    return variables.text(key).map(list -> SlurmNodes.first(key, list));
  }

  private static Optional<String> mpirunHost(Variables variables) {
    Optional<String> uri =
        variables.text(variables.firstSet("OMPI_MCA_orte_hnp_uri", "PMIX_SERVER_URI2"));
    return uri.map(MPIRUN_HOST::matcher).filter(Matcher::find).map(StoreAddress::firstGroup);
  }

  private static String firstGroup(Matcher match) {
    return match.group(1) == null ? match.group(2) : match.group(1);
  }

  static int port(Variables variables) {
    int own = variables.port(JobVariables.STORE_PORT);
    if (own > 0) {
      return own;
    }
    String key = variables.firstSet("MASTER_PORT", "PET_MASTER_PORT");
    int master = variables.port(key);
    if (master < 0) {
      LauncherJob job = launcherJob(variables);
      if (job == null) {
        throw missing(variables, "MASTER_PORT", "a free port on the host of rank 0");
      }
      return FIRST_PORT + (int) Math.floorMod(job.number(), (long) PORTS);
    }
    // torchrun's agent listens at MASTER_PORT itself.
    int port = variables.isTrue("TORCHELASTIC_USE_AGENT_STORE") ? master + 1 : master;
    if (port > LAST_PORT) {
      throw variables.wrong(
          key,
          "there is no port after torchrun's: %s=%d (set %s)"
              .formatted(key, master, JobVariables.STORE_PORT));
    }
    return port;
  }

  /// What all ranks of a job are told of it by their launcher.
  ///
  /// @param name no other job of this time has it
  /// @param number for the port: others of this time seldom have one that leads to the same
  private record LauncherJob(String name, long number) {}

  private static @Nullable LauncherJob launcherJob(Variables variables) {
    String slurm = variables.firstSet("SLURM_JOB_ID", "SLURM_JOBID");
    if (variables.has(slurm)) {
      long id = variables.bigNumber(slurm);
      String stepKey = variables.firstSet("SLURM_STEP_ID", "SLURM_STEPID");
      long step = Math.max(0, variables.bigNumber(stepKey));
      return new LauncherJob(id + "." + step, id + STEP_STRIDE * step);
    }
    if (variables.has("OMPI_MCA_ess_base_jobid")) {
      long id = variables.bigNumber("OMPI_MCA_ess_base_jobid");
      // The upper half tells mpiruns apart, the lower one what each of them has started.
      return new LauncherJob(Long.toString(id), id ^ id >>> 16);
    }
    String key = variables.firstSet("OMPI_MCA_orte_hnp_uri", "PMIX_NAMESPACE");
    return variables.text(key).map(text -> new LauncherJob(text, text.hashCode())).orElse(null);
  }

  /// Returns what the launcher calls the job, or empty.
  static String jobName(Variables variables) {
    if (variables.has("TORCHELASTIC_RUN_ID")) {
      return variables.text("TORCHELASTIC_RUN_ID").orElse("");
    }
    LauncherJob job = launcherJob(variables);
    return job == null ? "" : job.name();
  }

  /// Returns whether the text itself, whatever a name resolves to, says loopback.
  static boolean isLoopback(String host) {
    String name = host.toLowerCase(Locale.ROOT);
    if (name.indexOf(':') >= 0) {
      return isLoopbackAddress(name);
    }
    return LOOPBACK_NAMES.contains(name) || name.startsWith("127.");
  }

  private static boolean isLoopbackAddress(String ipv6) {
    boolean bracketed = ipv6.startsWith("[") && ipv6.endsWith("]");
    try {
      return InetAddress.ofLiteral(bracketed ? ipv6.substring(1, ipv6.length() - 1) : ipv6)
          .isLoopbackAddress();
    } catch (IllegalArgumentException _) {
      return false;
    }
  }

  private static RuntimeException missing(Variables variables, String key, String what) {
    return variables.wrong(
        key,
        "variable is missing: %s must be set for a job of several ranks (set MASTER_ADDR and MASTER_PORT to %s)"
            .formatted(key, what));
  }
}
