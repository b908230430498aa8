package dev.lockstep.transport.aeron;

import dev.lockstep.failure.LockstepException;
import dev.lockstep.failure.TransportException;
import dev.lockstep.memory.Registration;
import dev.lockstep.transport.Link;
import dev.lockstep.transport.PeerAccess;
import dev.lockstep.transport.Transport;
import dev.lockstep.transport.TransportContext;
import dev.lockstep.transport.TransportCounters;
import io.aeron.Aeron;
import io.aeron.ChannelUriStringBuilder;
import io.aeron.ExclusivePublication;
import io.aeron.Subscription;
import io.aeron.driver.MediaDriver;
import io.aeron.exceptions.AeronException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.security.SecureRandom;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.locks.LockSupport;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/// One rank's end of Aeron. The receiver of a link makes the subscription, draws a session at
/// random and publishes channel, stream and session in the address book, without waiting for the
/// sender. The sender publishes in that session, and the receiver takes its frames alone.
final class AeronTransport implements Transport {
  private static final Logger LOG = LoggerFactory.getLogger(AeronTransport.class);
  private static final long POLL_NANOS = 200_000;
  private static final long OTHERS_NANOS = 250_000_000;

  private final TransportContext context;
  private final Medium medium;
  private final Path folder;
  private final @Nullable MediaDriver driver;
  private final Aeron aeron;
  private final List<AeronLink> links = new CopyOnWriteArrayList<>();
  private final SecureRandom sessions = new SecureRandom();
  private int nextStream;
  private volatile boolean closed;

  private AeronTransport(
      TransportContext context,
      Medium medium,
      Path folder,
      @Nullable MediaDriver driver,
      Aeron aeron) {
    this.context = context;
    this.medium = medium;
    this.folder = folder;
    this.driver = driver;
    this.aeron = aeron;
  }

  static AeronTransport open(TransportContext context, Medium medium) {
    Path folder = DriverFolder.in(context.directory());
    MediaDriver driver =
        context.localLeader() ? DriverFolder.launch(context.directory(), medium) : null;
    Aeron aeron = null;
    try {
      aeron =
          Aeron.connect(
              new Aeron.Context()
                  .aeronDirectoryName(folder.toString())
                  .useConductorAgentInvoker(false)
                  .preTouchMappedMemory(true)
                  .errorHandler(error -> LOG.debug("aeron client", error)));
      return new AeronTransport(context, medium, folder, driver, aeron);
    } catch (RuntimeException e) {
      closeQuietly(aeron);
      closeQuietly(driver);
      if (e instanceof LockstepException typed) {
        throw typed;
      }
      throw new TransportException(
          folder.toString(),
          "aeron cannot be opened: transport=%s, rank=%d, directory=%s, cause=%s"
              .formatted(medium.name(), context.rank(), folder, e.getMessage()),
          e);
    }
  }

  /// Returns the channel by which a peer reaches a subscription: with UDP the kernel has chosen its
  /// port.
  private String reachable(Subscription subscription, Duration timeout) {
    return medium.isUdp()
        ? await(
            subscription::tryResolveChannelEndpointPort,
            timeout,
            () -> "udp endpoint did not open: address=" + medium.bindAddress())
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
    DriverFolder.requireRoomForLink(folder, medium);
    int stream = streamOf(nextStream++);
    int session = sessions.nextInt();
    try {
      Subscription subscription = aeron.addSubscription(medium.receiveChannel(), stream);
      String address = stream + " " + session + " " + reachable(subscription, timeout);
      context.addresses().publish(key(communicator, peer, context.rank()), bytes(address));
      AeronReceiveLink link =
          new AeronReceiveLink(peer, communicator, subscription, session, medium);
      links.add(link);
      return link;
    } catch (AeronException e) {
      throw failed(peer, communicator, e);
    }
  }

