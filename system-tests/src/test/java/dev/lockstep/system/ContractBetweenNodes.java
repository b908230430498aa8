package dev.lockstep.system;

import dev.lockstep.transport.PacketRelay.Weather;
import dev.lockstep.transport.TransportContractTest;
import dev.lockstep.transport.TransportHarness;
import java.io.IOException;
import java.nio.file.Path;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.extension.ConditionEvaluationResult;
import org.junit.jupiter.api.extension.ExecutionCondition;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.extension.ExtensionContext;
import org.junit.jupiter.api.io.TempDir;

/// What every transport's links do between two nodes, on whose cable packets get lost, come twice,
/// late and out of order, all but that they allocate nothing, for which a cable makes no
/// difference. Ranks of even number are on the first node, the others on the second.
@ExtendWith(ContractBetweenNodes.AboutTheWire.class)
abstract class ContractBetweenNodes extends TransportContractTest {
  private final String transport;
  private final boolean bothWays;

  @TempDir private Path directory;
  private TwoNodes nodes;
  private RanksOnNodes ranks;

  /// @param bothWays whether the cable is bad on both ways, or on one
  ContractBetweenNodes(String transport, boolean bothWays) {
    this.transport = transport;
    this.bothWays = bothWays;
  }

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
    Libfabric.require(transport);
    // One packet in a hundred is lost, one in fifty comes twice, one in twenty late.
    Weather weather = new Weather(1, 2, 5, 200);
    nodes = bothWays ? TwoNodes.joined(weather) : TwoNodes.joinedOneWay(weather);
    ranks = new RanksOnNodes(nodes, directory);
  }

  @AfterEach
  void part() {
    if (ranks == null) {
      return; // skipped
    }
    ranks.close();
    nodes.close();
  }

  @Override
  protected TransportHarness open(int ranks) {
    return this.ranks.open(transport, ranks);
  }
}
