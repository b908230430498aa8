package dev.lockstep.system;

import org.junit.jupiter.api.Tag;

/// Over libfabric's streams.
@Tag("long")
final class ContractBetweenNodesTest extends ContractBetweenNodes {
  ContractBetweenNodesTest() {
    super("ofi:tcp", true);
  }
}
