package dev.lockstep.system;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.lockstep.transport.PacketRelay.Weather;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.locks.LockSupport;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/// Two nodes: network namespaces that one cable joins, each with the host's shared memory. One pair
/// at a time on a host, whichever process makes it; needs root.
final class TwoNodes implements AutoCloseable {
  static final int NODES = 2;

  private static final String PREFIX = "lockstep-test-";
  private static final long PID = ProcessHandle.current().pid();
  private static final String[] NAMES = {PREFIX + PID + "-0", PREFIX + PID + "-1"};
  private static final Pattern NAME = Pattern.compile(PREFIX + "(\\d+)-\\d");
  private static final Duration PATIENCE = Duration.ofMinutes(1);
  private static final String[] ADDRESSES = {"10.99.7.1", "10.99.7.2"};

  private final FileChannel turn;
  private final @Nullable BadCable cable;

  private TwoNodes(FileChannel turn, @Nullable BadCable cable) {
    this.turn = turn;
    this.cable = cable;
  }

  /// Lays the cable; skips the test where that cannot be done.
  static TwoNodes joined() {
    FileChannel turn = addNodes();
    boolean can =
        ip("link", "add", "ls0", "netns", NAMES[0], "type", "veth", "peer", "name", "ls1");
    if (!can) {
      remove(turn);
    }
    assumeTrue(can, "judge ip: nodes cannot be joined here (needs root)");
    assertThat(ip("link", "set", "ls1", "netns", NAMES[1])).isTrue();
    return new TwoNodes(turn, null).configured();
  }

  /// Lays a cable on which packets get lost, come twice, late and out of order; skips the test
  /// where that cannot be done.
  static TwoNodes joined(Weather weather) {
    return joined(List.of(weather, weather));
  }

  /// Lays a cable on which that happens on the way to the second node alone.
  static TwoNodes joinedOneWay(Weather weather) {
    return joined(List.of(new Weather(0, 0, 0, 0), weather));
  }

  private static TwoNodes joined(List<Weather> weathers) {
    FileChannel turn = addNodes();
    try {
      BadCable cable = new BadCable(List.of("ls0", "ls1"), weathers, 7);
      for (int node = 0; node < NODES; node++) {
        assertThat(ip("link", "set", "ls" + node, "netns", NAMES[node])).isTrue();
      }
      return new TwoNodes(turn, cable).configured();
    } catch (IOException cannot) {
      remove(turn);
      assumeTrue(false, "judge tun: " + cannot.getMessage() + " (needs root and /dev/net/tun)");
      throw new AssertionError(cannot);
    }
  }

  private static FileChannel addNodes() {
    FileChannel turn = await();
    removeStale();
    boolean can = ip("netns", "add", NAMES[0]) && ip("netns", "add", NAMES[1]);
    if (!can) {
      remove(turn);
    }
    assumeTrue(can, "judge ip: network namespaces cannot be made here (needs root and iproute2)");
    return turn;
  }

  /// Waits for the turn of this process: the cable's ends have the same names in each.
  private static FileChannel await() {
    Path file = Path.of(System.getProperty("java.io.tmpdir"), PREFIX + "nodes.lock");
    try {
      FileChannel turn =
          FileChannel.open(file, StandardOpenOption.CREATE, StandardOpenOption.WRITE);
      long deadline = System.nanoTime() + PATIENCE.toNanos();
      while (turn.tryLock() == null) {
        if (System.nanoTime() - deadline > 0) {
          throw new AssertionError(
              "another process keeps its nodes: waitedSeconds=" + PATIENCE.toSeconds());
        }
        LockSupport.parkNanos(10_000_000);
      }
      return turn;
    } catch (IOException cannot) {
      throw new UncheckedIOException(cannot);
    }
  }

  /// Removes what this process or one that has been killed left.
  private static void removeStale() {
    for (String line : output("ip", "netns", "list").orElse("").lines().toList()) {
      Matcher name = NAME.matcher(line);
      if (name.lookingAt()) {
        long owner = Long.parseLong(name.group(1));
        if (owner == PID || ProcessHandle.of(owner).isEmpty()) {
          ip("netns", "del", name.group());
        }
      }
    }
  }

