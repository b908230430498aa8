package dev.lockstep.transport;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.fail;

import dev.lockstep.deadline.Deadline;
import dev.lockstep.memory.Buffer;
import dev.lockstep.memory.HostMemory;
import dev.lockstep.memory.MemoryPool;
import dev.lockstep.memory.Registration;
import dev.lockstep.tensor.DType;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.SplittableRandom;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.function.BooleanSupplier;
import java.util.stream.IntStream;

/// The ranks of one job as a test drives them: opens links, makes messages, and polls every
/// transport from the test's own thread until something has come true.
public final class TransportHarness implements AutoCloseable {
  /// Job that all envelopes name.
  public static final long JOB = 0x10C4;

  private static final Duration PATIENCE = Duration.ofSeconds(20);

  private final List<Transport> transports;
  private final MemoryPool pool = MemoryPool.root("test", 1L << 31);
  private final List<Buffer> buffers = Collections.synchronizedList(new ArrayList<>());

  /// Takes transports, one per rank, over; closes them at the end.
  public TransportHarness(List<Transport> transports) {
    this.transports = List.copyOf(transports);
  }

  /// Opens a transport for each rank of a job on one host.
  public static TransportHarness open(TransportProvider provider, int ranks, Path directory) {
    List<Transport> opened = new ArrayList<>();
    for (TransportContext context : contexts(ranks, directory)) {
      opened.add(provider.open(context));
    }
    return new TransportHarness(opened);
  }

  /// Returns the contexts of a job whose ranks are threads of this JVM; rank 0 leads.
  public static List<TransportContext> contexts(int ranks, Path directory) {
    AddressBook book = new MemoryAddressBook();
    List<TransportContext> contexts = new ArrayList<>();
    for (int rank = 0; rank < ranks; rank++) {
      MemoryPool memory = MemoryPool.root("rank " + rank, 1L << 30);
      contexts.add(context(rank, ranks, directory, book, memory));
    }
    return contexts;
  }

  /// Returns the context of one rank of a job on one host.
  public static TransportContext context(
      int rank, int ranks, Path directory, AddressBook book, MemoryPool memory) {
    return new TransportContext(
        JOB,
        rank,
        Collections.nCopies(ranks, "host"),
        "127.0.0.1",
        directory,
        rank == 0,
        book,
        memory,
        Duration.ofSeconds(2));
  }

  /// Returns all ranks.
  public List<Integer> numbers() {
    return IntStream.range(0, transports.size()).boxed().toList();
  }

  /// Returns one rank's transport.
  public Transport transport(int rank) {
    return transports.get(rank);
  }

  /// Opens both ends of a link.
  public Pair link(int from, int to, int communicator) {
    CompletableFuture<Link> receiver =
        CompletableFuture.supplyAsync(
            () -> transport(to).openReceive(from, communicator, PATIENCE),
            task -> Thread.ofPlatform().daemon().start(task));
    Link sender = transport(from).openSend(to, communicator, PATIENCE);
    try {
      return new Pair(sender, receiver.join());
    } catch (CompletionException failure) {
      throw new AssertionError("receiving end did not open", failure);
    }
  }

  /// Both ends of a link.
  public record Pair(Link sender, Link receiver) {}

  /// Allocates memory that the harness closes.
  public Buffer buffer(long bytes) {
    Buffer buffer = HostMemory.allocate(pool, "test", bytes);
    buffers.add(buffer);
    return buffer;
  }

  /// Allocates memory that peers can open; the harness closes it.
  public Buffer shared(long bytes) {
    Buffer buffer = HostMemory.allocateShared(pool, "shared test", bytes, null);
    buffers.add(buffer);
    return buffer;
  }

  /// Returns a range of new memory, `offset` bytes behind its start, filled from a seed.
  public Registration random(long offset, long bytes, long seed) {
    Buffer buffer = buffer(offset + bytes + 16);
    fill(buffer, seed);
    return new Registration(buffer.registration().region(), offset, bytes);
  }

  /// Returns a range of new zeroed memory, `offset` bytes behind its start.
  public Registration zeros(long offset, long bytes) {
    return new Registration(buffer(offset + bytes + 16).registration().region(), offset, bytes);
  }

  /// Returns whether memory holds anything but zeros.
  public static boolean nonZero(MemorySegment segment) {
    for (long i = 0; i < segment.byteSize(); i++) {
      if (segment.get(ValueLayout.JAVA_BYTE, i) != 0) {
        return true;
      }
    }
    return false;
  }

  /// Fills a buffer from a seed.
  public static void fill(Buffer buffer, long seed) {
    SplittableRandom random = new SplittableRandom(seed);
    for (long i = 0; i + 8 <= buffer.bytes(); i += 8) {
      buffer.segment().set(ValueLayout.JAVA_LONG_UNALIGNED, i, random.nextLong());
    }
  }

