package dev.lockstep.launcher;

import dev.lockstep.failure.ConfigurationException;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.OptionalInt;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/// The flags of `lockstep run` as the user wrote them; null where one was not given.
record RunOptions(
    @Nullable String ranksPerNode,
    @Nullable String nodes,
    @Nullable String nodeRank,
    @Nullable String endpoint,
    boolean standalone,
    String runId,
    String backend,
    String maxRestarts,
    @Nullable String stopPatience,
    String binding) {
  private static final int DEFAULT_PORT = 29400;
  private static final int MOST_PORT = 65_535;
  // Each is a process: more than the processors of any host.
  private static final int MOST_RANKS_PER_NODE = 1024;
  // As many as a job may have ranks.
  private static final int MOST_NODES = 1 << 20;
  // An address of colons needs brackets if a port follows.
  private static final Pattern ENDPOINT =
      Pattern.compile(
          "(?:\\[([^\\]]+)]|([^:\\[\\]]+|[^\\[\\]]*:[^\\[\\]]*:[^\\[\\]]*))(?::(\\d+))?");

  /// Returns what they ask for.
  ///
  /// @throws ConfigurationException if they are wrong or contradict each other
  LaunchOptions launch(
      List<String> jvmArguments,
      @Nullable Path logFolder,
      OptionalInt terminalColumns,
      Map<String, String> environment) {
    checkTorchrunsOwn();
    int nodeCount = nodeCount();
    RankLayout layout = new RankLayout(nodeCount, ranks());
    checkNodes(nodeCount);
    int node = nodeRank == null ? 0 : number("--node-rank", nodeRank, 0, MOST_NODES - 1);
    String host = Rendezvous.LOOPBACK;
    int port = 0;
    if (endpoint != null) {
      Matcher matcher = ENDPOINT.matcher(endpoint);
      if (!matcher.matches()) {
        throw wrong("--rdzv-endpoint", endpoint, "it must be an address, or address:port");
      }
      host = matcher.group(1) == null ? matcher.group(2) : matcher.group(1);
      String portText = matcher.group(3);
      port = portText == null ? DEFAULT_PORT : number("--rdzv-endpoint", portText, 0, MOST_PORT);
    }
    if (nodeCount > 1 && port == 0) {
      throw wrong(
          "--rdzv-endpoint", String.valueOf(endpoint), "port of several nodes is not fixed");
    }
    return new LaunchOptions(
        layout,
        new Rendezvous(node, host, port, runId),
        new RankProcesses(
            jvmArguments,
            logFolder,
            node == 0 ? terminalColumns : OptionalInt.empty(),
            StopPatience.of(stopPatience, environment),
            where()),
        environment);
  }

  private void checkTorchrunsOwn() {
    if (!List.of("c10d", "static").contains(backend)) {
      throw wrong("--rdzv-backend", backend, "the job's store is Lockstep's own (leave it out)");
    }
    if (!maxRestarts.equals("0")) {
      throw wrong(
          "--max-restarts",
          maxRestarts,
          "ranks are not restarted (leave it out, and start the job again with its --resume)");
    }
  }

  private void checkNodes(int nodeCount) {
    if (nodeCount == 1) {
      if (standalone && endpoint != null) {
        throw wrong("--rdzv-endpoint", endpoint, "it contradicts --standalone (give one of them)");
      }
      return;
    }
    if (standalone) {
      throw wrong("--nnodes", nodes, "several nodes contradict --standalone (give one of them)");
    }
    if (nodeRank == null) {
      throw wrong("--nnodes", nodes, "several nodes need --node-rank, this node's number from 0");
    }
    if (endpoint == null) {
      throw wrong(
          "--nnodes", nodes, "several nodes need --rdzv-endpoint, address and port of node 0");
    }
  }

  private Binding where() {
    return switch (binding) {
      case "cores" -> Binding.CORES;
      case "none" -> Binding.NONE;
      default -> throw wrong("--bind", binding, "it must be cores or none");
    };
  }

  private int ranks() {
    String value = ranksPerNode == null ? "1" : ranksPerNode;
    return switch (value) {
      case "auto", "cpu" -> Runtime.getRuntime().availableProcessors();
      case "gpu" ->
          throw wrong(
              "--nproc-per-node",
              value,
              "no device of that kind is installed (give a number, auto or cpu)");
      default -> number("--nproc-per-node", value, 1, MOST_RANKS_PER_NODE);
    };
  }

  private int nodeCount() {
    String value = nodes == null ? "1" : nodes;
    int colon = value.indexOf(':');
    if (colon < 0) {
      return number("--nnodes", value, 1, MOST_NODES);
    }
    int least = number("--nnodes", value.substring(0, colon), 1, MOST_NODES);
    int most = number("--nnodes", value.substring(colon + 1), 1, MOST_NODES);
    if (least != most) {
      throw wrong("--nnodes", value, "the number of nodes is fixed while a job runs (give one)");
    }
    return least;
  }

  private static int number(String option, String value, int least, int most) {
    int number = value.matches("\\d{1,9}") ? Integer.parseInt(value) : -1;
    if (number < least || number > most) {
      throw wrong(option, value, "it must be a whole number from " + least + " to " + most);
    }
    return number;
  }

  private static ConfigurationException wrong(
      String option, @Nullable String value, String reason) {
    return new ConfigurationException(
        option,
        String.valueOf(value),
        "option is wrong: %s=%s: %s".formatted(option, value, reason));
  }
}
