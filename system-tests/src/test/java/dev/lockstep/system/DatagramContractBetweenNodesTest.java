package dev.lockstep.system;

import org.junit.jupiter.api.Tag;

/// Over libfabric's datagrams; the cable is bad on one way only (see [AlgorithmsBetweenNodesTest]).
@Tag("long")
final class DatagramContractBetweenNodesTest extends ContractBetweenNodes {
  DatagramContractBetweenNodesTest() {
    super("ofi:udp", false);
  }
}
