package dev.lockstep.job;

import java.util.LinkedHashSet;
import java.util.Set;

/// Connections whose ranks have not joined yet. Confined to the server's event loop.
///
/// Their number is bounded by closing the oldest, not by refusing the newest: a rank needs
/// milliseconds for its handshake and passes through a crowd of strangers who only sit there.
final class Strangers {
  private final Set<ServerConnection> connections = new LinkedHashSet<>();
  private final int most;

  Strangers(int most) {
    this.most = most;
  }

  void add(ServerConnection connection) {
    connections.add(connection);
    if (connections.size() > most) {
      ServerConnection oldest = connections.iterator().next();
      connections.remove(oldest);
      oldest.reject("too many connections without a rank");
    }
  }

  void remove(ServerConnection connection) {
    connections.remove(connection);
  }
}
