package dev.lockstep.transport.efa;

import dev.lockstep.failure.TransportException;
import dev.lockstep.memory.Scope;
import dev.lockstep.transport.Link;
import dev.lockstep.transport.PeerAccess;
import dev.lockstep.transport.Transport;
import dev.lockstep.transport.TransportContext;
import dev.lockstep.transport.TransportCounters;
import dev.lockstep.transport.efa.ffi.Libfabric;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicBoolean;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/// One rank's end of a libfabric provider: one endpoint that all links share.
final class FabricTransport implements Transport {
  private static final Logger LOG = LoggerFactory.getLogger(FabricTransport.class);

  private final TransportContext context;
  private final Discovery found;
  private final Engine engine;
  private final Keeper keeper;
  private volatile FabricLink[] links = {};
  private final AtomicBoolean closing = new AtomicBoolean();
  private volatile boolean closed;

  private FabricTransport(TransportContext context, Discovery found, Engine engine) {
    this.context = context;
    this.found = found;
    this.engine = engine;
    this.keeper = new Keeper(engine, context.liveness().toNanos());
  }

  /// Opens the transport of one rank.
  ///
  /// @param found owned by the transport from here on
  /// @param library what is called, the discovery's own but for tests
  /// @throws dev.lockstep.failure.TransportException if libfabric refuses
  static FabricTransport open(
      TransportContext context, Discovery found, Libfabric library, FabricOptions options) {
    try {
      return new FabricTransport(context, found, new Engine(found, library, context, options));
    } catch (RuntimeException | Error failure) {
      Scope.afterFailure(failure, found::close);
      throw failure;
    }
  }

  @Override
  public String name() {
    return engine.transport();
  }

  @Override
  public Link openReceive(int peer, int communicator, Duration timeout) {
    checkPeer(peer);
    ReceiveLink link;
    byte[] address;
    engine.hold();
    try {
      checkOpen();
      link = new ReceiveLink(engine, peer, communicator);
      address = link.address().encoded();
      add(link);
    } finally {
      engine.letGo();
    }
    context.addresses().publish(key(communicator, peer, context.rank()), address);
    return link;
  }

  @Override
  public Link openSend(int peer, int communicator, Duration timeout) {
    checkPeer(peer);
    String key = key(communicator, context.rank(), peer);
    LinkAddress address =
        LinkAddress.decode(context.addresses().lookup(key, timeout), "rank " + peer);
    address.requireFabric(engine.fabric(), "rank " + peer);
    context.addresses().withdraw(key); // the other end of a link is opened once
    engine.hold();
    try {
      checkOpen();
      engine.insert(peer, address.names());
      SendLink link = new SendLink(engine, peer, communicator, address);
      add(link);
      engine.markDirty(link);
      engine.progress();
      return link;
    } finally {
      engine.letGo();
    }
  }

  private void checkPeer(int peer) {
    if (peer < 0 || peer >= context.worldSize()) {
      throw new IllegalArgumentException(
          "peer lies outside the job: peer=" + peer + ", worldSize=" + context.worldSize());
    }
  }

  /// Throws unless links can do something: what the endpoint has failed with, if it has.
  private void checkOpen() {
    if (closed) {
      throw new IllegalStateException("transport is closed: name=" + name());
    }
    TransportException failure = engine.failure();
    if (failure != null) {
      throw failure;
    }
  }

  private void add(FabricLink link) {
    List<FabricLink> open = new ArrayList<>(List.of(links));
    open.removeIf(known -> known.closed);
    open.add(link);
    links = open.toArray(FabricLink[]::new);
  }

  private String key(int communicator, int from, int to) {
    return name() + "/" + communicator + "/" + from + "-" + to;
  }

  @Override
  public Optional<PeerAccess> peerAccess(List<Integer> ranks) {
    return Optional.empty();
  }

  @Override
  public int poll() {
    if (closed || !engine.tryHold()) {
      return 0;
    }
    try {
      int work = closed ? 0 : engine.progress() + advanceAll();
      engine.flush();
      return work;
    } finally {
      engine.letGo();
    }
  }

  private int advanceAll() {
    int work = 0;
    for (FabricLink link : links) {
      work += link.advance();
    }
    return work;
  }

  @Override
  public TransportCounters counters() {
    engine.hold();
    try {
      return engine.traffic().counters();
    } finally {
      engine.letGo();
    }
  }

  /// Returns the engine, for tests.
  Engine engine() {
    return engine;
  }

  /// Ends what there is to end. Where libfabric does not return from a call of another thread's,
  /// that is left to the time when it does, with all memory that it may touch.
  @Override
  public void close() {
    if (!closing.compareAndSet(false, true)) {
      return;
    }
    try {
      leave();
      keeper.close();
    } catch (TransportException stuck) {
      closed = true;
      LOG.warn("transport is left as it is: rank={}", engine.rank(), stuck);
      keeper.finish(
          () -> {
            leave();
            keeper.close();
            free();
          });
      return;
    }
    // libfabric may take its time: up to 2.4 EFA's provider waits for what is on its way out, to
    // peers that are gone too.
    Duration patience = context.liveness().multipliedBy(2);
    if (!keeper.ends(this::free, patience)) {
      LOG.warn(
          "libfabric does not close an endpoint: transport={}, rank={}, waitedMillis={} (its memory"
              + " is given back when it does, or when this process ends)",
          name(),
          engine.rank(),
          patience.toMillis());
    }
  }

  private void leave() {
    engine.hold();
    try {
      closed = true;
      // Who has heard that its peer left need not tell it the same.
      engine.progress();
      advanceAll();
    } finally {
      engine.letGo();
    }
    for (FabricLink link : links) {
      link.close();
    }
    sayFarewell();
  }

  private void free() {
    engine.hold();
    try (Scope freeing = new Scope()) {
      freeing.own(found, Discovery::close);
      freeing.own(engine, Engine::letGo);
      freeing.own(engine, Engine::close);
    }
  }

  /// Keeps the wire going until what was said has gone and no peer needs this endpoint, for a
  /// while.
  private void sayFarewell() {
    long start = System.nanoTime();
    boolean said = false;
    boolean forgotten = false;
    while (!forgotten && System.nanoTime() - start < Engine.FAREWELL_NANOS) {
      engine.hold();
      try {
        engine.progress();
        if (!said && !engine.isBusy()) {
          said = true;
          engine.peers().sayBye();
        }
        forgotten = said && engine.peers().isForgotten() && !engine.isBusy();
      } finally {
        engine.letGo();
      }
      Thread.onSpinWait();
    }
  }
}
