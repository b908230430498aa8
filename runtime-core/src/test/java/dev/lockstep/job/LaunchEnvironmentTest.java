package dev.lockstep.job;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lockstep.failure.ConfigurationException;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class LaunchEnvironmentTest {
  private static final Map<String, String> TORCHRUN =
      Map.ofEntries(
          Map.entry("RANK", "5"),
          Map.entry("WORLD_SIZE", "8"),
          Map.entry("LOCAL_RANK", "1"),
          Map.entry("LOCAL_WORLD_SIZE", "4"),
          Map.entry("GROUP_RANK", "1"),
          Map.entry("GROUP_WORLD_SIZE", "2"),
          Map.entry("MASTER_ADDR", "node-a"),
          Map.entry("MASTER_PORT", "29500"),
          Map.entry("TORCHELASTIC_RUN_ID", "run-7"));

  private static final Map<String, String> SLURM =
      Map.ofEntries(
          Map.entry("SLURM_PROCID", "3"),
          Map.entry("SLURM_NTASKS", "4"),
          Map.entry("SLURM_LOCALID", "1"),
          Map.entry("SLURM_NODEID", "1"),
          Map.entry("SLURM_NNODES", "2"),
          Map.entry("SLURM_JOB_ID", "123456"),
          Map.entry("SLURM_STEP_ID", "0"),
          Map.entry("SLURM_STEP_NODELIST", "gpu[007-009]"),
          Map.entry("SLURM_JOB_NAME", "train"));

  private static final Map<String, String> OPEN_MPI =
      Map.of(
          "OMPI_COMM_WORLD_RANK", "1",
          "OMPI_COMM_WORLD_SIZE", "2",
          "OMPI_COMM_WORLD_LOCAL_RANK", "0",
          "OMPI_COMM_WORLD_LOCAL_SIZE", "1",
          "OMPI_MCA_ess_base_jobid", "1531576320",
          "OMPI_MCA_orte_hnp_uri", "1531576320.0;tcp://10.96.0.1,172.17.0.1:34911");

  /// Returns the variables with changes: `KEY=value` sets, `KEY=` removes.
  private static Map<String, String> with(Map<String, String> variables, String... changes) {
    Map<String, String> changed = new HashMap<>(variables);
    for (String change : changes) {
      String[] pair = change.split("=", 2);
      if (pair[1].isEmpty()) {
        changed.remove(pair[0]);
      } else {
        changed.put(pair[0], pair[1]);
      }
    }
    return changed;
  }

  private static void refused(Map<String, String> variables, String... named) {
    assertThatThrownBy(() -> LaunchEnvironment.of(variables))
        .isInstanceOf(ConfigurationException.class)
        .message()
        .contains(named);
  }

  @Test
  void noLauncherIsOneRank() {
    LaunchEnvironment launch = LaunchEnvironment.of(Map.of("PATH", "/bin", "SLURM_NTASKS", "4"));
    assertThat(launch.worldSize()).isEqualTo(1);
    assertThat(launch.rank()).isZero();
    assertThat(launch.storePort()).isEqualTo(-1);
  }

  @Test
  void readsTorchrun() {
    assertThat(LaunchEnvironment.of(TORCHRUN))
        .isEqualTo(
            new LaunchEnvironment(
                "TORCHRUN", 5, 8, 1, 4, 1, 2, true, "node-a", 29500, false, "run-7"));
  }

  @ParameterizedTest(name = "{0} {1}: {2}")
  @CsvSource({"False, , 29500", "True, , 29501", "True, 4000, 4000", "False, 4000, 4000"})
  void avoidsThePortOfTorchrunsAgent(String agentStore, String storePort, int expected) {
    Map<String, String> variables = with(TORCHRUN, "TORCHELASTIC_USE_AGENT_STORE=" + agentStore);
    if (storePort != null) {
      variables.put(JobVariables.STORE_PORT, storePort);
    }
    LaunchEnvironment launch = LaunchEnvironment.of(variables);
    assertThat(launch.storePort()).isEqualTo(expected);
    assertThat(launch.agentHostsStore()).isFalse();
  }

  @Test
  void lockstepsAgentHostsTheStore() {
    LaunchEnvironment launch =
        LaunchEnvironment.of(
            with(TORCHRUN, "LOCKSTEP_STORE_PORT=4000", "LOCKSTEP_USE_AGENT_STORE=True"));
    assertThat(launch.agentHostsStore()).isTrue();
    assertThat(launch.storeHost()).isEqualTo("node-a");
    Map<String, String> alone =
        Map.of(
            "RANK", "0",
            "WORLD_SIZE", "1",
            "MASTER_ADDR", "127.0.0.1",
            "LOCKSTEP_STORE_PORT", "4000",
            "LOCKSTEP_USE_AGENT_STORE", "True");
    assertThat(LaunchEnvironment.of(alone).storePort()).isEqualTo(4000);
  }

  @Test
  void onOneNodeTheStoreIsOnLoopback() {
    LaunchEnvironment launch =
        LaunchEnvironment.of(
            with(
                TORCHRUN,
                "LOCAL_WORLD_SIZE=8",
                "LOCAL_RANK=5",
                "GROUP_WORLD_SIZE=1",
                "GROUP_RANK=0"));
    assertThat(launch.spansNodes()).isFalse();
    assertThat(launch.storeHost()).isEqualTo("127.0.0.1");
    Map<String, String> plain = Map.of("RANK", "0", "WORLD_SIZE", "2", "MASTER_PORT", "29500");
    assertThat(LaunchEnvironment.of(with(plain, "MASTER_ADDR=localhost")).spansNodes()).isFalse();
    assertThat(LaunchEnvironment.of(with(plain, "MASTER_ADDR=node-a")).spansNodes()).isTrue();
    refused(plain, "MASTER_ADDR");
  }

  @Test
  void refusesPartsOfTorchrunsVariables() {
    refused(Map.of("RANK", "0"), "WORLD_SIZE is not set", "RANK=0");
    refused(Map.of("WORLD_SIZE", "2"), "RANK is not set", "WORLD_SIZE=2");
    refused(Map.of("LOCAL_RANK", "2"), "RANK is not set");
    refused(with(TORCHRUN, "MASTER_ADDR="), "MASTER_ADDR");
    refused(with(TORCHRUN, "MASTER_PORT="), "MASTER_PORT");
  }

  @ParameterizedTest
  @CsvSource({
    "RANK=8, WORLD_SIZE=8",
    "RANK=-1, RANK=-1",
    "RANK=one, RANK=one",
    "LOCAL_RANK=4, LOCAL_WORLD_SIZE=4",
    "GROUP_RANK=2, GROUP_WORLD_SIZE=2",
    "LOCAL_WORLD_SIZE=9, WORLD_SIZE=8",
    "GROUP_WORLD_SIZE=9, WORLD_SIZE=8",
    "LOCAL_WORLD_SIZE=8, GROUP_WORLD_SIZE=2",
    "MASTER_PORT=65536, MASTER_PORT=65536",
    "MASTER_PORT=x, MASTER_PORT=x",
    "LOCKSTEP_STORE_PORT=0, LOCKSTEP_STORE_PORT=0"
  })
  void refusesContradictions(String change, String named) {
    refused(with(TORCHRUN, change), change.split("=", 2)[0], named);
  }

  @Test
  void leftOverRanksDoNotOverruleTheLauncher() {
    Map<String, String> both =
        with(OPEN_MPI, "RANK=0", "WORLD_SIZE=2", "MASTER_ADDR=a", "MASTER_PORT=1");
    refused(both, "RANK=0", "OMPI_COMM_WORLD_RANK=1");
    // torchrun started once per Slurm task numbers its ranks itself.
    LaunchEnvironment launch = LaunchEnvironment.of(with(SLURM, toArray(TORCHRUN)));
    assertThat(launch.rank()).isEqualTo(5);
  }

  private static String[] toArray(Map<String, String> variables) {
    return variables.entrySet().stream()
        .map(entry -> entry.getKey() + "=" + entry.getValue())
        .toArray(String[]::new);
  }

  @Test
  void readsSlurm() {
    // 123456 % 4096 = 576
    assertThat(LaunchEnvironment.of(SLURM))
        .isEqualTo(
            new LaunchEnvironment(
                "SLURM", 3, 4, 1, -1, 1, 2, true, "gpu007", 61440 + 576, false, "123456.0"));
    LaunchEnvironment given =
        LaunchEnvironment.of(with(SLURM, "MASTER_ADDR=head", "MASTER_PORT=4242"));
    assertThat(given.storeHost()).isEqualTo("head");
    assertThat(given.storePort()).isEqualTo(4242);
    LaunchEnvironment oneNode =
        LaunchEnvironment.of(with(SLURM, "SLURM_NNODES=1", "SLURM_NODEID=0"));
    assertThat(oneNode.storeHost()).isEqualTo("127.0.0.1");
    LaunchEnvironment step =
        LaunchEnvironment.of(
            with(SLURM, "SLURM_STEP_NUM_TASKS=8", "SLURM_STEP_NUM_NODES=4", "SLURM_STEP_ID=2"));
    assertThat(step.worldSize()).isEqualTo(8);
    assertThat(step.nodes()).isEqualTo(4);
    assertThat(step.jobName()).isEqualTo("123456.2");
    assertThat(step.storePort()).isEqualTo(61440 + (123456 + 2 * 2531) % 4096);
  }

  /// Their ranks would take each other for their own where port and name are the same.
  @Test
  void stepsOfSlurmsJobsSideBySideMeetApart() {
    Set<Integer> ports = new HashSet<>();
    Set<String> names = new HashSet<>();
    for (int job = 100; job < 110; job++) {
      for (int step = 0; step < 5; step++) {
        LaunchEnvironment launch =
            LaunchEnvironment.of(with(SLURM, "SLURM_JOB_ID=" + job, "SLURM_STEP_ID=" + step));
        ports.add(launch.storePort());
        names.add(launch.jobName());
      }
    }
    assertThat(ports).hasSize(50).allMatch(port -> port >= 61440 && port <= 65535);
    assertThat(names).hasSize(50);
  }

  /// An mpirun of Open MPI 4 has a number in the upper half alone.
  @Test
  void jobsOfTwoMpirunsMeetApart() {
    LaunchEnvironment other =
        LaunchEnvironment.of(with(OPEN_MPI, "OMPI_MCA_ess_base_jobid=" + (1531576320 + (7 << 16))));
    assertThat(other.storePort()).isNotEqualTo(LaunchEnvironment.of(OPEN_MPI).storePort());
  }

  @Test
  void refusesPartsOfSlurmsVariables() {
    refused(with(SLURM, "SLURM_NTASKS="), "SLURM_STEP_NUM_TASKS is not set", "SLURM_PROCID=3");
    refused(with(SLURM, "SLURM_PROCID=4"), "SLURM_PROCID=4", "SLURM_NTASKS=4");
    refused(with(SLURM, "SLURM_STEP_NODELIST="), "MASTER_ADDR");
    refused(with(SLURM, "SLURM_JOB_ID="), "MASTER_PORT");
    refused(with(SLURM, "SLURM_STEP_NODELIST=gpu[1-"), "SLURM_STEP_NODELIST=gpu[1-");
  }

  @Test
  void aShellWithinAnAllocationIsNoRank() {
    assertThat(LaunchEnvironment.of(with(SLURM, "SLURM_JOB_NAME=bash")).worldSize()).isEqualTo(1);
  }

  @ParameterizedTest(name = "{0}")
  @CsvSource(
      delimiter = '|',
      value = {
        "n1|n1",
        "n1,n2|n1 n2",
        "gpu[001-003,007]|gpu001 gpu002 gpu003 gpu007",
        "gpu[9-11]-ib,login|gpu9 gpu10 gpu11-ib login",
        "a[1-2]b[3-4]|a1b3 a1b4 a2b3 a2b4",
        "a[098-101]|a098 a099 a100 a101"
      })
  void expandsSlurmsNodes(String list, String nodes) {
    String expected = nodes.replace("gpu9 gpu10 gpu11-ib", "gpu9-ib gpu10-ib gpu11-ib");
    assertThat(SlurmNodes.expand("L", list)).containsExactly(expected.split(" "));
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "a[",
        "a]",
        "a[1-]",
        "a[x]",
        "a[3-1]",
        "a[]",
        ",",
        "a,,b",
        "a[1[2]]",
        "a[0-9999999]"
      })
  void refusesWhatIsNoListOfNodes(String list) {
    assertThatThrownBy(() -> SlurmNodes.expand("LIST", list))
        .isInstanceOf(ConfigurationException.class)
        .hasMessageContaining("LIST=" + list);
  }

  @Test
  void readsOpenMpi() {
    // 1531576320 = 23370 << 16, and 23370 % 4096 = 2890
    assertThat(LaunchEnvironment.of(OPEN_MPI))
        .isEqualTo(
            new LaunchEnvironment(
                "OPEN_MPI",
                1,
                2,
                0,
                1,
                -1,
                -1,
                true,
                "10.96.0.1",
                61440 + 2890,
                false,
                "1531576320"));
    LaunchEnvironment six =
        LaunchEnvironment.of(
            with(OPEN_MPI, "OMPI_MCA_orte_hnp_uri=7.0;tcp6://[fe80::1,fe80::2]:34911"));
    assertThat(six.storeHost()).isEqualTo("fe80::1");
    LaunchEnvironment oneNode =
        LaunchEnvironment.of(
            with(OPEN_MPI, "OMPI_COMM_WORLD_LOCAL_SIZE=2", "OMPI_COMM_WORLD_LOCAL_RANK=1"));
    assertThat(oneNode.spansNodes()).isFalse();
    assertThat(oneNode.storeHost()).isEqualTo("127.0.0.1");
    refused(with(OPEN_MPI, "OMPI_COMM_WORLD_SIZE="), "OMPI_COMM_WORLD_SIZE is not set");
    refused(
        with(OPEN_MPI, "OMPI_COMM_WORLD_RANK="), "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE=2");
  }

  private static Map<String, String> openMpi5(String namespace) {
    return with(
        OPEN_MPI,
        "OMPI_MCA_ess_base_jobid=",
        "OMPI_MCA_orte_hnp_uri=",
        "OMPI_COMM_WORLD_LOCAL_SIZE=2",
        "PMIX_NAMESPACE=" + namespace);
  }

  @Test
  void ranksOfOneOpenMpi5JobComeToOnePort() {
    Map<String, String> five = openMpi5("prterun-box-4711@1");
    LaunchEnvironment launch = LaunchEnvironment.of(five);
    int port = launch.storePort();
    assertThat(port).isBetween(61440, 65535);
    assertThat(launch.jobName()).isEqualTo("prterun-box-4711@1");
    assertThat(LaunchEnvironment.of(with(five, "OMPI_COMM_WORLD_RANK=0")).storePort())
        .isEqualTo(port);
  }

  /// The two have one hash code.
  @Test
  void openMpi5JobsAtOnePortHaveNamesOfTheirOwn() {
    LaunchEnvironment one = LaunchEnvironment.of(openMpi5("prterun-Aa-4711@1"));
    LaunchEnvironment other = LaunchEnvironment.of(openMpi5("prterun-BB-4711@1"));
    assertThat(one.storePort()).isEqualTo(other.storePort());
    assertThat(one.jobName()).isNotEqualTo(other.jobName());
  }

  @Test
  void readsPmi() {
    Map<String, String> pmi =
        Map.of(
            "PMI_RANK", "1",
            "PMI_SIZE", "2",
            "MPI_LOCALRANKID", "1",
            "MPI_LOCALNRANKS", "2",
            "MASTER_PORT", "4000");
    assertThat(LaunchEnvironment.of(pmi))
        .isEqualTo(
            new LaunchEnvironment("PMI", 1, 2, 1, 2, -1, -1, false, "127.0.0.1", 4000, false, ""));
    refused(with(pmi, "MASTER_PORT="), "MASTER_PORT");
    refused(with(pmi, "PMI_SIZE="), "PMI_SIZE is not set", "PMI_RANK=1");
    refused(with(pmi, "MPI_LOCALNRANKS=1"), "MPI_LOCALRANKID=1", "MPI_LOCALNRANKS=1");
  }

  @Test
  void readsKubernetes() {
    Map<String, String> indexed =
        Map.of(
            "JOB_COMPLETION_INDEX", "2",
            "WORLD_SIZE", "3",
            "MASTER_ADDR", "train-0.train",
            "MASTER_PORT", "29500");
    assertThat(LaunchEnvironment.of(indexed))
        .isEqualTo(
            new LaunchEnvironment(
                "KUBERNETES", 2, 3, -1, -1, -1, -1, true, "train-0.train", 29500, false, ""));
    refused(with(indexed, "WORLD_SIZE="), "WORLD_SIZE is not set", "JOB_COMPLETION_INDEX=2");
    refused(with(indexed, "WORLD_SIZE=2"), "JOB_COMPLETION_INDEX=2", "WORLD_SIZE=2");
  }

  @Test
  void readsKubeflow() {
    Map<String, String> trainer =
        Map.of(
            "JOB_COMPLETION_INDEX", "1",
            "PET_NNODES", "2",
            "PET_NODE_RANK", "1",
            "PET_NPROC_PER_NODE", "1",
            "PET_MASTER_ADDR", "t-node-0-0.t",
            "PET_MASTER_PORT", "29400");
    assertThat(LaunchEnvironment.of(trainer))
        .isEqualTo(
            new LaunchEnvironment(
                "KUBERNETES", 1, 2, -1, -1, -1, -1, true, "t-node-0-0.t", 29400, false, ""));
    assertThat(LaunchEnvironment.of(with(trainer, "PET_NODE_RANK=")).rank()).isEqualTo(1);
    refused(with(trainer, "PET_NPROC_PER_NODE=4"), "PET_NPROC_PER_NODE=4", "lockstep run");
    refused(with(trainer, "PET_NNODES=1:4"), "PET_NNODES=1:4");
    refused(with(trainer, "PET_MASTER_ADDR="), "MASTER_ADDR");
  }

  @Test
  void aJobOfOneRankNeedsNoAddress() {
    for (Map<String, String> one :
        List.of(
            Map.of("RANK", "0", "WORLD_SIZE", "1"),
            Map.of("OMPI_COMM_WORLD_RANK", "0", "OMPI_COMM_WORLD_SIZE", "1"),
            Map.of("SLURM_PROCID", "0", "SLURM_NTASKS", "1"),
            Map.of("PMI_RANK", "0", "PMI_SIZE", "1"),
            Map.of("JOB_COMPLETION_INDEX", "0", "WORLD_SIZE", "1"))) {
      assertThat(LaunchEnvironment.of(one).storePort()).isEqualTo(-1);
    }
  }
}
