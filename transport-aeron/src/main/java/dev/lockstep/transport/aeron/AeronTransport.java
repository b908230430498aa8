package dev.lockstep.transport.aeron;

import dev.lockstep.failure.LockstepException;
import dev.lockstep.failure.TransportException;
import dev.lockstep.interrupt.Pause;
import dev.lockstep.memory.Scope;
import dev.lockstep.transport.Link;
import dev.lockstep.transport.PeerAccess;
import dev.lockstep.transport.Transport;
import dev.lockstep.transport.TransportContext;
import dev.lockstep.transport.TransportCounters;
import io.aeron.Aeron;
import io.aeron.ChannelUriStringBuilder;
import io.aeron.ExclusivePublication;
import io.aeron.Subscription;
import io.aeron.exceptions.AeronException;
import java.nio.charset.StandardCharsets;
import java.security.SecureRandom;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/// One rank's end of Aeron. The receiver of a link makes the subscription, draws a session at
/// random and publishes channel, stream and session in the address book, without waiting for the
/// sender. The sender publishes in that session, and the receiver takes its frames alone; where a
/// log is at its last position, both go on in the next one of the link's two [Sessions].
final class AeronTransport implements Transport {
  private static final Logger LOG = LoggerFactory.getLogger(AeronTransport.class);
  private static final long POLL_NANOS = 100_000;
  private static final long OTHERS_NANOS = 250_000_000;

  private final TransportContext context;
  private final Medium medium;
  private final AeronEngine engine;
  private volatile AeronLink[] links = {};

  /// What links carried that were closed: messages and bytes sent, then received.
  private final long[] carried = new long[4];

  private final SecureRandom sessions = new SecureRandom();

  /// Which of their transports those are that this one sends to.
  private final Map<Integer, Integer> lives = new ConcurrentHashMap<>();

  private final AtomicInteger nextStream = new AtomicInteger();
  private volatile boolean closed;

  /// How many terms the first log of each link has left.
  private final long terms;

  private AeronTransport(TransportContext context, Medium medium, AeronEngine engine, long terms) {
    this.context = context;
    this.medium = medium;
    this.engine = engine;
    this.terms = terms;
  }

  static AeronTransport open(TransportContext context, Medium medium) {
    return open(context, medium, Sessions.TERMS);
  }

  /// As [#open(TransportContext, Medium)].
  ///
  /// @param terms how many terms the first log of each link to send on has left
  static AeronTransport open(TransportContext context, Medium medium, long terms) {
    try {
      return new AeronTransport(
          context,
          medium,
          medium.isUdp() ? RankDriver.open(context, medium) : HostDriver.open(context, medium),
          terms);
    } catch (LockstepException typed) {
      throw typed;
    } catch (RuntimeException e) {
      throw new TransportException(
          context.directory().toString(),
          "aeron cannot be opened: transport=%s, rank=%d, directory=%s, cause=%s"
              .formatted(medium.name(), context.rank(), context.directory(), e.getMessage()),
          e);
    }
  }

  /// Returns the channel by which a peer reaches a subscription: with UDP the kernel has chosen its
  /// port.
  private String reachable(Subscription subscription, Deadline deadline) {
    return medium.isUdp()
        ? Medium.sendChannel(
            await(
                subscription::resolvedEndpoint,
                deadline,
                () -> "udp endpoint did not open: address=" + medium.bindAddress()))
        : subscription.channel();
  }

  /// Stream ids of this rank: the ranks of a host share the driver, and with IPC the ids.
  private int streamOf(int number) {
    return context.rank() + number * context.worldSize() + 1;
  }

  @Override
  public String name() {
    return medium.name();
  }

  @Override
  public Link openReceive(int peer, int communicator, Duration timeout) {
    Medium.Way way = wayTo(peer);
    DriverFolder.requireRoomForLink(engine.folder(), way);
    int stream = streamOf(nextStream.getAndIncrement());
    int session = sessions.nextInt();
    List<Subscription> opened = new ArrayList<>();
    Deadline deadline = Deadline.in(timeout);
    try {
      opened.add(subscribe(stream, session, deadline));
      // Over IPC one takes every session.
      if (medium.isUdp()) {
        opened.add(subscribe(stream, Sessions.number(session, 1), deadline));
      }
      String reached = reachable(opened.getFirst(), deadline);
      String address =
          "%s %s %s %s %s".formatted(stream, session, engine.life(), way.mtuBytes(), reached);
      context.addresses().publish(key(communicator, peer, context.rank()), bytes(address));
      AeronReceiveLink link =
          new AeronReceiveLink(
              peer, communicator, List.of(opened.getFirst(), opened.getLast()), session);
      add(link);
      return link;
    } catch (RuntimeException | Error failure) {
      opened.forEach(each -> Scope.afterFailure(failure, each::close));
      throw explained(peer, communicator, failure);
    }
  }

