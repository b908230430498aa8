package dev.lockstep.system;

import dev.lockstep.memory.MemoryPool;
import dev.lockstep.transport.AddressBook;
import dev.lockstep.transport.MemoryAddressBook;
import dev.lockstep.transport.Transport;
import dev.lockstep.transport.TransportContext;
import dev.lockstep.transport.TransportHarness;
import dev.lockstep.transport.TransportOrder;
import dev.lockstep.transport.TransportProvider;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.stream.IntStream;

/// Ranks of one test that are on two nodes: those of even number on the first, the others on the
/// second. The test's thread goes from node to node, and is back where it was in the end.
final class RanksOnNodes implements AutoCloseable {
  private static final Duration LIVENESS = Duration.ofSeconds(2);

  private final Path directory;
  private final NodeEntry home;
  private final List<NodeEntry> entries = new ArrayList<>();

  /// Makes the nodes' messages of megabytes go in fewer packets, and has what is lost sent again as
  /// soon as such a short cable allows.
  ///
  /// @param nodes borrowed
  RanksOnNodes(TwoNodes nodes, Path directory) throws IOException {
    this.directory = directory;
    this.home = new NodeEntry("/proc/thread-self/ns/net");
    for (int node = 0; node < TwoNodes.NODES; node++) {
      nodes.configure(node, "link set ls" + node + " mtu 9000");
      nodes.configure(node, "route change 10.99.7.0/24 dev ls" + node + " rto_min 5ms");
      entries.add(TwoNodes.entry(node));
    }
  }

  /// Opens a transport for each of so many ranks.
  TransportHarness open(String transport, int ranks) {
    TransportProvider provider =
        Objects.requireNonNull(TransportOrder.installed().get(transport), transport);
    AddressBook book = new MemoryAddressBook();
    List<String> hosts = IntStream.range(0, ranks).mapToObj(rank -> "node " + rank % 2).toList();
    List<Transport> opened = new ArrayList<>();
    for (int rank = 0; rank < ranks; rank++) {
      int node = rank % TwoNodes.NODES;
      TransportContext context =
          new TransportContext(
              TransportHarness.JOB,
              rank,
              hosts,
              TwoNodes.address(node),
              directory(node),
              rank < TwoNodes.NODES,
              book,
              MemoryPool.root("rank " + rank, 1L << 30),
              LIVENESS);
      opened.add(OnNode.open(entries.get(node), () -> provider.open(context)));
    }
    return new TransportHarness(opened);
  }

  /// Nodes of one host share no files.
  private Path directory(int node) {
    try {
      return Files.createDirectories(directory.resolve("node" + node));
    } catch (IOException failure) {
      throw new UncheckedIOException(failure);
    }
  }

  @Override
  public void close() {
    home.enter();
    home.close();
    entries.forEach(NodeEntry::close);
  }
}
