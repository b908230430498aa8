package dev.lockstep.job;

import io.netty.buffer.ByteBuf;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelProgressiveFuture;
import io.netty.channel.ChannelProgressiveFutureListener;
import io.netty.channel.ChannelProgressivePromise;
import io.netty.channel.SimpleChannelInboundHandler;
import io.netty.handler.codec.DecoderException;
import io.netty.handler.codec.EncoderException;
import io.netty.util.ReferenceCountUtil;
import java.io.IOException;
import java.net.SocketAddress;
import java.security.SecureRandom;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/// One connection to the store, from its first byte: a stranger until it has proved that it knows
/// the token (Note *handshake* at [Message]) and taken its seat, then a rank. What a stranger may
/// not say, or a frame that is none, closes the connection and changes nothing else.
final class ServerConnection extends SimpleChannelInboundHandler<Message> {
  private static final Logger LOG = LoggerFactory.getLogger(ServerConnection.class);

  private enum State {
    GREETING,
    PROVING,
    JOINING,
    JOINED,
    CLOSED
  }

  private final StoreServer server;
  private final Bytes token;
  private final Map<Long, Pending> waits = new HashMap<>();
  private State state = State.GREETING;
  private Bytes rankNonce = new Bytes(new byte[0]);
  private Bytes storeNonce = new Bytes(new byte[0]);
  private @Nullable ChannelHandlerContext context;
  private @Nullable ScheduledFuture<?> deadline;
  private Members.@Nullable Member member;
  private @Nullable Throwable linkError;

  ServerConnection(StoreServer server, Bytes token) {
    super(Message.class);
    this.server = server;
    this.token = token;
  }

  @Override
  public void channelActive(ChannelHandlerContext active) {
    context = active;
    server.strangers().add(this);
    long millis = server.options().handshakeTimeout().toMillis();
    deadline = active.executor().schedule(this::giveUp, millis, TimeUnit.MILLISECONDS);
  }

  private void giveUp() {
    reject("handshake took too long");
  }

  /// Closes a connection that is no rank's.
  void reject(String reason) {
    ChannelHandlerContext open = context;
    if (open != null && state != State.JOINED && state != State.CLOSED) {
      LOG.info("connection refused: remote={}, reason={}", open.channel().remoteAddress(), reason);
      close();
    }
  }

  /// Closes the connection; what may still come on it is not heard.
  void close() {
    state = State.CLOSED;
    if (context != null) {
      var _ = context.close();
    }
  }

  void send(Message message) {
    write(message);
  }

  /// Sends a frame that is encoded already, and releases it once.
  void sendFrame(ByteBuf frame) {
    write(frame);
  }

  private void write(Object what) {
    ChannelHandlerContext open = context;
    if (open == null) {
      ReferenceCountUtil.release(what);
      return;
    }
    ChannelProgressivePromise sent = open.newProgressivePromise();
    sent.addListener(new Sending());
    var _ = open.writeAndFlush(what, sent);
  }

  /// What becomes of one message on its way. While more is queued than a rank may let pile up it is
  /// not read from, and its beats not heard: that it takes what is sent is then its sign of life.
  private final class Sending implements ChannelProgressiveFutureListener {
    @Override
    public void operationProgressed(ChannelProgressiveFuture future, long bytes, long all) {
      taken(future);
    }

    @Override
    public void operationComplete(ChannelProgressiveFuture future) {
      if (future.isSuccess()) {
        taken(future);
      } else if (future.cause() instanceof EncoderException failure) {
        hangUp(future.channel().remoteAddress(), failure);
      }
    }

    private void taken(ChannelProgressiveFuture future) {
      if (!future.channel().isWritable()) {
        heard();
      }
    }
  }

  /// Closes the connection because of what the store was to say: a rank's process may live on.
  private void hangUp(SocketAddress remote, EncoderException failure) {
    if (member != null && state == State.JOINED) {
      cutOff(member, failure);
    } else {
      LOG.warn("message cannot be sent: remote={}", remote, failure);
      close();
    }
  }

