package dev.lockstep.system;

import dev.lockstep.transport.Link;
import dev.lockstep.transport.PeerAccess;
import dev.lockstep.transport.Transfer;
import dev.lockstep.transport.Transport;
import dev.lockstep.transport.TransportCounters;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.function.Supplier;

/// One rank's transport as a process of a node has it, in a test that drives several: whoever calls
/// it or one of its links is on the node meanwhile, and so are the sockets and threads made there.
final class OnNode implements Transport {
  private final NodeEntry node;
  private final Transport inner;

  private OnNode(NodeEntry node, Transport inner) {
    this.node = node;
    this.inner = inner;
  }

  /// Opens a transport on a node.
  static Transport open(NodeEntry node, Supplier<Transport> opening) {
    node.enter();
    return new OnNode(node, opening.get());
  }

  @Override
  public String name() {
    return inner.name();
  }

  @Override
  public Link openSend(int peer, int communicator, Duration timeout) {
    node.enter();
    return new LinkOnNode(node, inner.openSend(peer, communicator, timeout));
  }

  @Override
  public Link openReceive(int peer, int communicator, Duration timeout) {
    node.enter();
    return new LinkOnNode(node, inner.openReceive(peer, communicator, timeout));
  }

  @Override
  public Optional<PeerAccess> peerAccess(List<Integer> ranks) {
    return inner.peerAccess(ranks);
  }

  @Override
  public int poll() {
    node.enter();
    return inner.poll();
  }

  @Override
  public TransportCounters counters() {
    return inner.counters();
  }

  @Override
  public void close() {
    node.enter();
    inner.close();
  }

  private record LinkOnNode(NodeEntry node, Link inner) implements Link {
    @Override
    public int peer() {
      return inner.peer();
    }

    @Override
    public int communicator() {
      return inner.communicator();
    }

    @Override
    public int post(Transfer transfer) {
      node.enter();
      return inner.post(transfer);
    }

    @Override
    public int poll() {
      node.enter();
      return inner.poll();
    }

    @Override
    public void close() {
      node.enter();
      inner.close();
    }

    @Override
    public void beginAbandon() {
      node.enter();
      inner.beginAbandon();
    }

    @Override
    public void abandon() {
      node.enter();
      inner.abandon();
    }
  }
}
