package dev.lockstep.collective.plan;

import dev.lockstep.collective.request.Topology;
import dev.lockstep.collective.schedule.Schedule;
import dev.lockstep.collective.simulate.Compute;
import dev.lockstep.collective.simulate.Fabric;
import dev.lockstep.collective.simulate.Level;
import dev.lockstep.collective.simulate.PeerRates;
import dev.lockstep.collective.simulate.Rates;
import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import java.util.zip.CRC32C;

/// What joins the ranks of a communicator, by constants from which schedules are timed: fitted on
/// the spot, or stated. Immutable.
///
/// @param key what it holds for, [#key]; empty if it was stated
/// @param fitted when it was fitted; [Instant#EPOCH] if it was stated
/// @param fabric the constants: one level that joins all ranks; where hosts run several ranks its
///   uplink is what these carry together
/// @param near links between ranks of one host, where those of `fabric` are between hosts: a level
///   that joins all ranks of a host
public record LinkTable(String key, Instant fitted, Fabric fabric, Optional<Level> near) {
  private static final String FORMAT = "lockstep-links 4";
  private static final int SHARED_SHORT_BYTES = Schedule.SHORT_BYTES;

  /// What the names of fields begin with that say how ranks of one host are joined.
  private static final String NEAR = "near.";

  /// Checks that there is one level.
  public LinkTable {
    if (fabric.levels().size() != 1) {
      throw new IllegalArgumentException(
          "links of a host have one level: fabric=%s, levels=%d"
              .formatted(fabric.name(), fabric.levels().size()));
    }
  }

  /// Makes the table of links that are all alike.
  public LinkTable(String key, Instant fitted, Fabric fabric) {
    this(key, fitted, fabric, Optional.empty());
  }

  /// Returns this table with other links within hosts.
  ///
  /// @param links of one host, one level; what ranks take for their steps is this table's
  public LinkTable withNear(Fabric links) {
    return new LinkTable(key, fitted, fabric, Optional.of(links.levels().getFirst()));
  }

  /// Returns what joins the ranks of a communicator. Where hosts run several ranks these are a
  /// level of their own even if all links are alike: rates hold for what a host's ranks touch
  /// together.
  ///
  /// @param isOneHost whether all of them are on one host
  public Fabric fabric(Topology topology, boolean isOneHost) {
    Level all = fabric.levels().getFirst();
    Level inner = near.orElse(all);
    if (!isOneHost) {
      return topology.levels().isEmpty()
          ? fabric
          : joining(List.of(withoutMemory(inner, topology.levels().getFirst()), all));
    }
    return joining(
        List.of(
            near.isEmpty() || topology.peerMemory()
                ? inner.withoutUplink() // what ranks of one host tell each other takes no cable
                : withoutMemory(inner, Level.ALL)));
  }

  private Fabric joining(List<Level> levels) {
    return new Fabric(fabric.name(), fabric.compute(), levels);
  }

  /// Returns links by messages alone: ranks that do not all share memory have no mailboxes.
  private static Level withoutMemory(Level links, long ranks) {
    double latency = links.messageNanos();
    Rates rates = links.bandwidth();
    return new Level(
        links.name(), ranks, latency, 0, latency, latency, rates, PeerRates.of(rates), 0);
  }

  /// Returns what a fit holds for: these ranks on this host under this Java, with as many
  /// processors as the first rank may run on. Ranks that a launcher has bound have a table of their
  /// own thereby: whether compilers, and other ranks, run on a rank's core is in its constants.
  ///
  /// @param transport name
  /// @param ranks how many there are
  /// @param hosts on how many hosts they are
  /// @param host the first rank's
  public static String key(String transport, int ranks, long hosts, String host) {
    return "transport=%s ranks=%s hosts=%s host=%s processors=%s architecture=%s java=%s"
        .formatted(
            transport,
            ranks,
            hosts,
            host,
            Runtime.getRuntime().availableProcessors(),
            System.getProperty("os.arch"),
            Runtime.version());
  }

  /// Returns the table of constants that somebody states.
  ///
  /// @param fabric one level that joins all ranks
  public static LinkTable stated(Fabric fabric) {
    return new LinkTable("", Instant.EPOCH, fabric);
  }

  /// Returns a table for links of which nothing is known: that of a host with a few cores, rounded,
  /// where each rank has one. Algorithms keep the order that they have on most hosts; times may be
  /// wrong by a factor. A host's ranks share one card.
  ///
  /// @param transport name
  /// @param peerMemory whether ranks read each other's memory
  public static LinkTable typical(String transport, boolean peerMemory) {
    Rates copies = rates(20e9, 20e9, 10e9, 5e9);
    Rates joins = rates(60e9, 50e9, 25e9, 12e9);
    Rates reads = rates(12e9, 12e9, 8e9, 5e9);
    Level links =
        peerMemory
            ? new Level(
                "memory",
                Level.ALL,
                1_000,
                SHARED_SHORT_BYTES,
                150,
                80,
                rates(4e9),
                new PeerRates(
                    reads,
                    rates(6e9, 6e9, 4e9, 3e9),
                    reads,
                    joins,
                    reads,
                    rates(7e9, 7e9, 4e9, 2.5e9)),
                0)
            : new Level(
                "network",
                Level.ALL,
                10_000,
                0,
                10_000,
                10_000,
                rates(2e9),
                PeerRates.of(rates(2e9)),
                2e9);
    return stated(new Fabric(transport, new Compute(50, 10, copies, joins, true), List.of(links)));
  }

