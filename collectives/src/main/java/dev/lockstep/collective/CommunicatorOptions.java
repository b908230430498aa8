package dev.lockstep.collective;

import dev.lockstep.collective.request.Mode;
import dev.lockstep.failure.ConfigurationException;
import java.time.Duration;

/// How a communicator is made; the same on every rank.
///
/// @param transport name of the transport, as users write it after `--transport`; empty to choose
/// @param mode what collectives promise about their bits
/// @param timeout deadline of each collective, from its start to its completion
public record CommunicatorOptions(String transport, Mode mode, Duration timeout) {
  /// Deadline of collectives where none is named: long enough for a slow rank's first step, short
  /// enough to be waited for.
  public static final Duration DEFAULT_TIMEOUT = Duration.ofMinutes(5);

  /// Checks the timeout.
  public CommunicatorOptions {
    if (!timeout.isPositive()) {
      throw new ConfigurationException(
          "timeout",
          timeout.toString(),
          "deadline of collectives is not positive: timeout=" + timeout);
    }
  }

  /// Returns the defaults: a transport is chosen, same bits, five minutes.
  public static CommunicatorOptions defaults() {
    return new CommunicatorOptions("", Mode.SAME_BITS, DEFAULT_TIMEOUT);
  }

  /// Checks that the named transport is installed, for whoever makes no communicator: a rank alone.
  ///
  /// @throws ConfigurationException if it is not
  public void requireTransport() {
    TransportChoice.requireInstalled(transport);
  }

  /// Returns these options with another transport.
  public CommunicatorOptions withTransport(String name) {
    return new CommunicatorOptions(name, mode, timeout);
  }

  /// Returns these options with another promise about the bits.
  public CommunicatorOptions withMode(Mode other) {
    return new CommunicatorOptions(transport, other, timeout);
  }

  /// Returns these options with another deadline.
  public CommunicatorOptions withTimeout(Duration other) {
    return new CommunicatorOptions(transport, mode, other);
  }
}
