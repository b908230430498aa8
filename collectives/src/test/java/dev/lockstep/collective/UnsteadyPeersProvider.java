package dev.lockstep.collective;

import dev.lockstep.transport.Faults;
import dev.lockstep.transport.inprocess.FaultyProvider;

/// Ranks of one JVM that use each other's memory, and see each other's signals late and in any
/// order.
public final class UnsteadyPeersProvider extends FaultyProvider {
  /// Made by [java.util.ServiceLoader].
  public UnsteadyPeersProvider() {
    super("unsteady-peers", Faults.unsteady(45), true);
  }
}
