package dev.lockstep.job;

import dev.lockstep.failure.ConfigurationException;
import dev.lockstep.failure.LockstepException;
import dev.lockstep.failure.TransportException;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.SimpleChannelInboundHandler;
import io.netty.handler.codec.DecoderException;
import java.io.IOException;
import java.security.SecureRandom;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.LongFunction;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;

/// One rank's connection to the store: proves itself, takes its seat, then asks, beats and listens.
/// Requests come from any thread; everything else happens on the connection's event loop.
final class RankConnection extends SimpleChannelInboundHandler<Message> {
  /// Whether a seat has been asked for: from then on the store may give it, whoever waits for that.
  private enum Asking {
    NOT_YET,
    ASKED,
    NEVER
  }

  private final Message.Join join;
  private final Bytes token;
  private final String endpoint;
  private final FailureCell failures;
  private final Bytes rankNonce = Handshake.nonce(new SecureRandom());
  private final AtomicLong ids = new AtomicLong();
  private final Map<Long, CompletableFuture<Message>> requests = new ConcurrentHashMap<>();
  private final Map<Long, CompletableFuture<List<Integer>>> withdrawals = new ConcurrentHashMap<>();
  private final CompletableFuture<Message.Welcome> welcome = new CompletableFuture<>();
  private final CompletableFuture<Message.Roster> roster = new CompletableFuture<>();
  private final CompletableFuture<Message> farewell = new CompletableFuture<>();
  private Bytes expectedProof = new Bytes(new byte[0]);
  private boolean proved;
  private long lastHeard;
  private @Nullable Pulse pulse;
  private @Nullable Throwable linkError;
  private volatile @Nullable ChannelHandlerContext context;
  private volatile @Nullable LockstepException ended;
  private volatile boolean leaving;
  private volatile boolean storeCloses;
  private final AtomicReference<Asking> asking = new AtomicReference<>(Asking.NOT_YET);
  private volatile String activity = "";
  private volatile String toldActivity = "";

  RankConnection(Message.Join join, Bytes token, String endpoint, FailureCell failures) {
    super(Message.class);
    this.join = join;
    this.token = token;
    this.endpoint = endpoint;
    this.failures = failures;
    failures.onFailure(failure -> endWaits(new JobFailedException("store", failure)));
  }

  /// The store has given this rank its seat; fails with a [ConfigurationException] if it does not,
  /// with a [TransportException] if the connection was lost before, with what went wrong in this
  /// process if something did.
  CompletableFuture<Message.Welcome> welcome() {
    return welcome;
  }

  /// Gives this attempt up, unless a seat has been asked for; returns whether it has.
  boolean hangUpUnlessAsked() {
    boolean given = asking.compareAndSet(Asking.NOT_YET, Asking.NEVER);
    if (given) {
      close();
    }
    return given;
  }

  /// Whether the store has said that it closes.
  boolean storeCloses() {
    return storeCloses;
  }

  /// All ranks have come.
  CompletableFuture<Message.Roster> roster() {
    return roster;
  }

  void activity(String what) {
    activity = FailureRecords.cut(what, FailureRecords.MAX_NAME_CHARS);
  }

  /// Sends a request and returns its answer to come.
  CompletableFuture<Message> ask(LongFunction<Message> request) {
    long id = ids.incrementAndGet();
    return ask(requests, id, request.apply(id));
  }

  /// Gives up a wait, the one for the roster if the number is 0, and returns the ranks that had
  /// come. An answer that was on its way has come before: the store speaks in order.
  CompletableFuture<List<Integer>> giveUp(long id) {
    return ask(withdrawals, id, new Message.Withdraw(id));
  }

  private <T> CompletableFuture<T> ask(
      Map<Long, CompletableFuture<T>> asked, long id, Message request) {
    CompletableFuture<T> answer = new CompletableFuture<>();
    asked.put(id, answer);
    LockstepException over = ended;
    if (over != null) {
      asked.remove(id);
      answer.completeExceptionally(over);
    } else {
      beat(false);
      send(request);
    }
    return answer;
  }

  void send(Message message) {
    ChannelHandlerContext open = context;
    if (open != null) {
      var _ = open.writeAndFlush(message);
    }
  }

  /// Says goodbye and closes the connection, waiting for the store's farewell at most so long.
  void leave(Duration patience) {
    leaving = true;
    if (ended == null || ended instanceof JobFailedException) {
      send(new Message.Goodbye());
      var _ =
          farewell
              .completeOnTimeout(new Message.Farewell(), patience.toMillis(), TimeUnit.MILLISECONDS)
              .join();
    }
    endWaits(new TransportException(endpoint, "store is closed: endpoint=" + endpoint, null));
    ChannelHandlerContext open = context;
    if (open != null) {
      var _ = open.close().awaitUninterruptibly();
    }
  }

