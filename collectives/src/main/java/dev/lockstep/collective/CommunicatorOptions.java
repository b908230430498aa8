package dev.lockstep.collective;

import dev.lockstep.collective.execute.Deadlines;
import dev.lockstep.collective.request.Mode;
import dev.lockstep.collective.transport.TransportChoice;
import dev.lockstep.failure.ConfigurationException;
import java.time.Duration;

/// How a communicator is made; the same on every rank.
///
/// @param transport name of the transport, as users write it after `--transport`; empty to choose
/// @param mode what collectives promise about their bits
/// @param timeout deadline of each collective, from when its turn has come to its completion: those
///   that were started before it have their own, see [Work]
/// @param links whence it is known what links cost; the first rank's word holds
public record CommunicatorOptions(String transport, Mode mode, Duration timeout, LinkSource links) {
  /// Deadline of collectives where none is named: long enough for a slow rank's first step, short
  /// enough to be waited for.
  public static final Duration DEFAULT_TIMEOUT = Duration.ofMinutes(5);

  /// Checks the timeout. A hundred years are as good as for ever.
  public CommunicatorOptions {
    if (!timeout.isPositive()) {
      throw new ConfigurationException(
          "timeout", timeout.toString(), Deadlines.notPositive("option=timeout", timeout));
    }
    timeout = Deadlines.countable(timeout);
  }

  /// Makes options of a communicator that measures its links.
  public CommunicatorOptions(String transport, Mode mode, Duration timeout) {
    this(transport, mode, timeout, LinkSource.fitted());
  }

  /// Returns the defaults: a transport is chosen, same bits, five minutes, links are measured once
  /// per host.
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
    return new CommunicatorOptions(name, mode, timeout, links);
  }

  /// Returns these options with another promise about the bits.
  public CommunicatorOptions withMode(Mode other) {
    return new CommunicatorOptions(transport, other, timeout, links);
  }

  /// Returns these options with another deadline.
  public CommunicatorOptions withTimeout(Duration other) {
    return new CommunicatorOptions(transport, mode, other, links);
  }

  /// Returns these options with links known from elsewhere.
  public CommunicatorOptions withLinks(LinkSource other) {
    return new CommunicatorOptions(transport, mode, timeout, other);
  }
}
