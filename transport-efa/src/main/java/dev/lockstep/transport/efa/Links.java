package dev.lockstep.transport.efa;

import org.jspecify.annotations.Nullable;

/// The links of one endpoint. Used under the transport's lock.
final class Links {
  private final LinkTable<SendLink> senders;
  private final LinkTable<ReceiveLink> receivers;

  Links(String transport) {
    this.senders = new LinkTable<>(transport);
    this.receivers = new LinkTable<>(transport);
  }

  LinkTable<SendLink> senders() {
    return senders;
  }

  LinkTable<ReceiveLink> receivers() {
    return receivers;
  }

  /// Returns how many places of links there are, of both kinds.
  int places() {
    return receivers.size() + senders.size();
  }

  /// Returns the link at a place, null if there is none.
  @Nullable FabricLink at(int place) {
    int receiving = receivers.size();
    return place < receiving ? receivers.at(place) : senders.at(place - receiving);
  }

  private @Nullable FabricLink at(int place, int peer) {
    FabricLink link = at(place);
    return link == null || link.peer() != peer ? null : link;
  }

  /// Breaks all links with a peer.
  void lost(int peer, RuntimeException cause) {
    for (int place = 0; place < places(); place++) {
      FabricLink link = at(place, peer);
      if (link != null) {
        link.lost(cause);
      }
    }
  }

  /// Breaks all links for a reason of this end, which their peers are told.
  void breakAll(RuntimeException cause) {
    for (int place = 0; place < places(); place++) {
      FabricLink link = at(place);
      if (link != null) {
        link.breakHere(cause);
      }
    }
  }

  /// Has the links with a peer say nothing more.
  void mute(int peer) {
    for (int place = 0; place < places(); place++) {
      FabricLink link = at(place, peer);
      if (link != null) {
        link.mute = true;
        link.giveBack();
      }
    }
  }

  /// Has the links that wait for a peer and stand still ask its ends.
  void ask() {
    for (int place = 0; place < places(); place++) {
      FabricLink link = at(place);
      if (link != null) {
        link.ask();
      }
    }
  }

  /// Returns whether a peer that is not lost has leave to write into memory here.
  boolean hasWriter() {
    for (int place = 0; place < receivers.size(); place++) {
      ReceiveLink link = receivers.at(place);
      if (link != null && link.holdsMemory() && !link.mute) {
        return true;
      }
    }
    return false;
  }

  /// Returns the one peer that is not lost and has leave to write into memory here, -1 if there are
  /// several or none.
  int onlyWriter() {
    int writer = -1;
    for (int place = 0; place < receivers.size(); place++) {
      ReceiveLink link = receivers.at(place);
      if (link != null && link.holdsMemory() && !link.mute) {
        if (writer >= 0 && writer != link.peer()) {
          return -1;
        }
        writer = link.peer();
      }
    }
    return writer;
  }

  /// Frees what the links hold; the endpoint is closed before.
  void free() {
    for (int place = 0; place < places(); place++) {
      FabricLink link = at(place);
      if (link != null) {
        link.free();
      }
    }
  }
}
