package dev.lockstep.transport.efa;

import dev.lockstep.failure.TransportException;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/// The links of one endpoint, by number. Used under the transport's lock.
final class Links {
  private final String transport;
  private SendLink[] senders = {};
  private ReceiveLink[] receivers = {};

  Links(String transport) {
    this.transport = transport;
  }

  /// Gives a sending end its number.
  int add(SendLink link) {
    senders = Arrays.copyOf(senders, senders.length + 1);
    senders[senders.length - 1] = link;
    return senders.length - 1;
  }

  /// Gives a receiving end its number.
  int add(ReceiveLink link) {
    requireRoom();
    receivers = Arrays.copyOf(receivers, receivers.length + 1);
    receivers[receivers.length - 1] = link;
    return receivers.length - 1;
  }

  /// Throws unless another receiving end may come: its number travels in few bits.
  void requireRoom() {
    if (receivers.length == Wire.MOST_LINKS) {
      throw new TransportException(
          transport,
          "too many links: transport=%s, most=%d".formatted(transport, Wire.MOST_LINKS),
          null);
    }
  }

  /// Returns the sending end of that number, null if there is none.
  @Nullable SendLink sender(int number) {
    return number >= 0 && number < senders.length ? senders[number] : null;
  }

  /// Returns the receiving end of that number, null if there is none.
  @Nullable ReceiveLink receiver(int number) {
    return number >= 0 && number < receivers.length ? receivers[number] : null;
  }

  /// Breaks all links with a peer.
  void lost(int peer, RuntimeException cause) {
    for (SendLink link : senders) {
      if (link.peer() == peer) {
        link.lost(cause);
      }
    }
    for (ReceiveLink link : receivers) {
      if (link.peer() == peer) {
        link.lost(cause);
      }
    }
  }

  /// Breaks all links for a reason of this end, which their peers are told.
  void breakAll(RuntimeException cause) {
    for (SendLink link : senders) {
      link.breakHere(cause);
    }
    for (ReceiveLink link : receivers) {
      link.breakHere(cause);
    }
  }

  /// Has the links with a peer say nothing more.
  void mute(int peer) {
    for (SendLink link : senders) {
      link.mute |= link.peer() == peer;
    }
    for (ReceiveLink link : receivers) {
      link.mute |= link.peer() == peer;
    }
  }

  /// Returns a link with a peer, null if there is none.
  @Nullable FabricLink any(int peer) {
    for (SendLink link : senders) {
      if (link.peer() == peer) {
        return link;
      }
    }
    for (ReceiveLink link : receivers) {
      if (link.peer() == peer) {
        return link;
      }
    }
    return null;
  }

  /// Has the links that wait for a peer and have not heard of its ends greet them again.
  void greetAgain(int peer) {
    for (SendLink link : senders) {
      if (link.peer() == peer) {
        link.greetAgain();
      }
    }
  }

  /// Returns whether a link waits for a peer.
  boolean isAwaited(int peer) {
    for (SendLink link : senders) {
      if (link.peer() == peer && link.isWaiting()) {
        return true;
      }
    }
    for (ReceiveLink link : receivers) {
      if (link.peer() == peer && link.isWaiting()) {
        return true;
      }
    }
    return false;
  }

  /// Returns whether a peer that is not lost has leave to write into memory here.
  boolean hasWriter() {
    for (ReceiveLink link : receivers) {
      if (link.holdsMemory() && !link.mute) {
        return true;
      }
    }
    return false;
  }

  /// Returns the one peer that is not lost and has leave to write into memory here, -1 if there are
  /// several or none.
  int onlyWriter() {
    int writer = -1;
    for (ReceiveLink link : receivers) {
      if (link.holdsMemory() && !link.mute) {
        if (writer >= 0 && writer != link.peer()) {
          return -1;
        }
        writer = link.peer();
      }
    }
    return writer;
  }

  /// Returns whether a peer that is not known yet may still send a greeting.
  boolean isGreetingDue(int peer) {
    for (ReceiveLink link : receivers) {
      if (link.peer() == peer && !link.isGreeted()) {
        return true;
      }
    }
    return false;
  }

  /// Frees what the links hold; the endpoint is closed before.
  void free() {
    for (ReceiveLink link : receivers) {
      link.free();
    }
    for (SendLink link : senders) {
      link.free();
    }
  }
}