  @Override
  public Link openSend(int peer, int communicator, Duration timeout) {
    DriverFolder.requireRoomForLink(folder, medium);
    byte[] published = context.addresses().lookup(key(communicator, context.rank(), peer), timeout);
    String[] address = text(published).split(" ", 3);
    try {
      ExclusivePublication publication =
          aeron.addExclusivePublication(
              sendChannel(address[2], Integer.parseInt(address[1])), Integer.parseInt(address[0]));
      await(
          () -> publication.isConnected() ? publication : null,
          timeout,
          () -> notConnected(peer, communicator));
      AeronSendLink link = new AeronSendLink(peer, communicator, publication, medium);
      links.add(link);
      return link;
    } catch (AeronException e) {
      throw failed(peer, communicator, e);
    }
  }

  private String sendChannel(String published, int session) {
    return new ChannelUriStringBuilder(published)
        .sessionId(session)
        .mtu(medium.mtuBytes())
        .termLength(Medium.TERM_BYTES)
        .build();
  }

  private static String key(int communicator, int from, int to) {
    return "aeron/" + communicator + "/" + from + "-" + to;
  }

  private String notConnected(int peer, int communicator) {
    return "link did not connect in time: transport=%s, rank=%d, peer=%d, communicator=%d"
        .formatted(medium.name(), context.rank(), peer, communicator);
  }

  private TransportException failed(int peer, int communicator, AeronException cause) {
    return new TransportException(
        "rank " + peer,
        "link cannot be opened: transport=%s, rank=%d, peer=%d, communicator=%d, cause=%s"
            .formatted(medium.name(), context.rank(), peer, communicator, cause.getMessage()),
        cause);
  }

  private <T> T await(Supplier<@Nullable T> probe, Duration timeout, Supplier<String> complaint) {
    long deadline = System.nanoTime() + timeout.toNanos();
    while (true) {
      T found = probe.get();
      if (found != null) {
        return found;
      }
      if (System.nanoTime() > deadline || aeron.isClosed()) {
        throw new TransportException(
            folder.toString(), complaint.get() + ", timeoutMillis=" + timeout.toMillis(), null);
      }
      LockSupport.parkNanos(POLL_NANOS);
    }
  }

  @Override
  public void register(Registration registration) {}

  @Override
  public void deregister(Registration registration) {}

  @Override
  public Optional<PeerAccess> peerAccess() {
    return Optional.empty();
  }

  @Override
  public int poll() {
    int work = 0;
    for (int i = 0; i < links.size(); i++) {
      work += links.get(i).poll();
    }
    return work;
  }

  @Override
  public TransportCounters counters() {
    long[] sum = new long[4];
    for (AeronLink link : links) {
      int at = link.sends() ? 0 : 2;
      sum[at] += link.messages();
      sum[at + 1] += link.payloadBytes();
    }
    return new TransportCounters(sum[0], sum[1], sum[2], sum[3], 0);
  }

  @Override
  public void close() {
    if (closed) {
      return;
    }
    closed = true;
    links.forEach(AeronLink::close);
    closeQuietly(aeron);
    sayLeft();
    if (driver != null) {
      awaitOthers();
      closeQuietly(driver);
    }
  }

  private void sayLeft() {
    try {
      context.addresses().publish(leftKey(context.rank()), new byte[0]);
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
      if (rank != context.rank()) {
        try {
          Duration left = Duration.ofNanos(Math.max(0, deadline - System.nanoTime()));
          context.addresses().lookup(leftKey(rank), left);
        } catch (LockstepException gone) {
          LOG.debug("rank {} did not leave aeron: {}", rank, gone.getMessage());
          return;
        }
      }
    }
  }

  private static String leftKey(int rank) {
    return "aeron/left/" + rank;
  }

  private static void closeQuietly(@Nullable AutoCloseable resource) {
    if (resource != null) {
      try {
        resource.close();
      } catch (Exception e) {
        LOG.debug("closing aeron", e);
      }
    }
  }

  private static byte[] bytes(String text) {
    return text.getBytes(StandardCharsets.US_ASCII);
  }

  private static String text(byte[] bytes) {
    return new String(bytes, StandardCharsets.US_ASCII);
  }
}
