package dev.lockstep.failure;

import org.jspecify.annotations.Nullable;

/// A transport could not be opened or a link broke. Name another transport; after a collective's
/// failure close the job and join a new one, or exit.
public final class TransportException extends LockstepException {
  private static final long serialVersionUID = 1L;

  private final String endpoint;

  /// Makes the failure; the arguments come back from the accessors.
  public TransportException(String endpoint, String message, @Nullable Throwable cause) {
    super(message, cause);
    this.endpoint = endpoint;
  }

  /// Returns the peer or address.
  public String endpoint() {
    return endpoint;
  }
}
