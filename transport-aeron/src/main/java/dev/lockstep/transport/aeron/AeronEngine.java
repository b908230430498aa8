package dev.lockstep.transport.aeron;

import io.aeron.Aeron;
import java.nio.file.Path;

/// Aeron as one rank has it: a client, and a media driver that somebody moves.
interface AeronEngine extends AutoCloseable {
  /// Returns the client.
  Aeron client();

  /// Returns which of this rank's transports this is: a job may open several.
  int life();

  /// Returns the driver's folder.
  Path folder();

  /// Moves what this rank itself must move; allocates nothing. Thread-safe: does nothing while
  /// another thread is at it.
  ///
  /// @return amount of work done
  int turn();

  /// Returns whether the driver ends with this rank.
  boolean ownsDriver();

  /// Ends the client; what it has sent the driver still delivers. Idempotent.
  void closeClient();

  /// Ends the client, and the driver if it is this rank's. Idempotent.
  @Override
  void close();
}