  /// Returns a table for ranks of which nothing is known but that they read each other's memory and
  /// that two or so share each core: every operation waits for turns there, every signal for a part
  /// of one, messages for several, and a rank has a part of a core's rates.
  ///
  /// @param transport name
  public static LinkTable typicalOfSharedCores(String transport) {
    Rates copies = rates(12e9, 12e9, 8e9, 4e9);
    Rates joins = rates(36e9, 30e9, 18e9, 9e9);
    Rates reads = rates(7e9, 7e9, 6e9, 4e9);
    Level links =
        new Level(
            "memory",
            Level.ALL,
            8_000,
            SHARED_SHORT_BYTES,
            3_000,
            600,
            rates(2.4e9),
            new PeerRates(
                reads,
                rates(3.6e9, 3.6e9, 3e9, 2.4e9),
                reads,
                joins,
                reads,
                rates(4e9, 4e9, 3e9, 2e9)),
            0);
    return stated(
        new Fabric(transport, new Compute(1_500, 80, copies, joins, true), List.of(links)));
  }

  private static Rates rates(double... bytesPerSecond) {
    List<Rates.Point> points = new ArrayList<>();
    long workingSet = 64 << 10;
    for (double rate : bytesPerSecond) {
      points.add(new Rates.Point(workingSet, rate));
      workingSet *= 16;
    }
    return new Rates(points);
  }

  /// Returns this table as text of a few lines, with a checksum in the last one.
  public String encode() {
    Compute compute = fabric.compute();
    String text =
        String.join(
            "\n",
            FORMAT,
            "key=" + key,
            "fitted=" + fitted.getEpochSecond(),
            "name=" + fabric.name(),
            "start=" + compute.startNanos(),
            "step=" + compute.stepNanos(),
            "moves=" + compute.movesMessages(),
            "copy=" + words(compute.copy()),
            "join=" + words(compute.join()),
            encode("", fabric.levels().getFirst()) + near.map(it -> encode(NEAR, it)).orElse(""));
    return text + "crc=" + crc(text) + "\n";
  }

  private static String encode(String prefix, Level links) {
    return Stream.of(
            "links=" + links.name(),
            "message=" + links.messageNanos(),
            "shortBytes=" + links.shortBytes(),
            "short=" + links.shortNanos(),
            "signal=" + links.signalNanos(),
            "bandwidth=" + words(links.bandwidth()),
            "read=" + words(links.memory().read()),
            "fetch=" + words(links.memory().fetch()),
            "joinPeer=" + words(links.memory().join()),
            "spread=" + words(links.memory().spread()),
            "write=" + words(links.memory().write()),
            "swap=" + words(links.memory().swap()),
            "uplink=" + links.uplinkBytesPerSecond())
        .map(field -> prefix + field + "\n")
        .collect(Collectors.joining());
  }

  /// Returns the table that a text stands for.
  ///
  /// @throws IllegalArgumentException if the text is not one that [#encode] has made
  public static LinkTable decode(String text) {
    int end = text.lastIndexOf("crc=");
    if (end < 0
        || !text.startsWith(FORMAT + "\n")
        || !text.substring(end).equals("crc=" + crc(text.substring(0, end)) + "\n")) {
      throw new IllegalArgumentException("not a table of links: chars=" + text.length());
    }
    Map<String, String> fields = new HashMap<>();
    text.substring(0, end)
        .lines()
        .skip(1)
        .forEach(
            line -> {
              int at = line.indexOf('=');
              if (at < 0) {
                throw new IllegalArgumentException("not a field of a table of links: " + line);
              }
              fields.put(line.substring(0, at), line.substring(at + 1));
            });
    return new Fields(fields).table();
  }

  private record Fields(Map<String, String> fields) {
    LinkTable table() {
      Compute compute =
          new Compute(
              number("start"),
              number("step"),
              rates("copy"),
              rates("join"),
              Boolean.parseBoolean(text("moves")));
      return new LinkTable(
          text("key"),
          Instant.ofEpochSecond(Long.parseLong(text("fitted"))),
          new Fabric(text("name"), compute, List.of(level(""))),
          fields.containsKey(NEAR + "links") ? Optional.of(level(NEAR)) : Optional.empty());
    }

    private Level level(String prefix) {
      return new Level(
          text(prefix + "links"),
          Level.ALL,
          number(prefix + "message"),
          Long.parseLong(text(prefix + "shortBytes")),
          number(prefix + "short"),
          number(prefix + "signal"),
          rates(prefix + "bandwidth"),
          new PeerRates(
              rates(prefix + "read"),
              rates(prefix + "fetch"),
              rates(prefix + "joinPeer"),
              rates(prefix + "spread"),
              rates(prefix + "write"),
              rates(prefix + "swap")),
          number(prefix + "uplink"));
    }

    private String text(String field) {
      String value = fields.get(field);
      if (value == null) {
        throw new IllegalArgumentException("field of a table of links is missing: field=" + field);
      }
      return value;
    }

    private double number(String field) {
      return Double.parseDouble(text(field));
    }

    private Rates rates(String field) {
      List<Rates.Point> points = new ArrayList<>();
      for (String point : text(field).split(" ", -1)) {
        int at = point.indexOf(':');
        points.add(
            new Rates.Point(
                Long.parseLong(point, 0, Math.max(at, 0), 10),
                Double.parseDouble(point.substring(at + 1))));
      }
      return new Rates(points);
    }
  }

  private static String words(Rates rates) {
    StringBuilder words = new StringBuilder();
    for (Rates.Point point : rates.points()) {
      words.append(words.isEmpty() ? "" : " ");
      words.append(point.workingSetBytes()).append(':').append(point.bytesPerSecond());
    }
    return words.toString();
  }

  private static String crc(String text) {
    CRC32C crc = new CRC32C();
    crc.update(text.getBytes(StandardCharsets.UTF_8));
    return "%08x".formatted(crc.getValue());
  }
}
