package dev.lockstep.collective;

import dev.lockstep.transport.Faults;
import dev.lockstep.transport.inprocess.FaultyProvider;

/// As [UnsteadyPeersProvider]; after a while rank 1 is lost in the middle of a collective.
public final class DyingPeersProvider extends FaultyProvider {
  /// Made by [java.util.ServiceLoader].
  public DyingPeersProvider() {
    super("dying-peers", Faults.unsteady(46).withDeath(1, 40), true);
  }
}
