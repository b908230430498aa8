package dev.lockstep.collective.schedule;

import java.util.List;

/// One instruction of a rank's program; see [Schedule] for the order in which steps take effect.
///
/// Ranges that a step writes, and those that it sends, are the rank's own, but for [Spread] and
/// [Swap], which write peers' memory too. Copies and reductions may read peers' memory in place
/// where the topology has peer memory.
public sealed interface Step {
  /// Returns whether peers' memory is written.
  default boolean writesPeers() {
    return this instanceof Spread || this instanceof Swap;
  }

  /// Sends a message.
  ///
  /// @param peer receiver
  /// @param from what is sent; may be empty
  record Send(int peer, Range from) implements Step {}

  /// Receives the next message of a peer.
  ///
  /// @param peer sender
  /// @param into where it goes; as long as what was sent
  record Receive(int peer, Range into) implements Step {}

  /// Receives the next message of a peer and joins it into what is there: `into = into (op)
  /// message`.
  ///
  /// @param peer sender
  /// @param into operand and result
  record ReceiveReduce(int peer, Range into) implements Step {}

  /// Copies elements, from this rank's memory or from a peer's.
  ///
  /// @param from what is read
  /// @param to where it goes
  record Copy(Range from, Range to) implements Step {}

  /// Joins any number of sources at once.
  ///
  /// @param to result; the same elements as a source, or none of any source's
  /// @param tree sources and order
  record Reduce(Range to, JoinTree tree) implements Step {}

  /// Joins any number of sources at once, or takes the one there is, and writes the result to other
  /// ranks, to this one too or not.
  ///
  /// @param to results, none of which overlaps another one; each the same elements as a source, or
  ///   none of any source's
  /// @param tree sources and order
  record Spread(List<Range> to, JoinTree tree) implements Step {
    /// Copies the list.
    public Spread {
      to = List.copyOf(to);
      if (to.isEmpty()) {
        throw new IllegalArgumentException("spread goes nowhere: tree=" + tree);
      }
    }
  }

  /// Exchanges elements of this rank's memory with as many of a peer's.
  ///
  /// @param own this rank's
  /// @param theirs the peer's
  record Swap(Range own, Range theirs) implements Step {}

  /// Multiplies a contribution by the factor of a pre-multiplied sum.
  ///
  /// @param from a contribution
  /// @param to where the product goes; no element of `from`
  record Scale(Range from, Range to) implements Step {}

  /// Divides a finished sum by the number of lanes.
  ///
  /// @param target operand and result
  record Divide(Range target) implements Step {}

  /// Tells a peer that every earlier step has been done.
  ///
  /// @param peer who is told
  /// @param slot number of the counter between the two ranks
  record Signal(int peer, int slot) implements Step {}

  /// Waits for a peer's next signal; what the peer did before it is seen after it.
  ///
  /// @param peer who is waited for
  /// @param slot number of the counter between the two ranks
  record Await(int peer, int slot) implements Step {}
}
