package dev.lockstep.job;

import static java.nio.charset.StandardCharsets.ISO_8859_1;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lockstep.failure.ConfigurationException;
import java.io.DataInputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.SocketTimeoutException;
import java.nio.file.Path;
import java.security.SecureRandom;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/// Whoever speaks to a store without belonging to its job is cut off, and the job goes on.
@Timeout(20)
class StrangersTest {
  private static final int MOST_STRANGERS = 8;

  /// Longer than a test listens: who is cut off within it was not cut off for its silence.
  private static final Duration LONG = Duration.ofSeconds(15);

  private static final byte[] TOKEN = Ranks.TOKEN.getBytes(UTF_8);

  @TempDir private Path temp;
  private final List<AutoCloseable> open = new ArrayList<>();
  private StoreServer server;

  @BeforeEach
  void start() {
    start(LONG);
  }

  private void start(Duration patience) {
    StoreOptions options =
        StoreOptions.of("127.0.0.1", 0, 1, JobConfig.DEFAULT_LIVENESS)
            .withStrangers(patience, MOST_STRANGERS)
            .withStorage(1 << 16, 1 << 17);
    server = StoreServer.start(options, TOKEN);
    open.add(server);
  }

  /// After every attack the job can still be joined, used and left.
  @AfterEach
  void theJobStillWorks() throws Exception {
    try (Job job = Job.join(Ranks.config(Ranks.ofAgent(temp, server.port(), 0, 1)))) {
      job.store().set("key", new byte[] {1});
      assertThat(job.store().peek("key")).isPresent();
    }
    assertThat(server.failure()).isEmpty();
    for (AutoCloseable one : open.reversed()) {
      one.close();
    }
  }

  private Socket connect() throws IOException {
    return connect(server.port());
  }

  private Socket connect(int port) throws IOException {
    Socket socket = new Socket(InetAddress.getLoopbackAddress(), port);
    socket.setSoTimeout(5000);
    open.add(socket);
    return socket;
  }

  private static void say(Socket socket, Message message) throws IOException {
    socket.getOutputStream().write(MessageCodecTest.encoded(message));
  }

  /// Returns the frame that the store sends, its length left out.
  private static byte[] hear(Socket socket) throws IOException {
    DataInputStream in = new DataInputStream(socket.getInputStream());
    return in.readNBytes(in.readInt());
  }

  /// Reads on to the end of the connection; a stranger that was still talking sees a reset.
  private static byte[] rest(Socket socket) {
    try {
      return socket.getInputStream().readAllBytes();
    } catch (SocketTimeoutException e) {
      throw new AssertionError("connection is still open", e);
    } catch (IOException _) {
      return new byte[0];
    }
  }

  private static Message.Hello hello(int version) {
    return new Message.Hello(version, Handshake.nonce(new SecureRandom()));
  }

  @Test
  void noiseIsCutOff() throws Exception {
    Random random = new Random(11);
    for (int i = 0; i < 20; i++) {
      Socket socket = connect();
      byte[] noise = new byte[random.nextInt(5, 4000)];
      random.nextBytes(noise);
      noise[0] |= (byte) 0x80; // A length that cannot be: no noise may pass for a frame to come.
      socket.getOutputStream().write(noise);
      assertThat(rest(socket)).isEmpty();
    }
  }

  @Test
  void otherProtocolsAreCutOff() throws Exception {
    for (String words : List.of("GET / HTTP/1.1\r\nHost: x\r\n\r\n", "SSH-2.0-OpenSSH_9\r\n")) {
      Socket socket = connect();
      socket.getOutputStream().write(words.getBytes(ISO_8859_1));
      assertThat(rest(socket)).isEmpty();
    }
  }

  @Test
  void anotherVersionIsToldSo() throws Exception {
    Socket socket = connect();
    say(socket, hello(9));
    assertThat(new String(rest(socket), ISO_8859_1)).contains("rankVersion=9, storeVersion=2");
  }