  @Override
  public Link openSend(int peer, int communicator, Duration timeout) {
    Medium.Way way = wayTo(peer);
    DriverFolder.requireRoomForLink(engine.folder(), way);
    String key = key(communicator, context.rank(), peer);
    Deadline deadline = Deadline.in(timeout);
    byte[] published = context.addresses().lookup(key, timeout);
    String[] address = text(published).split(" ", 5);
    lives.put(peer, Integer.parseInt(address[2]));
    ChannelUriStringBuilder channel =
        new ChannelUriStringBuilder(address[4])
            .mtu(Math.min(way.mtuBytes(), Integer.parseInt(address[3])))
            .termLength(way.termBytes());
    Sessions following =
        new Sessions(
            engine.client(), channel, Integer.parseInt(address[0]), Integer.parseInt(address[1]));
    try {
      ExclusivePublication publication = publish(following, way, peer, communicator, deadline);
      try {
        await(
            () -> publication.isConnected() ? publication : null,
            deadline,
            () -> notConnected(peer, communicator));
      } catch (RuntimeException | Error failure) {
        Scope.afterFailure(failure, publication::close);
        throw failure;
      }
      AeronSendLink link = new AeronSendLink(peer, communicator, publication, following, engine);
      add(link);
      context.addresses().withdraw(key); // the other end of a link is opened once
      return link;
    } catch (RuntimeException | Error failure) {
      throw explained(peer, communicator, failure);
    }
  }

  private synchronized void add(AeronLink link) {
    List<AeronLink> open = new ArrayList<>();
    for (AeronLink known : links) {
      if (known.isClosed()) {
        count(known, carried);
      } else {
        open.add(known);
      }
    }
    open.add(link);
    links = open.toArray(AeronLink[]::new);
  }

  private Subscription subscribe(int stream, int session, Deadline deadline) {
    Aeron client = engine.client();
    long id = client.asyncAddSubscription(medium.receiveChannel(stream, session), stream);
    try {
      return await(
          () -> client.getSubscription(id),
          deadline,
          () -> "driver did not answer: transport=" + medium.name());
    } catch (TransportException late) {
      Scope.afterFailure(late, () -> client.asyncRemoveSubscription(id));
      throw late;
    }
  }

  private ExclusivePublication publish(
      Sessions following, Medium.Way way, int peer, int communicator, Deadline deadline) {
    following.open((Sessions.TERMS - terms) * way.termBytes());
    try {
      return await(following::publication, deadline, () -> notConnected(peer, communicator));
    } catch (TransportException late) {
      Scope.afterFailure(late, following::abandon);
      throw late;
    }
  }

  private Medium.Way wayTo(int peer) {
    List<String> hosts = context.hosts();
    boolean ofThisHost = hosts.get(peer).equals(hosts.get(context.rank()));
    return ofThisHost ? medium.toHost() : medium.toNetwork();
  }

  private static String key(int communicator, int from, int to) {
    return "aeron/" + communicator + "/" + from + "-" + to;
  }

  private String notConnected(int peer, int communicator) {
    return "link did not connect in time: transport=%s, rank=%d, peer=%d, communicator=%d"
        .formatted(medium.name(), context.rank(), peer, communicator);
  }

  /// Returns Aeron's failures in our words, and others as they are; an error is thrown.
  private RuntimeException explained(int peer, int communicator, Throwable failure) {
    return switch (failure) {
      case Error error -> throw error;
      case AeronException ofAeron -> failed(peer, communicator, ofAeron);
      case RuntimeException other -> other;
      default -> new IllegalStateException(failure);
    };
  }

