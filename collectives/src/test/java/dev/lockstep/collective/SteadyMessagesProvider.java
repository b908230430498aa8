package dev.lockstep.collective;

import dev.lockstep.transport.Faults;
import dev.lockstep.transport.inprocess.FaultyProvider;

/// As [MessagesOnlyProvider], with nothing that goes wrong.
public final class SteadyMessagesProvider extends FaultyProvider {
  /// Made by [java.util.ServiceLoader].
  public SteadyMessagesProvider() {
    super("steady-messages", Faults.none());
  }
}
