package dev.lockstep.job;

import dev.lockstep.failure.CollectiveTimeoutException;
import dev.lockstep.failure.ConfigurationException;
import dev.lockstep.failure.LockstepException;
import dev.lockstep.failure.TransportException;
import dev.lockstep.memory.Scope;
import io.netty.bootstrap.Bootstrap;
import io.netty.channel.Channel;
import io.netty.channel.ChannelFuture;
import io.netty.channel.ChannelInitializer;
import io.netty.channel.ChannelOption;
import io.netty.channel.socket.nio.NioSocketChannel;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.jspecify.annotations.Nullable;

/// How a rank finds the store, takes its seat and waits for the others. The store may start after
/// the rank: it is tried again and again until the join timeout.
final class Joining {
  // A store that is not there yet is asked again after this, then after twice as long, and so on;
  // each rank takes half to all of it, by chance, so that thousands do not call in step.
  private static final long FIRST_PAUSE_MILLIS = 10;
  private static final long LONGEST_PAUSE_MILLIS = 250;

  /// How long a store that does not answer is waited for before it is called again.
  static final Duration ATTEMPT = Duration.ofSeconds(5);

  private static final int HANDSHAKE_VALUES = 0;

  private final String host;
  private final int port;
  private final TokenSource tokens;
  private final Message.Join join;
  private final boolean agentHostsStore;
  private final Duration timeout;
  private final Duration attempt;
  private final long start = System.nanoTime();
  private String lastTry = "not tried yet";

  Joining(
      String host,
      int port,
      TokenSource tokens,
      Message.Join join,
      boolean agentHostsStore,
      Duration timeout,
      Duration attempt) {
    this.host = host;
    this.port = port;
    this.tokens = tokens;
    this.join = join;
    this.agentHostsStore = agentHostsStore;
    this.timeout = timeout;
    this.attempt = attempt;
  }

  /// A rank that has its seat.
  record Seated(
      RankConnection connection,
      ControlThread thread,
      FailureCell failures,
      Message.Welcome welcome,
      InetAddress localAddress) {}

  /// All ranks have met.
  record Met(Seated seated, List<Message.Seat> seats) {}

  /// Blocks until all ranks have met.
  ///
  /// @throws LockstepException as [Job#join(JobConfig)] says
  Met run() {
    ControlThread thread = new ControlThread("lockstep-store-rank-" + join.rank());
    try {
      Seated seated = takeSeat(thread);
      return new Met(seated, awaitRoster(seated));
    } catch (RuntimeException | Error failure) {
      Scope.afterFailure(failure, thread::close);
      throw failure;
    }
  }

  private Duration remaining() {
    Duration left = timeout.minusNanos(System.nanoTime() - start);
    return left.isNegative() ? Duration.ZERO : left;
  }

  private Seated takeSeat(ControlThread thread) {
    long pauseMillis = FIRST_PAUSE_MILLIS;
    while (true) {
      Optional<Bytes> token = tokens.read();
      if (token.isPresent()) {
        Optional<Seated> seated = attempt(thread, token.get());
        if (seated.isPresent()) {
          return seated.get();
        }
      } else {
        lastTry = "rank 0 has not written the job's token yet";
      }
      if (remaining().isZero()) {
        throw storeIsMissing();
      }
      pause(ThreadLocalRandom.current().nextLong(pauseMillis / 2, pauseMillis + 1));
      pauseMillis = Math.min(2 * pauseMillis, LONGEST_PAUSE_MILLIS);
    }
  }

  private static void pause(long millis) {
    try {
      Thread.sleep(millis);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new TransportException("store", "interrupted while joining the job", e);
    }
  }

  private String endpoint() {
    return host + ":" + port;
  }

  private LockstepException storeIsMissing() {
    String message =
        "store cannot be reached: endpoint=%s, rank=%d, waitedMillis=%d, lastTry=%s"
            .formatted(endpoint(), join.rank(), timeout.toMillis(), lastTry);
    if (agentHostsStore) {
      return new TransportException(
          endpoint(), message + " (is the agent of node 0 running?)", null);
    }
    return new CollectiveTimeoutException(
        "join",
        join.rank(),
        0,
        System.nanoTime() - start,
        timeout.toNanos(),
        List.of(0),
        message + ", missingRanks=[0] (rank 0 hosts the store)",
        null);
  }