  private TransportException failed(int peer, int communicator, AeronException cause) {
    return new TransportException(
        "rank " + peer,
        "link cannot be opened: transport=%s, rank=%d, peer=%d, communicator=%d, cause=%s"
            .formatted(medium.name(), context.rank(), peer, communicator, cause.getMessage()),
        cause);
  }

  /// When a link must be open, however many steps that takes.
  ///
  /// @param timeout how long that was from its start
  private record Deadline(long nanos, Duration timeout) {
    static Deadline in(Duration timeout) {
      return new Deadline(System.nanoTime() + timeout.toNanos(), timeout);
    }

    boolean isOver() {
      return System.nanoTime() - nanos > 0;
    }
  }

  private <T> T await(Supplier<@Nullable T> probe, Deadline deadline, Supplier<String> complaint) {
    try (Pause pause = new Pause()) {
      while (true) {
        T found = probe.get();
        if (found != null) {
          return found;
        }
        if (deadline.isOver() || engine.client().isClosed()) {
          throw new TransportException(
              engine.folder().toString(),
              complaint.get() + ", timeoutMillis=" + deadline.timeout().toMillis(),
              null);
        }
        if (engine.turn() == 0) {
          pause.park(POLL_NANOS);
        }
      }
    }
  }

  @Override
  public Optional<PeerAccess> peerAccess(List<Integer> ranks) {
    return Optional.empty();
  }

  @Override
  public int poll() {
    int work = engine.turn();
    for (AeronLink link : links) {
      work += link.poll();
    }
    return work;
  }

  @Override
  public synchronized TransportCounters counters() {
    long[] sum = carried.clone();
    for (AeronLink link : links) {
      count(link, sum);
    }
    return new TransportCounters(sum[0], sum[1], sum[2], sum[3], 0);
  }

  private static void count(AeronLink link, long[] sum) {
    int at = link.sends() ? 0 : 2;
    sum[at] += link.messages();
    sum[at + 1] += link.payloadBytes();
  }

  @Override
  public void close() {
    if (closed) {
      return;
    }
    closed = true;
    boolean interrupted = Thread.interrupted(); // the others are waited for all the same
    try (Scope closing = new Scope()) { // the last in it goes first
      closing.own(engine, AeronEngine::close);
      if (engine.ownsDriver()) {
        closing.own(this, AeronTransport::awaitOthers);
      }
      closing.own(this, AeronTransport::sayLeft);
      closing.own(engine, AeronEngine::closeClient);
      List.of(links).forEach(link -> closing.own(link, AeronLink::close));
    } finally {
      if (interrupted) {
        Thread.currentThread().interrupt();
      }
    }
  }

  private void sayLeft() {
    try {
      context.addresses().publish(leftKey(context.rank(), engine.life()), new byte[0]);
    } catch (LockstepException gone) {
      LOG.debug("the job's store is gone: {}", gone.getMessage());
    }
  }

  /// The driver goes last: what a neighbour or a peer has not read yet may still need it. Ranks
  /// leave a job together, after a barrier, so a short wait does; whoever stays longer has nothing
  /// left to read.
  private void awaitOthers() {
    long deadline = System.nanoTime() + OTHERS_NANOS;
    for (int rank = 0; rank < context.worldSize(); rank++) {
      if (mayNeedDriver(rank)) {
        try {
          Duration left = Duration.ofNanos(Math.max(0, deadline - System.nanoTime()));
          context.addresses().lookup(leftKey(rank, lifeOf(rank)), left);
        } catch (LockstepException gone) {
          LOG.debug("rank {} did not leave aeron: {}", rank, gone.getMessage());
          return;
        }
      }
    }
  }

  /// With a driver of its own a rank serves those that it sends to, with the host's all.
  private boolean mayNeedDriver(int rank) {
    return rank != context.rank() && (!medium.isUdp() || lives.containsKey(rank));
  }

  /// Ranks that share a driver have opened as many transports before this one.
  private int lifeOf(int rank) {
    return lives.getOrDefault(rank, engine.life());
  }

  private String leftKey(int rank, int whichLife) {
    return "aeron/left/" + medium.name() + "/" + rank + "/" + whichLife;
  }

  private static byte[] bytes(String text) {
    return text.getBytes(StandardCharsets.US_ASCII);
  }

  private static String text(byte[] bytes) {
    return new String(bytes, StandardCharsets.US_ASCII);
  }
}