  @Test
  void nothingIsHeardBeforeTheProof() throws Exception {
    Message.Seat seat = new Message.Seat("h", "k", 0);
    for (Message early :
        List.of(
            new Message.Join(0, 1, "", seat),
            new Message.Put(1, "key", new Bytes(new byte[1])),
            new Message.Get(1, "key"),
            new Message.Report(new FailureRecord(0, "", "X", "", "", "", 0)),
            new Message.Proof(new Bytes(new byte[32])))) {
      Socket first = connect();
      say(first, early);
      assertThat(rest(first)).isEmpty();
      Socket second = connect();
      say(second, hello(MessageCodec.VERSION));
      assertThat(hear(second)[0]).isEqualTo((byte) 2);
      say(second, early);
      assertThat(new String(rest(second), ISO_8859_1)).contains("token differs");
    }
    assertThat(server.table().peek("key")).isEmpty();
  }

  @Test
  void aProofIsOfNoUseTwice() throws Exception {
    Message.Hello hello = hello(MessageCodec.VERSION);
    Socket socket = connect();
    say(socket, hello);
    byte[] challenge = hear(socket);
    Bytes storeNonce = new Bytes(Arrays.copyOfRange(challenge, 11, 11 + Handshake.NONCE_BYTES));
    Message.Proof proof =
        new Message.Proof(Handshake.proof(TOKEN, Handshake.RANK, hello.nonce(), storeNonce));
    say(socket, proof);
    byte[] accepted = hear(socket);
    assertThat(accepted[0]).isEqualTo((byte) 4);
    Bytes storeProof = new Bytes(Arrays.copyOfRange(accepted, 5, accepted.length));
    assertThat(storeProof)
        .isEqualTo(Handshake.proof(TOKEN, Handshake.STORE, hello.nonce(), storeNonce))
        .isNotEqualTo(proof.mac());

    for (Message replayed : List.of(proof, new Message.Proof(storeProof))) {
      Socket again = connect();
      say(again, hello);
      assertThat(hear(again)).isNotEqualTo(challenge);
      say(again, replayed);
      assertThat(new String(rest(again), ISO_8859_1)).contains("token differs");
    }
  }

  @Test
  void whoTakesTooLongIsCutOff() throws Exception {
    start(Duration.ofMillis(300));
    Socket silent = connect();
    Socket slow = connect();
    byte[] hello = MessageCodecTest.encoded(hello(MessageCodec.VERSION));
    slow.getOutputStream().write(hello, 0, hello.length - 1);
    assertThat(rest(silent)).isEmpty();
    assertThat(rest(slow)).isEmpty();
    start(); // for the rank that comes afterwards
  }

  @Test
  void aCrowdOfStrangersIsThinnedFromItsOldest() throws Exception {
    List<Socket> crowd = new ArrayList<>();
    for (int i = 0; i < 5 * MOST_STRANGERS; i++) {
      crowd.add(connect());
    }
    // The newest still get an answer, the first are gone before their time.
    Socket newest = crowd.getLast();
    say(newest, hello(MessageCodec.VERSION));
    assertThat(hear(newest)[0]).isEqualTo((byte) 2);
    assertThat(rest(crowd.getFirst())).isEmpty();
  }

  /// All ranks of a large job come at once, and each is a stranger until it has its seat.
  @Test
  void aCrowdOfRanksIsNotThinned() throws Exception {
    StoreOptions options = StoreOptions.of("127.0.0.1", 0, 100, JobConfig.DEFAULT_LIVENESS);
    try (StoreServer large = StoreServer.start(options, TOKEN)) {
      List<Socket> crowd = new ArrayList<>();
      for (int i = 0; i < 200; i++) {
        crowd.add(connect(large.port()));
      }
      for (Socket socket : List.of(crowd.getLast(), crowd.getFirst())) {
        say(socket, hello(MessageCodec.VERSION));
        assertThat(hear(socket)[0]).isEqualTo((byte) 2);
      }
    }
  }

