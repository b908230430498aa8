package dev.lockstep.collective;

import dev.lockstep.transport.Faults;
import dev.lockstep.transport.inprocess.FaultyProvider;

/// Ranks of one JVM without peers' memory, what algorithms by messages run over: slow, full, in
/// pieces, and in any order between links, as a wire may be.
public final class MessagesOnlyProvider extends FaultyProvider {
  /// Made by [java.util.ServiceLoader].
  public MessagesOnlyProvider() {
    super("messages-only", Faults.unsteady(42));
  }
}
