package dev.lockstep.job;

import dev.lockstep.job.RankVariables.Ranks;
import java.util.List;
import java.util.Optional;
import java.util.Set;

/// The launchers whose variables Lockstep understands, in the order in which they are looked for:
/// what started this very process comes before what started its surroundings (`torchrun` within
/// Slurm, `mpirun` within Slurm).
enum LaunchedBy {
  /// `lockstep run`, torchrun and whoever sets the same variables.
  TORCHRUN,
  OPEN_MPI,
  /// MPICH, Intel MPI and others that start by PMI.
  PMI,
  SLURM,
  /// Kubernetes, with or without Kubeflow: one rank per pod.
  KUBERNETES;

  // An interactive shell within an allocation has a step's variables but is no rank of it.
  private static final Set<String> SHELLS = Set.of("bash", "interactive");

  /// A launcher and what it says.
  record Found(LaunchedBy launcher, Ranks ranks) {}

  /// Returns the launcher of this process, or empty if there is none.
  static Optional<Found> find(Variables variables) {
    for (LaunchedBy launcher : values()) {
      if (launcher.isThere(variables)) {
        Ranks ranks = launcher.namesIn(variables).read(variables);
        checkAgreement(launcher, ranks, variables);
        return Optional.of(new Found(launcher, ranks));
      }
    }
    return Optional.empty();
  }

  private boolean isThere(Variables variables) {
    return switch (this) {
      case TORCHRUN ->
          variables.has("RANK")
              || (hasTorchrunsRest(variables)
                  && !OPEN_MPI.isThere(variables)
                  && !PMI.isThere(variables)
                  && !SLURM.isThere(variables)
                  && !KUBERNETES.isThere(variables));
      case OPEN_MPI ->
          variables.has("OMPI_COMM_WORLD_RANK") || variables.has("OMPI_COMM_WORLD_SIZE");
      case PMI -> variables.has("PMI_RANK") || variables.has("PMI_SIZE");
      case SLURM ->
          variables.has("SLURM_PROCID")
              && !SHELLS.contains(variables.text("SLURM_JOB_NAME").orElse(""));
      case KUBERNETES -> variables.has("JOB_COMPLETION_INDEX") || variables.has("PET_NODE_RANK");
    };
  }

  private static boolean hasTorchrunsRest(Variables variables) {
    return variables.has("WORLD_SIZE") || variables.has("LOCAL_RANK");
  }

  private RankVariables namesIn(Variables variables) {
    return switch (this) {
      case TORCHRUN ->
          new RankVariables(
              "RANK",
              "WORLD_SIZE",
              "LOCAL_RANK",
              "LOCAL_WORLD_SIZE",
              "GROUP_RANK",
              "GROUP_WORLD_SIZE");
      case OPEN_MPI ->
          new RankVariables(
              "OMPI_COMM_WORLD_RANK",
              "OMPI_COMM_WORLD_SIZE",
              "OMPI_COMM_WORLD_LOCAL_RANK",
              "OMPI_COMM_WORLD_LOCAL_SIZE",
              "",
              "");
      case PMI ->
          new RankVariables("PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID", "MPI_LOCALNRANKS", "", "");
      case SLURM ->
          new RankVariables(
              "SLURM_PROCID",
              variables.firstSet("SLURM_STEP_NUM_TASKS", "SLURM_NTASKS", "SLURM_NPROCS"),
              "SLURM_LOCALID",
              "",
              "SLURM_NODEID",
              variables.firstSet("SLURM_STEP_NUM_NODES", "SLURM_NNODES", "SLURM_JOB_NUM_NODES"));
      case KUBERNETES -> podNames(variables);
    };
  }

  private static RankVariables podNames(Variables variables) {
    if (!variables.has("PET_NNODES") && !variables.has("PET_NODE_RANK")) {
      return new RankVariables("JOB_COMPLETION_INDEX", "WORLD_SIZE", "", "", "", "");
    }
    String perNode = variables.text("PET_NPROC_PER_NODE").orElse("1");
    if (!Set.of("1", "auto", "cpu").contains(perNode)) {
      throw variables.wrong(
          "PET_NPROC_PER_NODE",
          "several ranks per pod need a launcher in the pod: PET_NPROC_PER_NODE=%s (start them with lockstep run, or set 1)"
              .formatted(perNode));
    }
    if (variables.text("PET_NNODES").orElse("").contains(":")) {
      throw variables.wrong(
          "PET_NNODES",
          "number of nodes must be fixed: PET_NNODES=%s (set one number)"
              .formatted(variables.text("PET_NNODES").orElse("")));
    }
    String rank = variables.firstSet("PET_NODE_RANK", "JOB_COMPLETION_INDEX");
    return new RankVariables(rank, "PET_NNODES", "", "", "", "");
  }

  /// Variables left over in a user's shell must not make every process rank 0: where another
  /// launcher speaks of a job of the same size it must say the same. torchrun numbers its ranks as
  /// they come, so within torchrun it need not.
  private static void checkAgreement(LaunchedBy found, Ranks ranks, Variables variables) {
    if (found != TORCHRUN || variables.has("TORCHELASTIC_RUN_ID")) {
      return;
    }
    for (LaunchedBy other : List.of(OPEN_MPI, PMI, SLURM)) {
      RankVariables names = other.namesIn(variables);
      boolean sameSize = variables.number(names.worldSize()) == ranks.worldSize();
      int rank = variables.number(names.rank());
      if (other.isThere(variables) && sameSize && rank >= 0 && rank != ranks.rank()) {
        throw variables.wrong(
            "RANK",
            "launchers contradict each other: RANK=%d, %s=%d (unset RANK and WORLD_SIZE, or %s)"
                .formatted(ranks.rank(), names.rank(), rank, names.rank()));
      }
    }
  }
}
