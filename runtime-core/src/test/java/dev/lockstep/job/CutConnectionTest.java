package dev.lockstep.job;

import static java.nio.charset.StandardCharsets.ISO_8859_1;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lockstep.failure.CollectiveTimeoutException;
import java.io.DataInputStream;
import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.SocketTimeoutException;
import java.nio.file.Path;
import java.security.SecureRandom;
import java.time.Duration;
import java.util.AbstractList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/// Whoever closes a connection says why: its end alone means that a process has ended, whose memory
/// others then take back.
@Timeout(20)
class CutConnectionTest {
  private static final byte[] TOKEN = Ranks.TOKEN.getBytes(UTF_8);
  private static final byte REPORT = 22;
  private static final byte FAILED = 23;
  private static final byte WITHDRAW = 15;
  private static final byte WITHDRAWN = 16;
  private static final byte DONE = 20;
  private static final Duration LONG = Duration.ofSeconds(15);
  private static final Duration ATTEMPT = Duration.ofMillis(200);
  private static final Duration MOMENT = Duration.ofMillis(20);
  // A frame of one byte, of a type that there is not.
  private static final byte[] NOISE = {0, 0, 0, 1, 99};

  @TempDir private Path temp;

  private static void say(Socket socket, Message message) throws IOException {
    socket.getOutputStream().write(MessageCodecTest.encoded(message));
  }

  /// Returns the next frame of this type, its length and type left out.
  private static byte[] hear(Socket socket, int type) throws IOException {
    DataInputStream in = new DataInputStream(socket.getInputStream());
    while (true) {
      byte[] frame = in.readNBytes(in.readInt());
      if (frame[0] == type) {
        return Arrays.copyOfRange(frame, 1, frame.length);
      }
    }
  }

  private static Bytes nonce(byte[] greeting) {
    return new Bytes(Arrays.copyOfRange(greeting, 10, 10 + Handshake.NONCE_BYTES));
  }

  @Test
  void aRankThatUnderstandsNothingReportsItBeforeItHangsUp() throws Exception {
    try (ServerSocket listener = new ServerSocket(0, 5, InetAddress.getLoopbackAddress())) {
      Map<String, String> variables = Ranks.ofAgent(temp, listener.getLocalPort(), 0, 1);
      CompletableFuture<Job> joining =
          CompletableFuture.supplyAsync(() -> Job.join(Ranks.config(variables)));
      try (Socket rank = listener.accept()) {
        welcome(rank);
        try (Job job = joining.join()) {
          rank.getOutputStream().write(NOISE);
          assertThat(new String(hear(rank, REPORT), ISO_8859_1))
              .contains("CorruptedFrameException", "unknown type: type=99");
          assertThat(rank.getInputStream().readAllBytes()).isEmpty();
          assertThat(job.failure().orElseThrow())
              .matches(failure -> failure.rank() == 0 && !failure.isProcessExit());
        }
      }
    }
  }

  private Joining joining(int port) {
    Map<String, String> variables = Ranks.ofAgent(temp, port, 0, 1);
    TokenSource tokens = JobToken.find(LaunchEnvironment.of(variables), new Variables(variables));
    Message.Join join = new Message.Join(0, 1, "", new Message.Seat("h", "k", 0));
    return new Joining("127.0.0.1", port, tokens, join, true, LONG, ATTEMPT);
  }

  /// A token that is no key.
  private record NoToken() implements TokenSource {
    @Override
    public Optional<Bytes> read() {
      return Optional.of(make());
    }

    @Override
    public boolean mayBeStale() {
      return true;
    }

    @Override
    public Bytes make() {
      return new Bytes(new byte[0]);
    }

    @Override
    public void publish(Bytes made) {}

    @Override
    public void remove() {}
  }

  @Test
  void whatGoesWrongInARankThatJoinsIsToldAndNotTriedAgain() {
    StoreOptions options = StoreOptions.of("127.0.0.1", 0, 1, JobConfig.DEFAULT_LIVENESS);
    try (StoreServer server = StoreServer.start(options, TOKEN)) {
      Message.Join join = new Message.Join(0, 1, "", new Message.Seat("h", "k", 0));
      Joining joining =
          new Joining("127.0.0.1", server.port(), new NoToken(), join, true, LONG, ATTEMPT);
      assertThatThrownBy(joining::run)
          .isInstanceOf(IllegalStateException.class)
          .hasMessage(
              "rank cannot join the job: endpoint=127.0.0.1:%d, rank=0,"
                  + " cause=java.lang.IllegalArgumentException: Empty key",
              server.port())
          .hasCauseInstanceOf(IllegalArgumentException.class);
    }
  }

  private static void leave(Joining.Seated seated) {
    seated.connection().leave(Duration.ZERO);
    seated.thread().close();
  }

  @Test
  void aRankHangsUpOnASilentStoreUntilItHasAskedForItsSeat() throws Exception {
    try (ServerSocket listener = new ServerSocket(0, 5, InetAddress.getLoopbackAddress())) {
      CompletableFuture<Joining.Met> joined =
          CompletableFuture.supplyAsync(() -> joining(listener.getLocalPort()).run());
      try (Socket silent = listener.accept()) {
        hear(silent, 1);
        assertThat(silent.getInputStream().readAllBytes()).isEmpty();
      }
      try (Socket rank = asked(listener)) {
        rank.setSoTimeout((int) ATTEMPT.multipliedBy(2).toMillis());
        assertThatThrownBy(() -> rank.getInputStream().read())
            .isInstanceOf(SocketTimeoutException.class);
        rank.setSoTimeout(0);
        seat(rank);
        leave(joined.join().seated());
      }
    }
  }

