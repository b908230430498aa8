package dev.lockstep.transport.shm;

import static dev.lockstep.transport.TransportHarness.receive;
import static dev.lockstep.transport.TransportHarness.send;
import static dev.lockstep.transport.TransportHarness.stamped;

import dev.lockstep.graph.ReduceOp;
import dev.lockstep.memory.Buffer;
import dev.lockstep.memory.HostMemory;
import dev.lockstep.memory.MemoryPool;
import dev.lockstep.memory.Registration;
import dev.lockstep.process.JavaCommand;
import dev.lockstep.tensor.DType;
import dev.lockstep.transport.FileAddressBook;
import dev.lockstep.transport.Link;
import dev.lockstep.transport.PeerAccess;
import dev.lockstep.transport.Sink;
import dev.lockstep.transport.Transfer;
import dev.lockstep.transport.Transport;
import dev.lockstep.transport.TransportHarness;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.function.BooleanSupplier;

/// One of two ranks that are processes, as the test and as the process that it starts.
///
/// Both send each other what they have, add up what arrives, read each other's memory in place, and
/// throw if a number is wrong.
final class ShmProcess implements AutoCloseable {
  static final int ELEMENTS = 1_000_003;
  static final int ROUNDS = 200;
  private static final int WORLD = 1;
  private static final Duration PATIENCE = Duration.ofSeconds(30);

  private final int rank;
  private final int peer;
  private final FileAddressBook book;
  private final MemoryPool pool = MemoryPool.root("rank", 1L << 28);
  private final Transport transport;
  private final Link out;
  private final Link in;

  ShmProcess(int rank, Path directory) {
    this.rank = rank;
    this.peer = 1 - rank;
    this.book = new FileAddressBook(directory);
    var context = TransportHarness.context(rank, 2, directory, book, pool);
    transport = new ShmTransportProvider().open(context);
    in = transport.openReceive(peer, WORLD, PATIENCE);
    out = transport.openSend(peer, WORLD, PATIENCE);
  }

  /// The started process; with a third argument it stops in the midst of things, forever.
  public static void main(String[] arguments) {
    try (ShmProcess process =
        new ShmProcess(Integer.parseInt(arguments[0]), Path.of(arguments[1]))) {
      if (arguments.length > 2) {
        process.publishAndHang();
      }
      process.run();
    }
  }

  void run() {
    sumsOfMessages();
    sumsInPlace();
  }

  private void sumsOfMessages() {
    try (Buffer mine = filled(rank + 1);
        Buffer sum = filled(10)) {
      for (int round = 0; round < ROUNDS; round++) {
        long bytes = round % 4 == 0 ? mine.bytes() : 4L * round;
        Registration source = mine.registration().slice(0, bytes);
        Registration target = sum.registration().slice(0, bytes);
        var sink = new Sink.Reduce(target, DType.F32, new ReduceOp.Sum());
        Transfer sending = send(source, WORLD, round);
        Transfer receiving = stamped(Transfer.receive(sink), WORLD, round);
        in.post(receiving);
        out.post(sending);
        await(() -> done(sending) && done(receiving));
      }
      float first = sum.segment().getAtIndex(ValueLayout.JAVA_FLOAT, 0);
      float last = sum.segment().getAtIndex(ValueLayout.JAVA_FLOAT, ELEMENTS - 1);
      expect(first, 10 + ROUNDS * (peer + 1));
      expect(last, 10 + ROUNDS / 4 * (peer + 1));
    }
  }

  private void sumsInPlace() {
    PeerAccess access = transport.peerAccess(List.of(rank, peer)).orElseThrow();
    try (Buffer mine = filled(7 * (rank + 1))) {
      access.openSignals(WORLD);
      book.publish("descriptor/" + rank, access.describe(mine.registration()));
      byte[] descriptor = book.lookup("descriptor/" + peer, PATIENCE);
      MemorySegment theirs = access.open(peer, descriptor);
      access.signal(peer, WORLD, 0, 1);
      await(() -> access.signalled(peer, WORLD, 0) >= 1);
      for (int i = 0; i < ELEMENTS; i += 1000) {
        expect(theirs.getAtIndex(ValueLayout.JAVA_FLOAT, i), 7 * (peer + 1));
      }
      access.signal(peer, WORLD, 0, 2);
      await(() -> access.signalled(peer, WORLD, 0) == 2);
    }
  }

  /// What a peer sees of this process stays valid when it is killed.
  private void publishAndHang() {
    PeerAccess access = transport.peerAccess(List.of(rank, peer)).orElseThrow();
    Buffer mine = filled(5);
    book.publish("descriptor/" + rank, access.describe(mine.registration()));
    out.post(send(mine.registration(), WORLD, 0));
    while (true) {
      transport.poll();
    }
  }

  /// Opens the other process's memory and takes a part of its message.
  MemorySegment meetVictim(Transfer receiving) {
    PeerAccess access = transport.peerAccess(List.of(rank, peer)).orElseThrow();
    MemorySegment theirs = access.open(peer, book.lookup("descriptor/" + peer, PATIENCE));
    in.post(receiving);
    await(() -> receiving.progress > 0);
    return theirs;
  }

  Transfer receiving(Buffer into) {
    return receive(into.registration(), WORLD, 0);
  }

  void poll() {
    transport.poll();
  }

  Buffer filled(float value) {
    Buffer buffer = HostMemory.allocateShared(pool, "numbers", 4L * ELEMENTS, null);
    for (int i = 0; i < ELEMENTS; i++) {
      buffer.segment().setAtIndex(ValueLayout.JAVA_FLOAT, i, value);
    }
    return buffer;
  }

  private static boolean done(Transfer transfer) {
    if (transfer.failure() != null) {
      throw new AssertionError(transfer.failure());
    }
    return transfer.isDone();
  }

  private void await(BooleanSupplier condition) {
    long deadline = System.nanoTime() + PATIENCE.toNanos();
    while (!condition.getAsBoolean()) {
      if (System.nanoTime() - deadline > 0) {
        throw new AssertionError("deadline passed: rank=" + rank);
      }
      if (transport.poll() == 0) {
        Thread.onSpinWait();
      }
    }
  }

  private void expect(float actual, float expected) {
    if (actual != expected) {
      throw new AssertionError(
          "wrong number: rank=%d, actual=%s, expected=%s".formatted(rank, actual, expected));
    }
  }

  /// Starts the other rank.
  ///
  /// @param options of the JVM
  static Process start(int rank, Path directory, List<String> options, String... more)
      throws IOException {
    List<String> all = new ArrayList<>(options);
    all.add("--enable-native-access=ALL-UNNAMED");
    List<String> arguments = new ArrayList<>(List.of(Integer.toString(rank), directory.toString()));
    arguments.addAll(List.of(more));
    Path log = directory.resolve("log");
    return new ProcessBuilder(JavaCommand.of(all, ShmProcess.class.getName(), arguments))
        .redirectErrorStream(true)
        .redirectOutput(log.toFile())
        .start();
  }

  static String log(Path directory) throws IOException {
    return new String(Files.readAllBytes(directory.resolve("log")), StandardCharsets.UTF_8);
  }

  @Override
  public void close() {
    transport.close();
  }
}
