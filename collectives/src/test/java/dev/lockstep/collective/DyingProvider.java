package dev.lockstep.collective;

import dev.lockstep.transport.Faults;
import dev.lockstep.transport.inprocess.FaultyProvider;

/// As [MessagesOnlyProvider]; after a while all links of rank 1 close.
public final class DyingProvider extends FaultyProvider {
  /// Made by [java.util.ServiceLoader].
  public DyingProvider() {
    super("dying", Faults.unsteady(44).withDeath(1, 40));
  }
}
