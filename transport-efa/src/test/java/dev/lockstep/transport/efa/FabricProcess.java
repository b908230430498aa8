package dev.lockstep.transport.efa;

import static dev.lockstep.transport.TransportHarness.receive;
import static dev.lockstep.transport.TransportHarness.send;

import dev.lockstep.deadline.Deadline;
import dev.lockstep.memory.Buffer;
import dev.lockstep.memory.HostMemory;
import dev.lockstep.memory.MemoryPool;
import dev.lockstep.process.JavaCommand;
import dev.lockstep.transport.FileAddressBook;
import dev.lockstep.transport.Link;
import dev.lockstep.transport.Transfer;
import dev.lockstep.transport.Transport;
import dev.lockstep.transport.TransportHarness;
import dev.lockstep.transport.TransportProvider;
import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.ServiceLoader;

/// One of two ranks that are processes, as the test and as the process that it kills.
final class FabricProcess implements AutoCloseable {
  /// Bytes of a message, unless others are asked for.
  static final int BYTES = 8 << 20;

  private static final int MOST_BYTES = 16 << 20;

  /// What a process says first, when it has its transport.
  static final String BEGUN = "messages begin";

  /// What a process says in the end whose messages have all arrived whole.
  static final String WHOLE = "all messages are whole";

  private static final int WORLD = 1;
  private static final Duration PATIENCE = Duration.ofSeconds(30);

  final MemoryPool pool = MemoryPool.root("rank", 1L << 28);
  final Transport transport;
  final Link out;
  final Link in;
  final Buffer mine = HostMemory.allocate(pool, "mine", MOST_BYTES);
  final Buffer theirs = HostMemory.allocate(pool, "theirs", MOST_BYTES);
  private Transfer sending = send(mine.registration(), WORLD, 0);
  private Transfer receiving = receive(theirs.registration(), WORLD, 0);

  FabricProcess(String provider, int rank, Path directory) {
    TransportHarness.fill(mine, 1);
    var book = new FileAddressBook(directory);
    transport = provider(provider).open(TransportHarness.context(rank, 2, directory, book, pool));
    meetNull();
    in = transport.openReceive(1 - rank, WORLD, PATIENCE);
    out = transport.openSend(1 - rank, WORLD, PATIENCE);
  }

  /// Has the interpreter meet null, by which it raises SIGSEGV: every JVM does, sooner or later.
  @SuppressWarnings("NullAway")
  private static void meetNull() {
    String nobody = Map.<String, String>of().get("nobody");
    try {
      var _ = nobody.length();
    } catch (NullPointerException met) {
      return;
    }
    throw new AssertionError("somebody is there");
  }

  static FabricProvider provider(String name) {
    return ServiceLoader.load(TransportProvider.class).stream()
        .map(ServiceLoader.Provider::get)
        .filter(found -> found.name().equals(name))
        .map(FabricProvider.class::cast)
        .findFirst()
        .orElseThrow();
  }

  /// Exchanges one message each way.
  ///
  /// @throws RuntimeException the failure of either
  void exchange(long sequence) {
    post(sequence);
    await();
  }

  /// Exchanges one message of that many bytes each way.
  ///
  /// @throws RuntimeException the failure of either
  /// @throws AssertionError if it does not arrive whole
  void exchangeWhole(long sequence, long bytes) {
    theirs.segment().fill((byte) 0);
    post(sequence, bytes);
    await();
    if (theirs.segment().asSlice(0, bytes).mismatch(mine.segment().asSlice(0, bytes)) >= 0) {
      throw new AssertionError("message is not whole: sequence=" + sequence);
    }
  }

  /// Posts one message each way.
  void post(long sequence) {
    post(sequence, BYTES);
  }

  private void post(long sequence, long bytes) {
    sending = send(mine.registration().slice(0, bytes), WORLD, sequence);
    receiving = receive(theirs.registration().slice(0, bytes), WORLD, sequence);
    in.post(receiving);
    out.post(sending);
  }

  /// Returns whether the peer has leave to write here.
  boolean isAwaitingWrites() {
    return ((ReceiveLink) in).holdsMemory();
  }

  /// Waits for what was posted.
  ///
  /// @throws RuntimeException the failure of either
  void await() {
    Deadline.until(
        () -> {
          transport.poll();
          for (Transfer transfer : List.of(sending, receiving)) {
            RuntimeException failure = transfer.failure();
            if (failure != null) {
              throw failure;
            }
          }
          return sending.isDone() && receiving.isDone();
        });
  }

  /// A process that exchanges as many messages as it is told to, checks each, and says so.
  ///
  /// @param arguments provider, directory, rank, number of messages, and their bytes by turns if
  ///   they are not [#BYTES]
  public static void main(String[] arguments) {
    int rank = Integer.parseInt(arguments[2]);
    long messages = Long.parseLong(arguments[3]);
    List<String> sizes = List.of(arguments).subList(4, arguments.length);
    try (FabricProcess process = new FabricProcess(arguments[0], rank, Path.of(arguments[1]))) {
      System.out.println(BEGUN);
      for (long sequence = 0; sequence < messages; sequence++) {
        process.exchangeWhole(
            sequence,
            sizes.isEmpty() ? BYTES : Long.parseLong(sizes.get((int) (sequence % sizes.size()))));
      }
      System.out.println(WHOLE);
    }
  }

  /// Starts the process to be killed: exchanges messages forever.
  static Process start(String provider, Path directory) throws IOException {
    return start(provider, directory, Map.of(), 1, Long.MAX_VALUE);
  }

  /// Starts a process with more in its environment than this one has; what it says goes to [#log].
  static Process start(
      String provider,
      Path directory,
      Map<String, String> environment,
      int rank,
      long messages,
      long... sizes)
      throws IOException {
    List<String> arguments =
        new ArrayList<>(
            List.of(
                provider, directory.toString(), Integer.toString(rank), Long.toString(messages)));
    for (long bytes : sizes) {
      arguments.add(Long.toString(bytes));
    }
    var builder =
        new ProcessBuilder(
            JavaCommand.of(
                List.of("--enable-native-access=ALL-UNNAMED", "-XX:+UseSerialGC"),
                FabricProcess.class.getName(),
                arguments));
    builder.environment().putAll(environment);
    return builder.redirectErrorStream(true).redirectOutput(log(directory, rank).toFile()).start();
  }

  static Path log(Path directory, int rank) {
    return directory.resolve("log" + rank);
  }

  @Override
  public void close() {
    transport.close();
    mine.close();
    theirs.close();
    pool.close();
  }
}
