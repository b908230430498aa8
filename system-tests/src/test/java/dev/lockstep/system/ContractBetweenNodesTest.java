package dev.lockstep.system;

import dev.lockstep.memory.MemoryPool;
import dev.lockstep.transport.AddressBook;
import dev.lockstep.transport.MemoryAddressBook;
import dev.lockstep.transport.PacketRelay.Weather;
import dev.lockstep.transport.Transport;
import dev.lockstep.transport.TransportContext;
import dev.lockstep.transport.TransportContractTest;
import dev.lockstep.transport.TransportHarness;
import dev.lockstep.transport.TransportProvider;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.ServiceLoader;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.extension.ConditionEvaluationResult;
import org.junit.jupiter.api.extension.ExecutionCondition;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.extension.ExtensionContext;
import org.junit.jupiter.api.io.TempDir;

/// What every transport's links do between two nodes, on whose cable packets get lost, come twice,
/// late and out of order, all but that they allocate nothing, for which a cable makes no
/// difference. Ranks of even number are on the first node, the others on the second.
@Tag("long")
@ExtendWith(ContractBetweenNodesTest.AboutTheWire.class)
final class ContractBetweenNodesTest extends TransportContractTest {
  private static final String TRANSPORT = "ofi:tcp";
  private static final Duration LIVENESS = Duration.ofSeconds(2);

  private final List<NodeEntry> entries = new ArrayList<>();

  @TempDir private Path directory;
  private NodeEntry home;
  private TwoNodes nodes;

  static final class AboutTheWire implements ExecutionCondition {
    @Override
    public ConditionEvaluationResult evaluateExecutionCondition(ExtensionContext test) {
      boolean about =
          test.getTestMethod()
              .filter(it -> it.getName().equals("messagesAllocateNothing"))
              .isEmpty();
      return about
          ? ConditionEvaluationResult.enabled("about the wire")
          : ConditionEvaluationResult.disabled("not about the wire");
    }
  }

  @BeforeEach
  void join() throws IOException {
    Libfabric.require(TRANSPORT);
    // One packet in a hundred is lost, one in fifty comes twice, one in twenty late.
    nodes = TwoNodes.joined(new Weather(1, 2, 5, 200));
    home = new NodeEntry("/proc/thread-self/ns/net");
    for (int node = 0; node < TwoNodes.NODES; node++) {
      // Messages of megabytes go in fewer packets, and what is lost is sent again as soon as
      // such a short cable allows.
      nodes.configure(node, "link set ls" + node + " mtu 9000");
      nodes.configure(node, "route change 10.99.7.0/24 dev ls" + node + " rto_min 5ms");
      entries.add(TwoNodes.entry(node));
    }
  }

  @AfterEach
  void part() {
    if (home == null) {
      return; // skipped
    }
    home.enter();
    home.close();
    entries.forEach(NodeEntry::close);
    nodes.close();
  }

  @Override
  protected TransportHarness open(int ranks) {
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
      opened.add(OnNode.open(entries.get(node), () -> provider().open(context)));
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

  private TransportProvider provider() {
    return ServiceLoader.load(TransportProvider.class).stream()
        .map(ServiceLoader.Provider::get)
        .filter(found -> found.name().equals(TRANSPORT))
        .findFirst()
        .orElseThrow();
  }
}