  void heard() {
    if (member != null) {
      server.members().heard(member);
    }
  }

  @Override
  protected void channelRead0(ChannelHandlerContext from, Message message) {
    switch (state) {
      case GREETING -> greet(message);
      case PROVING -> prove(message);
      case JOINING -> join(message);
      case JOINED -> {
        if (member != null) {
          serve(member, message);
        }
      }
      case CLOSED -> {}
    }
  }

  private void greet(Message message) {
    if (!(message instanceof Message.Hello(int version, Bytes nonce))
        || nonce.length() != Handshake.NONCE_BYTES) {
      reject("no greeting");
      return;
    }
    if (version != MessageCodec.VERSION) {
      String reason =
          "protocol versions differ: rankVersion=%d, storeVersion=%d (use one release on all nodes)"
              .formatted(version, MessageCodec.VERSION);
      refuse(new Message.Refused("version", Integer.toString(version), reason));
      return;
    }
    rankNonce = nonce;
    storeNonce = Handshake.nonce(new SecureRandom());
    state = State.PROVING;
    send(new Message.Challenge(MessageCodec.VERSION, storeNonce));
  }

  private void prove(Message message) {
    Bytes expected = Handshake.proof(token.array(), Handshake.RANK, rankNonce, storeNonce);
    if (!(message instanceof Message.Proof(Bytes mac)) || !mac.equals(expected)) {
      refuse(
          new Message.Refused(
              JobVariables.TOKEN_FILE,
              "",
              "token differs from the job's (give every rank the same %s)"
                  .formatted(JobVariables.TOKEN_FILE)));
      return;
    }
    state = State.JOINING;
    if (context != null) {
      context.pipeline().get(MessageCodec.class).trust();
    }
    Bytes proof = Handshake.proof(token.array(), Handshake.STORE, rankNonce, storeNonce);
    send(new Message.Accepted(proof));
  }

  private void join(Message message) {
    if (!(message instanceof Message.Join join)) {
      reject("no join: said=" + message.getClass().getSimpleName());
      return;
    }
    Message.Refused refusal = server.members().refusal(join);
    if (refusal != null) {
      if (server.members().hasLeft(join.rank()) && server.options().hostRank() >= 0) {
        // The next job's store comes where this one is, once the rank that has it leaves too.
        send(new Message.Closing());
      }
      refuse(refusal);
      return;
    }
    if (deadline != null) {
      deadline.cancel(false);
    }
    server.strangers().remove(this);
    state = State.JOINED;
    member = server.members().join(join, this);
    StoreOptions options = server.options();
    send(
        new Message.Welcome(
            server.jobId(),
            options.liveness().toNanos(),
            options.hostRank(),
            options.maxValueBytes()));
    server.failure().ifPresent(failure -> send(new Message.Failed(failure)));
    server.members().announceIfComplete();
  }

  private void refuse(Message.Refused refusal) {
    LOG.info(
        "rank refused: remote={}, reason={}",
        context == null ? "" : context.channel().remoteAddress(),
        refusal.reason());
    send(refusal);
    close();
  }