  /// Fills a range with small numbers of a type, whose sums are exact.
  public static void numbers(Registration range, DType dtype, long seed) {
    SplittableRandom random = new SplittableRandom(seed);
    MemorySegment segment = Arena.ofAuto().allocate(range.bytes(), 8);
    for (int i = 0; i < range.bytes() / dtype.bytes(); i++) {
      ReducerTest.set(dtype, segment, i, random.nextInt(2));
    }
    range.segment().copyFrom(segment);
  }

  /// Returns a message to send, with the envelope of a sequence number.
  public static Transfer send(Registration source, int communicator, long sequence) {
    return stamped(Transfer.send(source), communicator, sequence);
  }

  /// Returns a message to receive by copying.
  public static Transfer receive(Registration target, int communicator, long sequence) {
    return stamped(Transfer.receive(new Sink.Copy(target)), communicator, sequence);
  }

  /// Fills an envelope in, as a collective does.
  public static Transfer stamped(Transfer transfer, int communicator, long sequence) {
    Envelope envelope = transfer.envelope();
    envelope.job = JOB;
    envelope.communicator = communicator;
    envelope.sequence = sequence;
    envelope.schedule = 7;
    envelope.kind = 1;
    envelope.length = transfer.bytes();
    envelope.count = transfer.bytes();
    return transfer;
  }

  /// Posts, polling while there is no room.
  public void post(Link link, Transfer transfer) {
    until(
        () -> {
          int answer = link.post(transfer);
          assertThat(answer).as("answer of post").isNotEqualTo(Link.CLOSED);
          return answer == Link.ACCEPTED;
        });
  }

  /// Polls every transport once.
  public int poll() {
    int work = 0;
    for (Transport transport : transports) {
      work += transport.poll();
    }
    return work;
  }

  /// Sends messages of random lengths to and fro between the first two ranks, one after another,
  /// and requires each to arrive whole.
  ///
  /// @param longest a length above that of any message
  public void exchange(int messages, int longest) {
    Pair there = link(0, 1, 1);
    Pair back = link(1, 0, 1);
    SplittableRandom random = new SplittableRandom(7);
    for (int i = 0; i < messages; i++) {
      int bytes = random.nextInt(random.nextInt(longest) + 1);
      deliver(i % 2 == 0 ? there : back, 1, i, bytes);
    }
  }

  /// Sends a message over a link and requires it to arrive whole.
  public void deliver(Pair pair, int communicator, long sequence, int bytes) {
    Registration source = random(0, bytes, sequence);
    Registration target = zeros(0, bytes);
    Transfer sending = send(source, communicator, sequence);
    Transfer receiving = receive(target, communicator, sequence);
    post(pair.receiver(), receiving);
    post(pair.sender(), sending);
    until(
        () -> {
          int _ = pair.sender().poll() + pair.receiver().poll();
          return sending.state() != Transfer.State.POSTED
              && receiving.state() != Transfer.State.POSTED;
        });
    await(sending, receiving);
    assertThat(target.segment().mismatch(source.segment()))
        .as("message %d", sequence)
        .isEqualTo(-1);
  }

  /// Polls until all transfers are complete; fails with the failure of one that failed.
  public void await(Transfer... transfers) {
    for (Transfer transfer : transfers) {
      until(() -> transfer.state() != Transfer.State.POSTED);
      if (!transfer.isDone()) {
        throw new AssertionError("transfer failed", transfer.failure());
      }
    }
  }

  /// Polls until a transfer has failed and returns why.
  public RuntimeException failure(Transfer transfer) {
    until(() -> transfer.state() != Transfer.State.POSTED);
    assertThat(transfer.state()).isEqualTo(Transfer.State.FAILED);
    RuntimeException failure = transfer.failure();
    return failure == null ? fail("failed transfer without a failure") : failure;
  }

  /// Polls until a condition holds.
  public void until(BooleanSupplier condition) {
    Deadline.until(
        () -> {
          if (condition.getAsBoolean()) {
            return true;
          }
          var _ = poll();
          return false;
        });
  }

  /// Closes the ranks side by side, as processes do: each says farewell to the others and waits for
  /// theirs.
  @Override
  public void close() {
    CompletableFuture<?>[] closing =
        transports.stream()
            .map(
                transport ->
                    CompletableFuture.runAsync(
                        transport::close, task -> Thread.ofPlatform().daemon().start(task)))
            .toArray(CompletableFuture[]::new);
    CompletableFuture.allOf(closing).join();
    buffers.forEach(Buffer::close);
    pool.close();
  }
}