  private TwoNodes configured() {
    for (int node = 0; node < NODES; node++) {
      String[] commands = {
        "addr add " + ADDRESSES[node] + "/24 dev ls" + node,
        "link set lo up",
        "link set ls" + node + " up"
      };
      for (String command : commands) {
        assertThat(configure(node, command)).as(command).isTrue();
      }
    }
    return this;
  }

  /// Returns how many packets were lost, doubled or delayed on a bad cable.
  long interferences() {
    return cable == null ? 0 : cable.interferences();
  }

  /// Returns the address by which the other node reaches one.
  static String address(int node) {
    return ADDRESSES[node];
  }

  /// Returns the way onto a node for threads of this process.
  static NodeEntry entry(int node) throws IOException {
    return new NodeEntry("/var/run/netns/" + NAMES[node]);
  }

  /// Returns a program that runs on a node.
  static List<String> on(int node, List<String> program) {
    List<String> there = new ArrayList<>(List.of("ip", "netns", "exec", NAMES[node]));
    there.addAll(program);
    return there;
  }

  /// Configures a node's network by words of `ip`.
  ///
  /// @return whether it was done
  boolean configure(int node, String command) {
    List<String> arguments = new ArrayList<>(List.of("-n", NAMES[node]));
    arguments.addAll(Arrays.asList(command.split(" ")));
    return ip(arguments.toArray(String[]::new));
  }

  /// Loses one packet in so many on its way into nodes until closed; skips the test where that
  /// cannot be done.
  Losses lose(int oneIn, List<Integer> nodes) {
    Losses losses = new Losses(nodes);
    for (int node : nodes) {
      String[] rules = {
        "add table ip lossy",
        "add chain ip lossy in { type filter hook input priority 0; }",
        "add rule ip lossy in iif ls%d numgen random mod %d < 1 counter drop".formatted(node, oneIn)
      };
      for (String rule : rules) {
        if (nft(node, rule).isEmpty()) {
          losses.close();
          assumeTrue(false, "judge nft: packets cannot be dropped here (apt-get install nftables)");
        }
      }
    }
    return losses;
  }

  /// Nodes that lose packets.
  record Losses(List<Integer> nodes) implements AutoCloseable {
    /// Requires that each of the nodes has lost one at least.
    void requireSome() {
      for (int node : nodes) {
        assertThat(nft(node, "list chain ip lossy in"))
            .as("packets lost at node %d", node)
            .hasValueSatisfying(rules -> assertThat(rules).containsPattern("packets [1-9]"));
      }
    }

    @Override
    public void close() {
      for (int node : nodes) {
        var _ = nft(node, "delete table ip lossy");
      }
    }
  }

  @Override
  public void close() {
    if (cable != null) {
      cable.close();
    }
    remove(turn);
  }

  private static void remove(FileChannel turn) {
    for (String node : NAMES) {
      ip("netns", "del", node);
    }
    try {
      turn.close();
    } catch (IOException cannot) {
      throw new UncheckedIOException(cannot);
    }
  }

  private static boolean ip(String... arguments) {
    return output("ip", arguments).isPresent();
  }

  /// Changes or shows how a node filters packets.
  ///
  /// @return what was shown; empty if it cannot be done here
  private static Optional<String> nft(int node, String command) {
    return output("ip", "netns", "exec", NAMES[node], "nft", command);
  }

  private static Optional<String> output(String program, String... arguments) {
    List<String> command = new ArrayList<>(List.of(program));
    command.addAll(Arrays.asList(arguments));
    try {
      Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
      byte[] words = process.getInputStream().readAllBytes();
      return process.onExit().join().exitValue() == 0
          ? Optional.of(new String(words, StandardCharsets.UTF_8))
          : Optional.empty();
    } catch (IOException _) {
      return Optional.empty();
    }
  }
}
