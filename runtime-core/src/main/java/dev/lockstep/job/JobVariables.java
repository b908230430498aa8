package dev.lockstep.job;

/// Environment variables of Lockstep's own, beside those of the launchers it understands.
public final class JobVariables {
  /// Port of the job's store, on `MASTER_ADDR`.
  public static final String STORE_PORT = "LOCKSTEP_STORE_PORT";

  /// `True` where the launcher's agent of node 0 hosts the store, as `lockstep run`'s does;
  /// otherwise rank 0 does.
  public static final String USE_AGENT_STORE = "LOCKSTEP_USE_AGENT_STORE";

  /// File (mode 0600) that holds the secret every rank of the job must prove to know.
  public static final String TOKEN_FILE = "LOCKSTEP_JOB_TOKEN_FILE";

  /// The job's private folder on this node, made and removed by the launcher's agent.
  public static final String JOB_DIRECTORY = "LOCKSTEP_JOB_DIR";

  /// How long a silent rank counts as alive, in milliseconds.
  public static final String LIVENESS_MILLIS = "LOCKSTEP_LIVENESS_MS";

  /// How long ranks wait for each other when they join, in milliseconds.
  public static final String JOIN_TIMEOUT_MILLIS = "LOCKSTEP_JOIN_TIMEOUT_MS";

  /// How long work that a launcher asks to stop may take to save, in milliseconds.
  public static final String STOP_PATIENCE_MILLIS = "LOCKSTEP_STOP_PATIENCE_MS";

  /// Address by which other nodes reach this one, where it is not to be found out.
  public static final String NODE_ADDRESS = "LOCKSTEP_NODE_ADDRESS";

  private JobVariables() {}
}