  @Test
  void theStoresRoomIsBounded() {
    Job job = Job.join(Ranks.config(Ranks.ofAgent(temp, server.port(), 0, 1)));
    try (job) {
      assertThatThrownBy(() -> job.store().set("big", new byte[(1 << 16) + 1]))
          .hasMessageContaining("maxValueBytes=65536");
      job.store().set("a", new byte[1 << 16]);
      job.store().set("b", new byte[1 << 16]);
      assertThatThrownBy(() -> job.store().set("c", new byte[1]))
          .isInstanceOf(IllegalArgumentException.class)
          .hasMessageContaining("store is full");
      job.store().delete("a");
      job.store().set("c", new byte[1]);
      assertThatThrownBy(() -> job.store().set("k".repeat(1025), new byte[1]))
          .hasMessageContaining("keyChars=1025");
    }
    server.close();
    start();
  }

  @Test
  void aRankDoesNotTrustAnImpostor() throws Exception {
    try (ServerSocket impostor = new ServerSocket(0, 5, InetAddress.getLoopbackAddress())) {
      Thread.ofVirtual().start(() -> pretend(impostor));
      Map<String, String> variables = Ranks.ofAgent(temp, impostor.getLocalPort(), 0, 1);
      assertThatThrownBy(() -> Job.join(Ranks.config(variables)))
          .isInstanceOf(ConfigurationException.class)
          .hasMessageContaining("store does not know the job's token");
    }
  }

  private static void pretend(ServerSocket impostor) {
    try (Socket rank = impostor.accept()) {
      hear(rank);
      say(rank, new Message.Challenge(1, Handshake.nonce(new SecureRandom())));
      byte[] proof = hear(rank);
      // The best that it can do without the token: hand the rank's own proof back.
      say(rank, new Message.Accepted(new Bytes(Arrays.copyOfRange(proof, 5, proof.length))));
      assertThat(rank.getInputStream().read()).isEqualTo(-1);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  @Test
  void aRankTakesNoSeatWithoutTheStoresProof() throws Exception {
    Message.Challenge challenge = new Message.Challenge(1, Handshake.nonce(new SecureRandom()));
    Message.Welcome welcome = new Message.Welcome(7, 2_000_000_000L, -1, 1 << 16);
    Message.Roster roster = new Message.Roster(List.of(new Message.Seat("h", "k", 0)));
    Message.Failed failed = new Message.Failed(new FailureRecord(0, "", "X", "", "", "", 0));
    for (List<Message> words :
        List.of(
            List.<Message>of(challenge, welcome, roster),
            List.<Message>of(welcome, roster),
            List.<Message>of(challenge, challenge),
            List.<Message>of(challenge, failed))) {
      try (ServerSocket impostor = new ServerSocket(0, 5, InetAddress.getLoopbackAddress())) {
        Thread.ofVirtual().start(() -> welcomeUnproved(impostor, words));
        Map<String, String> variables = Ranks.ofAgent(temp, impostor.getLocalPort(), 0, 1);
        assertThatThrownBy(() -> Job.join(Ranks.config(variables)))
            .isInstanceOf(ConfigurationException.class)
            .hasMessageContaining("store says what it may not before its proof");
      }
    }
  }

  private static void welcomeUnproved(ServerSocket impostor, List<Message> words) {
    try (Socket rank = impostor.accept()) {
      hear(rank);
      for (Message word : words) {
        say(rank, word);
      }
      rest(rank);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  @Test
  void aRankThatMeetsAnotherServiceSaysSo() throws Exception {
    try (ServerSocket other = new ServerSocket(0, 5, InetAddress.getLoopbackAddress())) {
      Thread.ofVirtual().start(() -> greetLikeSsh(other));
      Map<String, String> variables = Ranks.ofAgent(temp, other.getLocalPort(), 0, 1);
      assertThatThrownBy(() -> Job.join(Ranks.config(variables)))
          .isInstanceOf(ConfigurationException.class)
          .hasMessageContaining("what answers is no store");
    }
  }

  private static void greetLikeSsh(ServerSocket other) {
    try (Socket rank = other.accept()) {
      rank.getOutputStream().write("SSH-2.0-OpenSSH_9\r\n".getBytes(ISO_8859_1));
      rest(rank);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }
}
