package dev.lockstep.collective;

import dev.lockstep.transport.Faults;
import dev.lockstep.transport.inprocess.FaultyProvider;

/// As [MessagesOnlyProvider]; after a while bits flip on what rank 1 receives.
public final class CorruptingProvider extends FaultyProvider {
  /// Made by [java.util.ServiceLoader].
  public CorruptingProvider() {
    super("corrupting", Faults.unsteady(43).withCorruption(1, 40));
  }
}
