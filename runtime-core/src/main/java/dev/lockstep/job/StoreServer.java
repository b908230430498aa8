package dev.lockstep.job;

import dev.lockstep.failure.ConfigurationException;
import io.netty.bootstrap.ServerBootstrap;
import io.netty.channel.Channel;
import io.netty.channel.ChannelFuture;
import io.netty.channel.ChannelInitializer;
import io.netty.channel.ChannelOption;
import io.netty.channel.EventLoop;
import io.netty.channel.WriteBufferWaterMark;
import io.netty.channel.socket.nio.NioServerSocketChannel;
import java.net.InetSocketAddress;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/// The job's store: where its ranks meet, keep each other's addresses and learn of the first
/// failure. One per job, in the launcher's agent of node 0 or in rank 0. Thread-safe.
///
/// A rank whose connection closes without a goodbye is dead at once; one that is silent is dead
/// within the liveness time. Nobody is heard who has not proved to know the job's token.
public final class StoreServer implements AutoCloseable {
  private static final Logger LOG = LoggerFactory.getLogger(StoreServer.class);
  private static final int BACKLOG = 1024;

  private final StoreOptions options;
  private final Bytes token;
  private final long jobId = LocalMembership.newJobId();
  private final FailureCell failures = new FailureCell();
  private final StoreTable table;
  private final Members members;
  private final Strangers strangers;
  private final ControlThread thread;
  private final List<Channel> listeners = new ArrayList<>();
  private final CountDownLatch over = new CountDownLatch(1);
  private volatile boolean closing;

  private StoreServer(StoreOptions options, byte[] token) {
    if (token.length < JobToken.SHORTEST_BYTES) {
      throw new ConfigurationException(
          JobVariables.TOKEN_FILE,
          "",
          "token is too short: bytes=%d, shortestBytes=%d"
              .formatted(token.length, JobToken.SHORTEST_BYTES));
    }
    this.options = options;
    this.token = new Bytes(token.clone());
    this.table = new StoreTable(options.maxValueBytes(), options.maxStoreBytes());
    this.members = new Members(options, failures, over::countDown);
    this.strangers = new Strangers(options.maxStrangers());
    this.thread = new ControlThread("lockstep-store-server");
    listen();
    EventLoop loop = thread.group().next();
    failures.onFailure(failure -> loop.execute(() -> tellFailure(failure)));
    long interval = members.pulse().intervalNanos();
    var _ = loop.scheduleAtFixedRate(members::tick, interval, interval, TimeUnit.NANOSECONDS);
  }

  /// Starts the store of a job, with the limits of [StoreOptions#of].
  ///
  /// @param bindAddress address to listen at; loopback unless the job spans nodes
  /// @param port port, or 0 for any
  /// @param token the job's secret, 16 bytes or more
  /// @throws ConfigurationException if the port cannot be had
  public static StoreServer start(
      String bindAddress, int port, byte[] token, int worldSize, Duration liveness) {
    return start(StoreOptions.of(bindAddress, port, worldSize, liveness), token);
  }

  /// Starts the store of a job.
  ///
  /// @param token the job's secret, 16 bytes or more
  /// @throws ConfigurationException if the port cannot be had
  public static StoreServer start(StoreOptions options, byte[] token) {
    return new StoreServer(options, token);
  }

  /// Starts the store of a job whose secret is in a file, as its ranks read it.
  ///
  /// @param tokenFile holds 16 bytes or more, and is nobody else's to read
  /// @throws ConfigurationException if the port or the token cannot be had
  public static StoreServer start(StoreOptions options, Path tokenFile) {
    return new StoreServer(options, JobToken.read(tokenFile).array());
  }

  /// Listens at the given address, and at the loopback that the ranks of this node dial: they must
  /// not lose the store when the node loses its link.
  private void listen() {
    InetSocketAddress address = new InetSocketAddress(options.bindAddress(), options.port());
    listeners.add(listen(address));
    if (!address.isUnresolved() && address.getAddress().isAnyLocalAddress()) {
      LOG.info(
          "store listens on all addresses of this node, as its name is none of them here:"
              + " address={}, port={}",
          options.bindAddress(),
          port());
    }
    if (!address.isUnresolved()
        && !address.getAddress().isAnyLocalAddress()
        && !address.getAddress().getHostAddress().equals(NodeAddress.loopback())) {
      listeners.add(listen(new InetSocketAddress(NodeAddress.loopback(), port())));
    }
  }