  @Override
  public void channelActive(ChannelHandlerContext active) {
    context = active;
    send(new Message.Hello(MessageCodec.VERSION, rankNonce));
  }

  void heard() {
    if (pulse != null) {
      lastHeard = pulse.now();
    }
  }

  @Override
  protected void channelRead0(ChannelHandlerContext from, Message message) {
    if (!mayBeSaid(message)) {
      throw new DecoderException(
          "store says what it may not %s its proof: message=%s"
              .formatted(proved ? "after" : "before", message.getClass().getSimpleName()));
    }
    switch (message) {
      case Message.Challenge(int _, Bytes storeNonce) -> prove(storeNonce);
      case Message.Accepted(Bytes mac) -> accept(from, mac);
      case Message.Refused(String key, String value, String reason) ->
          refuse(new ConfigurationException(key, value, reason));
      case Message.Welcome taken -> seated(from, taken);
      case Message.Roster all -> roster.complete(all);
      case Message.Value(long id, Bytes _) -> answer(id, message);
      case Message.Absent(long id) -> answer(id, message);
      case Message.Sum(long id, long _) -> answer(id, message);
      case Message.Done(long id) -> answer(id, message);
      case Message.Withdrawn(long id, List<Integer> arrived) -> withdrawn(id, arrived);
      case Message.Denied(long id, String reason) -> deny(id, reason);
      case Message.Failed(FailureRecord failure) -> failures.record(failure);
      case Message.Beat _ -> {}
      case Message.Farewell _ -> farewell.complete(message);
      case Message.Closing _ -> {
        leaving = true;
        storeCloses = true;
        endWaits(new TransportException(endpoint, "store has closed: endpoint=" + endpoint, null));
      }
      case Message.Hello _,
          Message.Proof _,
          Message.Join _,
          Message.Put _,
          Message.Peek _,
          Message.Get _,
          Message.Add _,
          Message.Meet _,
          Message.Delete _,
          Message.Withdraw _,
          Message.Report _,
          Message.Goodbye _ ->
          throw new DecoderException(
              "store says what it may not: message=" + message.getClass().getSimpleName());
    }
  }

  /// Whoever has not proved to know the token gets one proof of ours, may give its own, or refuse;
  /// nothing else that it says is heard.
  private boolean mayBeSaid(Message message) {
    if (message instanceof Message.Challenge) {
      return !proved && expectedProof.length() == 0;
    }
    if (message instanceof Message.Accepted) {
      return !proved;
    }
    return proved || message instanceof Message.Refused;
  }

  private void prove(Bytes storeNonce) {
    expectedProof = Handshake.proof(token.array(), Handshake.STORE, rankNonce, storeNonce);
    send(new Message.Proof(Handshake.proof(token.array(), Handshake.RANK, rankNonce, storeNonce)));
  }

  private void accept(ChannelHandlerContext from, Bytes mac) {
    if (expectedProof.length() == 0 || !mac.equals(expectedProof)) {
      refuse(
          new ConfigurationException(
              JobVariables.TOKEN_FILE,
              "",
              "store does not know the job's token: endpoint=%s (another job's store, or an impostor)"
                  .formatted(endpoint)));
      return;
    }
    proved = true;
    from.pipeline().get(MessageCodec.class).trust();
    if (asking.compareAndSet(Asking.NOT_YET, Asking.ASKED)) {
      send(join);
    }
  }

  private void refuse(ConfigurationException reason) {
    welcome.completeExceptionally(reason);
    roster.completeExceptionally(reason);
    close();
  }

  private void seated(ChannelHandlerContext from, Message.Welcome taken) {
    MessageCodec codec = from.pipeline().get(MessageCodec.class);
    codec.allowValues(taken.maxValueBytes());
    codec.allowRoster(join.worldSize());
    Pulse rhythm = new Pulse(Duration.ofNanos(taken.livenessNanos()));
    pulse = rhythm;
    lastHeard = rhythm.now();
    long interval = rhythm.intervalNanos();
    var beating =
        from.executor()
            .scheduleAtFixedRate(() -> tick(rhythm), interval, interval, TimeUnit.NANOSECONDS);
    from.channel().closeFuture().addListener(_ -> beating.cancel(false));
    welcome.complete(taken);
  }

  private void tick(Pulse rhythm) {
    rhythm.tick();
    beat(true);
    long now = rhythm.now();
    lastHeard = Math.min(lastHeard, now);
    if (now - lastHeard >= rhythm.limitNanos() && !leaving) {
      storeLost(
          FailureRecords.HEARTBEAT_LOST,
          "store is silent: silentMillis=%d"
              .formatted(TimeUnit.NANOSECONDS.toMillis(now - lastHeard)),
          true);
    }
  }