  private void serve(Members.Member from, Message message) {
    StoreTable table = server.table();
    switch (message) {
      case Message.Put(long id, String key, Bytes value) ->
          answer(
              id,
              () -> {
                table.set(key, value.array());
                return new Message.Done(id);
              });
      case Message.Peek(long id, String key) ->
          answer(
              id,
              () ->
                  table
                      .peek(key)
                      .<Message>map(value -> new Message.Value(id, new Bytes(value)))
                      .orElse(new Message.Absent(id)));
      case Message.Add(long id, String key, long delta) ->
          answer(id, () -> new Message.Sum(id, table.add(key, delta)));
      case Message.Delete(long id, String key) ->
          answer(
              id,
              () -> {
                table.delete(key);
                return new Message.Done(id);
              });
      case Message.Get(long id, String key) ->
          wait(id, table.await(key, from.rank()), value -> new Message.Value(id, value));
      case Message.Meet(long id, String name, int count) ->
          wait(id, table.barrier(name, count, from.rank()), _ -> new Message.Done(id));
      case Message.Withdraw(long id) -> withdraw(id);
      case Message.Report(FailureRecord failure) -> server.fail(failure);
      case Message.Beat(String activity) -> from.activity(activity);
      case Message.Goodbye() -> {
        server.members().left(from);
        send(new Message.Farewell());
      }
      case Message.Hello _,
          Message.Challenge _,
          Message.Proof _,
          Message.Accepted _,
          Message.Refused _,
          Message.Join _,
          Message.Welcome _,
          Message.Roster _,
          Message.Withdrawn _,
          Message.Value _,
          Message.Absent _,
          Message.Sum _,
          Message.Done _,
          Message.Denied _,
          Message.Failed _,
          Message.Farewell _,
          Message.Closing _ ->
          cutOff(
              from,
              new DecoderException(
                  "rank says what it may not: message=" + message.getClass().getSimpleName()));
    }
  }

  /// Closes a rank's connection for what it said, or the store could not say, and tells it so: its
  /// process may live on.
  private void cutOff(Members.Member from, Throwable reason) {
    LOG.warn("rank is cut off: rank={}", from.rank(), reason);
    state = State.CLOSED; // nor is it cut off again if it cannot be told
    server.members().cutOff(from, reason);
    server.failure().ifPresent(failure -> send(new Message.Failed(failure)));
    close();
  }

  private interface Request {
    Message run();
  }

  private interface Reply {
    Message of(Bytes value);
  }

  private void answer(long id, Request request) {
    Message answer;
    try {
      answer = request.run();
    } catch (IllegalArgumentException | ArithmeticException e) {
      answer = new Message.Denied(id, FailureRecords.cut(String.valueOf(e.getMessage()), 2000));
    }
    send(answer);
  }

  private void wait(long id, Pending pending, Reply reply) {
    waits.put(id, pending);
    // A wait that ends by the job's failure needs no answer: every rank is told of the failure.
    var _ =
        pending.thenAccept(
            value -> {
              waits.remove(id);
              send(reply.of(new Bytes(value)));
            });
  }

  private void withdraw(long id) {
    if (id == 0) {
      send(new Message.Withdrawn(0, server.members().joinedRanks()));
      return;
    }
    Pending pending = waits.remove(id);
    // One that waits no more has had its answer, which was sent before this.
    List<Integer> arrived = pending == null ? List.of() : server.table().withdraw(pending);
    send(new Message.Withdrawn(id, arrived));
  }

  @Override
  public void channelWritabilityChanged(ChannelHandlerContext changed) {
    // A rank that asks for more than it reads is not heard until it has read.
    changed.channel().config().setAutoRead(changed.channel().isWritable());
  }

  @Override
  public void exceptionCaught(ChannelHandlerContext failed, Throwable cause) {
    if (cause instanceof IOException && !isPeersDeath(cause)) {
      linkError = cause;
    } else if (member == null) {
      LOG.info(
          "connection refused: remote={}, reason={}",
          failed.channel().remoteAddress(),
          cause.toString());
    } else if (isPeersDeath(cause)) {
      LOG.debug("rank is gone: remote={}", failed.channel().remoteAddress(), cause);
    } else {
      cutOff(member, cause);
    }
    close();
  }

  /// Returns whether the peer's kernel answered, but its process was gone.
  static boolean isPeersDeath(Throwable cause) {
    String message = String.valueOf(cause.getMessage()).toLowerCase(Locale.ROOT);
    return message.contains("reset") || message.contains("broken pipe");
  }

  @Override
  public void channelInactive(ChannelHandlerContext closed) {
    state = State.CLOSED;
    if (deadline != null) {
      deadline.cancel(false);
    }
    server.strangers().remove(this);
    waits.values().forEach(pending -> server.table().withdraw(pending));
    waits.clear();
    if (member != null && !server.isClosing()) {
      server.members().disconnected(member, linkError);
    }
  }
}