  private Channel listen(InetSocketAddress address) {
    ChannelFuture bound =
        new ServerBootstrap()
            .group(thread.group())
            .channel(NioServerSocketChannel.class)
            .option(ChannelOption.SO_BACKLOG, BACKLOG)
            .option(ChannelOption.SO_REUSEADDR, true)
            .childOption(ChannelOption.TCP_NODELAY, true)
            .childOption(ChannelOption.WRITE_BUFFER_WATER_MARK, waterMark())
            .childHandler(
                new ChannelInitializer<>() {
                  @Override
                  protected void initChannel(Channel channel) {
                    accept(channel);
                  }
                })
            .bind(address)
            .awaitUninterruptibly();
    if (bound.isSuccess()) {
      return bound.channel();
    }
    thread.close();
    throw new ConfigurationException(
        JobVariables.STORE_PORT,
        Integer.toString(address.getPort()),
        "store cannot listen: address=%s, port=%d, reason=%s (set %s to a free port, and MASTER_ADDR to an address of this node)"
            .formatted(
                address.getHostString(),
                address.getPort(),
                bound.cause().getMessage(),
                JobVariables.STORE_PORT),
        bound.cause());
  }

  /// Room for two of the largest values; a rank that lets more pile up does not read.
  private WriteBufferWaterMark waterMark() {
    int low = options.maxValueBytes();
    return new WriteBufferWaterMark(low, (int) Math.min(2L * low + (1 << 20), Integer.MAX_VALUE));
  }

  private void accept(Channel channel) {
    ServerConnection connection = new ServerConnection(this, token);
    MessageCodec codec = new MessageCodec(options.maxValueBytes(), connection::heard);
    channel.pipeline().addLast(codec, connection);
  }

  private void tellFailure(FailureRecord failure) {
    table.fail(failure);
    members.broadcast(new Message.Failed(failure));
    over.countDown();
  }

  /// Returns the port that it listens at.
  public int port() {
    return ((InetSocketAddress) listeners.getFirst().localAddress()).getPort();
  }

  /// Returns the job's number.
  public long jobId() {
    return jobId;
  }

  /// Calls the listener with the job's first failure, at once if there is one already. It runs on
  /// the store's own thread and must not block.
  public void onFailure(Consumer<FailureRecord> failureListener) {
    failures.onFailure(failureListener);
  }

  /// Returns the job's first failure, if there is one.
  public Optional<FailureRecord> failure() {
    return failures.first();
  }

  /// Fails the job and tells every rank, unless it has failed before.
  public void fail(FailureRecord failure) {
    FailureRecord known = FailureRecords.checked(failure, options.worldSize());
    failures.record(FailureRecords.bounded(known));
  }

  /// Waits until every rank has said goodbye or is lost, and returns whether that is so. An
  /// interrupt does not end the wait.
  public boolean awaitFarewells(Duration patience) {
    return Waits.await(members.everyoneGone(), patience);
  }

  /// Waits until every rank has left or the job has failed; returns whether it has not failed.
  boolean awaitFarewellsOrFailure(Duration patience) {
    var _ = Waits.await(over, patience);
    return failure().isEmpty();
  }

  /// Closes the store and its connections; idempotent. Ranks that are still there may go on, but
  /// have no store any more.
  @Override
  public void close() {
    if (closing) {
      return;
    }
    var _ =
        thread
            .group()
            .next()
            .submit(
                () -> {
                  closing = true;
                  members.broadcast(new Message.Closing());
                  members.connections().forEach(ServerConnection::close);
                });
    for (Channel listener : listeners) {
      var _ = listener.close();
    }
    thread.close();
  }

  StoreOptions options() {
    return options;
  }

  StoreTable table() {
    return table;
  }

  Members members() {
    return members;
  }

  Strangers strangers() {
    return strangers;
  }

  boolean isClosing() {
    return closing;
  }
}
