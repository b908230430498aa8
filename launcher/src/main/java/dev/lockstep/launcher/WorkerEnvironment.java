package dev.lockstep.launcher;

import dev.lockstep.job.JobVariables;
import java.nio.file.Path;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/// The variables that a rank is started with: those of torchrun's workers, and Lockstep's own.
///
/// @param options how the job is launched
/// @param runId what the job is called
/// @param storePort where the store listens
/// @param tokenFile the job's secret
/// @param folder the job's private folder on this node
record WorkerEnvironment(
    LaunchOptions options, String runId, int storePort, Path tokenFile, Path folder) {
  /// Width of the terminal that this rank's output goes to, if it is one.
  static final String TERMINAL = "LOCKSTEP_TERMINAL";

  // A rank that does not stop is ended by the launcher, which then knows that it had not saved.
  private static final Duration LAUNCHERS_LEAD = Duration.ofSeconds(2);

  private static final String ROLE = "default";

  // Where all ranks are on this node, NCCL's sockets need not be heard outside it, and its service
  // for status reports, which asks nobody who he is, need not listen.
  private static final Map<String, String> NCCL_ON_ONE_NODE =
      Map.of("NCCL_SOCKET_IFNAME", "lo", "NCCL_RAS_ENABLE", "0");

  /// Returns the variables of one rank.
  ///
  /// @param errorFile where it writes what made it fail
  Map<String, String> of(int localRank, Path errorFile) {
    int rank = rank(localRank);
    int worldSize = options.layout().worldSize();
    Map<String, String> variables = new HashMap<>();
    variables.put("RANK", Integer.toString(rank));
    variables.put("LOCAL_RANK", Integer.toString(localRank));
    variables.put("WORLD_SIZE", Integer.toString(worldSize));
    variables.put("LOCAL_WORLD_SIZE", Integer.toString(options.layout().ranksPerNode()));
    variables.put("GROUP_RANK", Integer.toString(options.rendezvous().nodeRank()));
    variables.put("GROUP_WORLD_SIZE", Integer.toString(options.layout().nodes()));
    variables.put("ROLE_RANK", Integer.toString(rank));
    variables.put("ROLE_NAME", ROLE);
    variables.put("ROLE_WORLD_SIZE", Integer.toString(worldSize));
    variables.put("MASTER_ADDR", options.rendezvous().host());
    variables.put("MASTER_PORT", Integer.toString(storePort));
    variables.put("TORCHELASTIC_RESTART_COUNT", "0");
    variables.put("TORCHELASTIC_MAX_RESTARTS", "0");
    variables.put("TORCHELASTIC_RUN_ID", runId);
    variables.put("TORCHELASTIC_USE_AGENT_STORE", "True");
    variables.put("TORCHELASTIC_ERROR_FILE", errorFile.toString());
    variables.put(JobVariables.STORE_PORT, Integer.toString(storePort));
    variables.put(JobVariables.USE_AGENT_STORE, "True");
    variables.put(JobVariables.TOKEN_FILE, tokenFile.toString());
    variables.put(JobVariables.JOB_DIRECTORY, folder.toString());
    variables.put(
        JobVariables.STOP_PATIENCE_MILLIS,
        Long.toString(options.processes().stopPatience().plus(LAUNCHERS_LEAD).toMillis()));
    if (rank == 0 && options.processes().terminalColumns().isPresent()) {
      variables.put(TERMINAL, Integer.toString(options.processes().terminalColumns().getAsInt()));
    }
    if (options.layout().nodes() == 1) {
      variables.putAll(NCCL_ON_ONE_NODE);
      variables.keySet().removeIf(this::isUsersChoice);
    }
    return variables;
  }

  /// Returns whether this is a variable of NCCL's that the user has set: his value stays.
  private boolean isUsersChoice(String variable) {
    return NCCL_ON_ONE_NODE.containsKey(variable) && options.environment().containsKey(variable);
  }

  /// Returns the job-wide number of a rank of this node.
  int rank(int localRank) {
    return options.rank(localRank);
  }

  /// Returns variables of another launcher around this one that would contradict ours.
  static List<String> withheld(Map<String, String> environment) {
    return environment.keySet().stream().filter(WorkerEnvironment::contradicts).toList();
  }

  private static boolean contradicts(String variable) {
    return variable.equals(TERMINAL)
        || variable.startsWith("SLURM_")
        || variable.startsWith("OMPI_")
        || variable.startsWith("PMI_")
        || variable.startsWith("PMIX_")
        || variable.startsWith("TORCHELASTIC_")
        || variable.equals("JOB_COMPLETION_INDEX");
  }
}
