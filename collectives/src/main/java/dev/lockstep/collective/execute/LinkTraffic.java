package dev.lockstep.collective.execute;

import dev.lockstep.transport.Link;
import dev.lockstep.transport.MismatchedEnvelopeException;
import dev.lockstep.transport.Transfer;
import org.jspecify.annotations.Nullable;

/// Messages over a link.
final class LinkTraffic extends Traffic {
  private final Link link;
  private int posted;

  /// Makes the traffic of one end.
  ///
  /// @param peer the communicator's number of the rank at the other end; the link's is the job's
  LinkTraffic(Link link, int peer, boolean sends) {
    super(peer, sends);
    this.link = link;
  }

  @Override
  void begin(long sequence, long operation) {
    issued = 0;
    posted = 0;
    completed = 0;
    for (Transfer transfer : transfers) {
      transfer.envelope().sequence = sequence;
    }
  }

  @Override
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