  /// Returns the connection of a rank that has asked for its seat.
  private static Socket asked(ServerSocket listener) throws IOException {
    while (true) {
      Socket rank = listener.accept();
      try {
        greet(rank);
        return rank;
      } catch (IOException _) { // this machine is so slow that the rank has hung up
        rank.close();
      }
    }
  }

  @Test
  void whatARankWaitsForCountsThoughItComesAsTheWaitEnds() throws Exception {
    try (ServerSocket listener = new ServerSocket(0, 5, InetAddress.getLoopbackAddress())) {
      CompletableFuture<Joining.Met> joined =
          CompletableFuture.supplyAsync(() -> joining(listener.getLocalPort()).run());
      try (Socket rank = asked(listener)) {
        seat(rank);
        Joining.Seated seated = joined.join().seated();
        Store store = new RemoteStore(seated.connection(), 0, 1, 1 << 16);
        CompletableFuture<Void> released =
            CompletableFuture.runAsync(() -> store.barrier("b", 1, MOMENT));
        hear(rank, WITHDRAW);
        say(rank, new Message.Done(1));
        say(rank, new Message.Withdrawn(1, List.of()));
        released.join();

        CompletableFuture<Void> unanswered =
            CompletableFuture.runAsync(() -> store.barrier("b", 1, MOMENT));
        assertThatThrownBy(unanswered::join)
            .cause()
            .isInstanceOfSatisfying(
                CollectiveTimeoutException.class, e -> assertThat(e.missingRanks()).isEmpty())
            .hasMessageContaining("the store does not say who is missing");
        say(rank, new Message.Closing());
        leave(seated);
      }
    }
  }

  @Test
  void theStoreAnswersWhoGivesUpAWaitThatHasEnded() throws Exception {
    StoreOptions options = StoreOptions.of("127.0.0.1", 0, 1, JobConfig.DEFAULT_LIVENESS);
    try (StoreServer server = StoreServer.start(options, TOKEN);
        Socket rank = new Socket(InetAddress.getLoopbackAddress(), server.port())) {
      join(rank);
      say(rank, new Message.Meet(1, "b", 1));
      say(rank, new Message.Withdraw(1));
      hear(rank, DONE);
      // The number of the wait, and no ranks.
      assertThat(hear(rank, WITHDRAWN)).startsWith(0, 0, 0, 0, 0, 0, 0, 1).endsWith(0, 0, 0, 0);
    }
  }

  /// Seats the only rank of a job, as a store does.
  private static void welcome(Socket rank) throws IOException {
    greet(rank);
    seat(rank);
  }

  /// Greets a rank until it asks for its seat.
  private static void greet(Socket rank) throws IOException {
    Bytes rankNonce = nonce(hear(rank, 1));
    Bytes storeNonce = Handshake.nonce(new SecureRandom());
    say(rank, new Message.Challenge(MessageCodec.VERSION, storeNonce));
    hear(rank, 3);
    say(rank, new Message.Accepted(Handshake.proof(TOKEN, Handshake.STORE, rankNonce, storeNonce)));
    hear(rank, 6);
  }

  private static void seat(Socket rank) throws IOException {
    say(rank, new Message.Welcome(7, JobConfig.DEFAULT_LIVENESS.toNanos(), -1, 1 << 16));
    say(rank, new Message.Roster(List.of(new Message.Seat("h", "k", 0))));
  }

  @Test
  void aRankThatTheStoreCutsOffHasNotEnded() throws Exception {
    byte[] forbidden = MessageCodecTest.encoded(new Message.Farewell());
    for (byte[] words : List.of(NOISE, forbidden)) {
      StoreOptions options = StoreOptions.of("127.0.0.1", 0, 1, JobConfig.DEFAULT_LIVENESS);
      try (StoreServer server = StoreServer.start(options, TOKEN);
          Socket rank = new Socket(InetAddress.getLoopbackAddress(), server.port())) {
        join(rank);
        rank.getOutputStream().write(words);
        expectCutOff(rank, server);
      }
    }
  }

  private static void expectCutOff(Socket rank, StoreServer server) throws IOException {
    assertThat(new String(hear(rank, FAILED), ISO_8859_1)).contains("cut off by the store");
    FailureRecord failure = server.failure().orElseThrow();
    assertThat(failure.rank()).isZero();
    assertThat(failure.isProcessExit()).isFalse();
    assertThat(failure.message()).contains("lostRanks=[0]");
  }

  /// Ranks that cannot be written.
  private static final class Unwritable extends AbstractList<Integer> {
    @Override
    public Integer get(int index) {
      throw new IllegalStateException("no such rank: index=" + index);
    }

    @Override
    public int size() {
      return 1;
    }
  }

  @Test
  void aRankThatTheStoreCannotAnswerHasNotEnded() throws Exception {
    StoreOptions options = StoreOptions.of("127.0.0.1", 0, 1, JobConfig.DEFAULT_LIVENESS);
    try (StoreServer server = StoreServer.start(options, TOKEN);
        Socket rank = new Socket(InetAddress.getLoopbackAddress(), server.port())) {
      join(rank);
      ServerConnection connection = server.members().connections().getFirst();
      connection.send(new Message.Withdrawn(1, new Unwritable()));
      expectCutOff(rank, server);
    }
  }

  /// Takes the only seat of a job, as a rank does.
  private static void join(Socket store) throws IOException {
    Bytes rankNonce = Handshake.nonce(new SecureRandom());
    say(store, new Message.Hello(MessageCodec.VERSION, rankNonce));
    Bytes storeNonce = nonce(hear(store, 2));
    say(store, new Message.Proof(Handshake.proof(TOKEN, Handshake.RANK, rankNonce, storeNonce)));
    hear(store, 4);
    say(store, new Message.Join(0, 1, "", new Message.Seat("h", "k", 0)));
    hear(store, 8);
  }
}