  /// Sends a beat, or none if there is no news of this rank's activity and none is due.
  private void beat(boolean due) {
    String what = activity;
    if (due || !what.equals(toldActivity)) {
      toldActivity = what;
      send(new Message.Beat(what));
    }
  }

  private void answer(long id, Message message) {
    CompletableFuture<Message> request = requests.remove(id);
    if (request != null) {
      request.complete(message);
    }
  }

  private void withdrawn(long id, List<Integer> arrived) {
    requests.remove(id);
    CompletableFuture<List<Integer>> withdrawal = withdrawals.remove(id);
    if (withdrawal != null) {
      withdrawal.complete(arrived);
    }
  }

  private void deny(long id, String reason) {
    CompletableFuture<Message> request = requests.remove(id);
    if (request != null) {
      request.completeExceptionally(new IllegalArgumentException(reason));
    }
  }

  @Override
  public void exceptionCaught(ChannelHandlerContext failed, Throwable cause) {
    if (cause instanceof IOException && !ServerConnection.isPeersDeath(cause)) {
      linkError = cause;
    } else if (cause instanceof DecoderException) {
      welcome.completeExceptionally(
          new ConfigurationException(
              JobVariables.STORE_PORT,
              endpoint,
              "what answers is no store: endpoint=%s, reason=%s (set %s to the store's port)"
                  .formatted(endpoint, cause.getMessage(), JobVariables.STORE_PORT),
              cause));
    } else if (!(cause instanceof IOException)) {
      welcome.completeExceptionally(cause);
    }
    if (linkError == null && !ServerConnection.isPeersDeath(cause)) {
      endConnection(cause);
    }
    close();
  }

  /// Says why this side closes the connection: its mere end would pass for this process's.
  private void endConnection(Throwable cause) {
    if (pulse != null && !leaving) {
      FailureRecord own =
          FailureRecords.of(join.rank(), join.seat().host(), cause, "connection to the store");
      send(new Message.Report(own));
      failures.record(own);
    }
  }

  private void close() {
    ChannelHandlerContext open = context;
    if (open != null) {
      var _ = open.close();
    }
  }

  @Override
  public void channelInactive(ChannelHandlerContext closed) {
    TransportException broken =
        new TransportException(endpoint, "store hung up: endpoint=" + endpoint, linkError);
    welcome.completeExceptionally(broken);
    farewell.complete(new Message.Farewell());
    if (pulse != null && !leaving) {
      if (linkError == null) {
        storeLost(FailureRecords.PROCESS_EXIT, "store is gone, its connection closed", false);
      } else {
        storeLost(FailureRecords.HEARTBEAT_LOST, "link is broken: " + linkError.getMessage(), true);
      }
    }
    endWaits(broken);
  }

  /// Fails the job on this side of a lost store: nobody else can tell.
  ///
  /// @param byLink whether the link may be the cause, which takes all ranks of other nodes along
  private void storeLost(String kind, String message, boolean byLink) {
    int host = welcome.join().hostRank();
    List<Message.Seat> seats =
        roster.isDone() && !roster.isCompletedExceptionally() ? roster.join().seats() : List.of();
    List<Integer> lost =
        byLink && !isStoreOnThisNode(host, seats)
            ? ranksElsewhere(seats)
            : host < 0 ? List.of() : List.of(host);
    List<String> hosts =
        lost.stream()
            .filter(rank -> rank < seats.size())
            .map(rank -> seats.get(rank).host())
            .distinct()
            .toList();
    FailureRecord failure =
        FailureRecords.lost(
            lost.isEmpty() ? -1 : lost.getFirst(),
            hosts.isEmpty() ? "" : hosts.getFirst(),
            kind,
            "%s, endpoint=%s, lostRanks=%s, hosts=%s".formatted(message, endpoint, lost, hosts),
            "");
    // A store that is only slow would take the end of the connection for the end of this process.
    send(new Message.Report(failure));
    failures.record(failure);
    close();
  }

  private boolean isStoreOnThisNode(int host, List<Message.Seat> seats) {
    if (host >= 0) {
      return host < seats.size() && seats.get(host).equals(join.seat());
    }
    return join.seat().nodeRank() <= 0;
  }

  private List<Integer> ranksElsewhere(List<Message.Seat> seats) {
    return IntStream.range(0, seats.size())
        .filter(rank -> !seats.get(rank).equals(join.seat()))
        .boxed()
        .toList();
  }

  private void endWaits(LockstepException reason) {
    if (!(ended instanceof JobFailedException)) {
      ended = reason;
    }
    roster.completeExceptionally(reason);
    requests.values().forEach(request -> request.completeExceptionally(reason));
    requests.clear();
    withdrawals.values().forEach(withdrawal -> withdrawal.completeExceptionally(reason));
    withdrawals.clear();
  }
}