  /// Tries once; empty if it is worth another try.
  private Optional<Seated> attempt(ControlThread thread, Bytes token) {
    FailureCell failures = new FailureCell();
    RankConnection connection = new RankConnection(join, token, endpoint(), failures);
    Duration patience = remaining().compareTo(attempt) < 0 ? remaining() : attempt;
    ChannelFuture connected = connect(thread, connection, patience);
    if (!connected.isSuccess()) {
      lastTry = String.valueOf(connected.cause() == null ? "timeout" : connected.cause());
      return Optional.empty();
    }
    Channel channel = connected.channel();
    try {
      Message.Welcome welcome = awaitWelcome(connection, patience);
      InetAddress local = ((InetSocketAddress) channel.localAddress()).getAddress();
      return Optional.of(new Seated(connection, thread, failures, welcome, local));
    } catch (ExecutionException e) {
      return again(e, connection.storeCloses());
    } catch (TimeoutException _) {
      lastTry = "store does not answer";
      var _ = channel.close();
      return Optional.empty();
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new TransportException(endpoint(), "interrupted while joining the job", e);
    }
  }

  /// Waits for the seat. A store that has been asked for it and stands still would give it to a
  /// rank that has hung up, and then take that for dead: that rank waits on.
  private Message.Welcome awaitWelcome(RankConnection connection, Duration patience)
      throws ExecutionException, InterruptedException, TimeoutException {
    CompletableFuture<Message.Welcome> welcome = connection.welcome();
    try {
      return welcome.get(Math.max(1, patience.toMillis()), TimeUnit.MILLISECONDS);
    } catch (TimeoutException late) {
      if (connection.hangUpUnlessAsked()) {
        throw late;
      }
      return welcome.get(Math.max(1, remaining().toMillis()), TimeUnit.MILLISECONDS);
    }
  }

  private ChannelFuture connect(ControlThread thread, RankConnection handler, Duration patience) {
    return new Bootstrap()
        .group(thread.group())
        .channel(NioSocketChannel.class)
        .option(ChannelOption.TCP_NODELAY, true)
        .option(ChannelOption.CONNECT_TIMEOUT_MILLIS, (int) Math.max(1, patience.toMillis()))
        .handler(
            new ChannelInitializer<>() {
              @Override
              protected void initChannel(Channel channel) {
                MessageCodec codec = new MessageCodec(HANDSHAKE_VALUES, handler::heard);
                channel.pipeline().addLast(codec, handler);
              }
            })
        .connect(new InetSocketAddress(host, port))
        .awaitUninterruptibly();
  }

  private Optional<Seated> again(ExecutionException e, boolean storeCloses) {
    switch (e.getCause()) {
      case ConfigurationException refused -> {
        boolean isStale = refused.key().equals(JobVariables.TOKEN_FILE) && tokens.mayBeStale();
        if (!isStale && !storeCloses) {
          throw new ConfigurationException(
              refused.key(), refused.value(), String.valueOf(refused.getMessage()), refused);
        }
        lastTry = String.valueOf(refused.getMessage());
      }
      case TransportException lost -> lastTry = lost.toString();
      case null, default -> throw broken(e.getCause());
    }
    return Optional.empty();
  }

  /// What goes wrong in this process would do so again.
  private IllegalStateException broken(@Nullable Throwable cause) {
    return new IllegalStateException(
        "rank cannot join the job: endpoint=%s, rank=%d, cause=%s"
            .formatted(endpoint(), join.rank(), cause),
        cause);
  }

  private List<Message.Seat> awaitRoster(Seated seated) {
    RankConnection connection = seated.connection();
    Waits.Wait wait = new Waits.Wait("join", join.rank(), join.worldSize(), remaining());
    try {
      return Waits.awaitInterruptibly(
              connection.roster(), wait, () -> RemoteStore.withdraw(connection, 0))
          .seats();
    } catch (InterruptedException e) {
      TransportException ended =
          new TransportException(endpoint(), "interrupted while joining the job", e);
      leaveAfter(ended, connection);
      Thread.currentThread().interrupt();
      throw ended;
    } catch (CollectiveTimeoutException late) {
      // The others need not wait for their own timeouts.
      FailureRecord record = FailureRecords.of(join.rank(), join.seat().host(), late, "join");
      Scope.afterFailure(late, () -> connection.send(new Message.Report(record)));
      leaveAfter(late, connection);
      throw late;
    } catch (RuntimeException | Error failure) {
      leaveAfter(failure, connection);
      throw failure;
    }
  }

  private static void leaveAfter(Throwable failure, RankConnection connection) {
    Scope.afterFailure(failure, () -> connection.leave(Duration.ofMillis(500)));
  }
}
