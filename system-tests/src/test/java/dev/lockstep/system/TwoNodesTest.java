package dev.lockstep.system;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// Two launchers on two nodes: network namespaces that one cable joins, each with a folder of the
/// host's shared memory.
@Timeout(180)
class TwoNodesTest {
  private static final String[] NODES = {"lockstep-test-0", "lockstep-test-1"};
  private static final String[] ADDRESSES = {"10.99.7.1", "10.99.7.2"};
  private static final Duration LIVENESS = Duration.ofSeconds(2);

  // The ranks' word to their launchers and the launchers' two seconds to end everything.
  private static final Duration TO_END = LIVENESS.plusSeconds(3);

  @TempDir static Path folder;

  @BeforeAll
  static void layTheCable() throws Exception {
    remove();
    boolean can =
        ip("netns", "add", NODES[0])
            && ip("netns", "add", NODES[1])
            && ip("link", "add", "ls0", "netns", NODES[0], "type", "veth", "peer", "name", "ls1");
    if (!can) {
      remove();
    }
    assumeTrue(can, "judge ip: network namespaces cannot be made here (needs root and iproute2)");
    assertThat(ip("link", "set", "ls1", "netns", NODES[1])).isTrue();
    for (int node = 0; node < NODES.length; node++) {
      String[] commands = {
        "addr add " + ADDRESSES[node] + "/24 dev ls" + node,
        "link set lo up",
        "link set ls" + node + " up"
      };
      for (String command : commands) {
        assertThat(inNode(node, command)).as(command).isTrue();
      }
    }
  }

  @AfterAll
  static void remove() throws Exception {
    for (String node : NODES) {
      ip("netns", "del", node);
    }
  }

  private static boolean inNode(int node, String command) throws Exception {
    List<String> arguments = new ArrayList<>(List.of("-n", NODES[node]));
    arguments.addAll(Arrays.asList(command.split(" ")));
    return ip(arguments.toArray(String[]::new));
  }

  private static boolean ip(String... arguments) throws InterruptedException {
    return output("ip", arguments).isPresent();
  }

  /// Changes or shows how a node filters packets.
  ///
  /// @return what was shown; empty if it cannot be done here
  private static Optional<String> nft(int node, String command) throws InterruptedException {
    return output("ip", "netns", "exec", NODES[node], "nft", command);
  }

  private static Optional<String> output(String program, String... arguments)
      throws InterruptedException {
    List<String> command = new ArrayList<>(List.of(program));
    command.addAll(Arrays.asList(arguments));
    try {
      Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
      byte[] words = process.getInputStream().readAllBytes();
      return process.waitFor() == 0
          ? Optional.of(new String(words, StandardCharsets.UTF_8))
          : Optional.empty();
    } catch (IOException _) {
      return Optional.empty();
    }
  }

  private static Path token() throws IOException {
    Path token = folder.resolve("token");
    if (!Files.exists(token)) {
      Files.createFile(
          token,
          PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rw-------")));
      Files.writeString(token, "what both nodes of this job know");
    }
    return token;
  }

  private static Command launch(int node, int port, String... options) throws IOException {
    List<String> launch =
        List.of(
            "run",
            "--nproc-per-node=1",
            "--nnodes=2",
            "--node-rank=" + node,
            "--rdzv-endpoint=" + ADDRESSES[0] + ":" + port);
    List<String> program = new ArrayList<>(List.of("ip", "netns", "exec", NODES[node]));
    program.addAll(Command.lockstepProgram(false, TinyJob.with(launch, options)));
    return Command.start(Map.of("LOCKSTEP_JOB_TOKEN_FILE", token().toString()), program);
  }

  private static String[] options(TinyJob job, String run, String transport, int steps) {
    return job.gpt(
        run, "--steps=" + steps, "--save-every=20", "--threads=1", "--transport=" + transport);
  }

  @ParameterizedTest(name = "{0}")
  @Tag("long")
  @ValueSource(strings = {"aeron-udp", "ofi:tcp", "ofi:udp", "ofi:net"})
  void twoLaunchersFormOneJobOfTheSameBits(String transport) throws Exception {
    formOneJob(transport, "two-");
  }

  /// One packet in fifty is lost on its way into either node. Not over `ofi:udp`: where packets and
  /// acknowledgements are lost both ways at once, `ofi_rxd` of 1.17 may stand still for good.
  @ParameterizedTest(name = "{0}")
  @Tag("long")
  @ValueSource(strings = {"ofi:tcp", "aeron-udp"})
  void lostPacketsChangeNoBit(String transport) throws Exception {
    try {
      for (int node = 0; node < NODES.length; node++) {
        String[] rules = {
          "add table ip lossy",
          "add chain ip lossy in { type filter hook input priority 0; }",
          "add rule ip lossy in iif ls" + node + " numgen random mod 50 < 1 counter drop"
        };
        for (String rule : rules) {
          assumeTrue(
              nft(node, rule).isPresent(),
              "judge nft: packets cannot be dropped here (apt-get install nftables)");
        }
      }
      formOneJob(transport, "lossy-");
      for (int node = 0; node < NODES.length; node++) {
        assertThat(nft(node, "list chain ip lossy in"))
            .as("packets lost at node %d", node)
            .hasValueSatisfying(rules -> assertThat(rules).containsPattern("packets [1-9]"));
      }
    } finally {
      for (int node = 0; node < NODES.length; node++) {
        var _ = nft(node, "delete table ip lossy");
      }
    }
  }

  private static void formOneJob(String transport, String kind) throws Exception {
    Libfabric.require(transport);
    TinyJob job = new TinyJob(folder);
    String[] options = options(job, kind + transport, transport, 6);
    try (Command alone =
            Command.lockstep(
                TinyJob.with(
                    List.of("run"),
                    job.gpt(kind + "alone-" + transport, "--steps=6", "--save-every=20")));
        Command first = launch(0, 29411, options);
        Command second = launch(1, 29411, options)) {
      assertThat(first.done().printed("weights sha256"))
          .isEqualTo(alone.done().printed("weights sha256"));
      second.done();
      assertThat(first.printed("2 ranks")).contains("over " + transport);
    }
  }

  @Test
  void aPulledCableNamesTheLostRanksOnBothSides() throws Exception {
    Leftovers leftovers = Leftovers.beforehand();
    TinyJob job = new TinyJob(folder);
    String[] options = options(job, "pulled", "aeron-udp", 1_000_000);
    try (Command first = launch(0, 29412, options);
        Command second = launch(1, 29412, options)) {
      Path state = job.run("pulled").resolve("checkpoint/trainer_state.json");
      first.await("there is a checkpoint", () -> Files.exists(state));
      List<ProcessHandle> processes = new ArrayList<>(first.descendants());
      processes.addAll(second.descendants());
      assertThat(inNode(0, "link set ls0 down")).isTrue();

      assertThat(first.untilEnd()).isLessThan(TO_END);
      assertThat(second.untilEnd()).isLessThan(TO_END);
      assertThat(first.exitCode()).as(first.output()).isEqualTo(1);
      assertThat(second.exitCode()).as(second.output()).isEqualTo(1);
      assertThat(first.err())
          .anyMatch(line -> line.matches("lockstep: rank 1 of 2 failed: .*lostRanks=\\[1].*"));
      assertThat(second.err())
          .anyMatch(line -> line.matches("lockstep: .*RankLost.*lostRank=0.*lostRanks=\\[0].*"));
      leftovers.none(processes);
    } finally {
      inNode(0, "link set ls0 up");
    }
  }
}
