package dev.lockstep.transport;

/// A bad network in front of one port: whoever sends to [#port] reaches the port behind it, through
/// whatever the relay does on the way.
public interface Relay extends AutoCloseable {
  /// Returns the port to send to, on loopback.
  int port();

  /// Returns how often it has interfered so far.
  long interferences();

  /// Stops; what is on its way is lost.
  @Override
  void close();
}
