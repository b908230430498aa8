package dev.lockstep.train;

import dev.lockstep.transport.Faults;
import dev.lockstep.transport.inprocess.FaultyProvider;

/// Ranks of one JVM that use each other's memory, and see each other's signals and messages late
/// and in any order.
public final class UnsteadyPeersProvider extends FaultyProvider {
  /// Made by [java.util.ServiceLoader].
  public UnsteadyPeersProvider() {
    super("unsteady-peers", Faults.unsteady(46), true);
  }
}
