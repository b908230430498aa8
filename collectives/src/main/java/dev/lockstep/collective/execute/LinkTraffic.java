package dev.lockstep.collective.execute;

import dev.lockstep.transport.Link;
import dev.lockstep.transport.MismatchedEnvelopeException;
import dev.lockstep.transport.Transfer;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/// The messages of one program on one link, in order. Those that are issued are posted as the link
/// has room, so that a full link never keeps a rank from its next step. Allocates nothing once
/// sealed.
final class LinkTraffic {
  private final Link link;
  private final boolean sends;
  private final List<Transfer> collected = new ArrayList<>();
  private Transfer[] transfers = {};
  private int issued;
  private int posted;
  private int completed;

  LinkTraffic(Link link, boolean sends) {
    this.link = link;
    this.sends = sends;
  }

  int peer() {
    return link.peer();
  }

  boolean sends() {
    return sends;
  }

  /// Adds the next message and returns its number on this link.
  int add(Transfer transfer) {
    collected.add(transfer);
    transfers = collected.toArray(Transfer[]::new);
    return transfers.length - 1;
  }

  Transfer[] transfers() {
    return transfers;
  }

  /// Makes ready for a run.
  void begin(long sequence) {
    issued = 0;
    posted = 0;
    completed = 0;
    for (Transfer transfer : transfers) {
      transfer.envelope().sequence = sequence;
    }
  }

  void issue() {
    issued++;
  }

  boolean isComplete(int number) {
    return number < completed;
  }

  boolean isIdle() {
    return completed == issued;
  }

  int completed() {
    return completed;
  }

  /// Moves what can be moved.
  ///
  /// @return whether anything did
  /// @throws PeerFailure if the link or a message has failed
  boolean poll() {
    if (completed == issued) {
      return false;
    }
    boolean moved = false;
    while (posted < issued) {
      int answer = link.post(transfers[posted]);
      if (answer == Link.BACK_PRESSURED) {
        break;
      }
      if (answer == Link.CLOSED) {
        throw failed(transfers[posted]);
      }
      posted++;
      moved = true;
    }
    moved |= link.poll() > 0;
    while (completed < posted) {
      Transfer transfer = transfers[completed];
      if (transfer.state() == Transfer.State.FAILED) {
        throw failed(transfer);
      }
      if (!transfer.isDone()) {
        break;
      }
      completed++;
      moved = true;
    }
    return moved;
  }

  private PeerFailure failed(Transfer transfer) {
    @Nullable RuntimeException cause = transfer.failure();
    if (cause == null) {
      return new PeerFailure(peer(), PeerFailure.Kind.UNREACHABLE, "link is closed");
    }
    return new PeerFailure(
        peer(),
        cause instanceof MismatchedEnvelopeException
            ? PeerFailure.Kind.DISAGREES
            : PeerFailure.Kind.UNREACHABLE,
        cause);
  }
}
