import dev.lockstep.memory.Buffer;
import dev.lockstep.memory.HostMemory;
import dev.lockstep.memory.MemoryPool;
import dev.lockstep.transport.AddressBook;
import dev.lockstep.transport.Envelope;
import dev.lockstep.transport.Link;
import dev.lockstep.transport.Sink;
import dev.lockstep.transport.Transfer;
import dev.lockstep.transport.Transport;
import dev.lockstep.transport.TransportContext;
import dev.lockstep.transport.TransportProvider;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.time.Duration;
import java.util.List;
import java.util.Locale;
import java.util.ServiceLoader;
import java.util.concurrent.locks.LockSupport;

/// One of two ranks that throw one message to and fro over a transport's links; rank 0 prints for each
/// size: bytes, and the microseconds of one way, the mean as `fi_pingpong` prints it. See
/// `bench/peers/pingpong/run`.
///
///     PingPong TRANSPORT RANK FOLDER ITERATIONS WARM_UPS WARM_UP_SECONDS SIZE…
class PingPong {
  private static final int COMMUNICATOR = 1;
  private static final Duration PATIENCE = Duration.ofSeconds(30);

  private final Transport transport;
  private final Link in;
  private final Link out;
  private final MemorySegment mine;
  private final MemorySegment theirs;
  private final Transfer sending;
  private final Transfer receiving;
  private long sequence;

  private PingPong(Transport transport, Link in, Link out, Buffer mine, Buffer theirs, int bytes) {
    this.transport = transport;
    this.in = in;
    this.out = out;
    this.mine = mine.segment();
    this.theirs = theirs.segment();
    this.sending = stamped(Transfer.send(mine.registration().slice(0, bytes)));
    this.receiving = stamped(Transfer.receive(new Sink.Copy(theirs.registration().slice(0, bytes))));
  }

  public static void main(String[] args) throws IOException {
    int rank = Integer.parseInt(args[1]);
    Path folder = Path.of(args[2]);
    int iterations = Integer.parseInt(args[3]);
    int warmUps = Integer.parseInt(args[4]);
    long warmUpNanos = (long) (Double.parseDouble(args[5]) * 1e9);
    List<Integer> sizes = List.of(args).subList(6, args.length).stream().map(Integer::valueOf).toList();
    int largest = sizes.stream().max(Integer::compare).orElseThrow();
    TransportProvider provider =
        ServiceLoader.load(TransportProvider.class).stream()
            .map(ServiceLoader.Provider::get)
            .filter(found -> found.name().equals(args[0]))
            .findFirst()
            .orElseThrow(() -> new IllegalArgumentException("no such transport: name=" + args[0]));
    try (MemoryPool pool = MemoryPool.root("ping-pong", 1L << 30)) {
      var context =
          new TransportContext(
              7, rank, List.of("here", "here"), "127.0.0.1", folder, rank == 0, new FileBook(folder), pool,
              Duration.ofSeconds(10));
      try (Transport transport = provider.open(context);
          Buffer mine = HostMemory.allocate(pool, "mine", largest);
          Buffer theirs = HostMemory.allocate(pool, "theirs", largest)) {
        Link in = transport.openReceive(1 - rank, COMMUNICATOR, PATIENCE);
        Link out = transport.openSend(1 - rank, COMMUNICATOR, PATIENCE);
        long sequence = 0;
        for (int bytes : sizes) {
          PingPong game = new PingPong(transport, in, out, mine, theirs, bytes);
          game.sequence = sequence;
          game.warmUp(rank, bytes <= 1 << 16 ? warmUps : Math.max(10, warmUps / 20), warmUpNanos);
          int times = bytes <= 1 << 16 ? iterations : Math.max(10, iterations / 20);
          long start = System.nanoTime();
          game.play(rank, times);
          double micros = (System.nanoTime() - start) / 2e3 / times;
          sequence = game.sequence;
          if (rank == 0) {
            System.out.printf(Locale.ROOT, "%d %.3f%n", bytes, micros);
          }
        }
      }
    }
  }

  /// Plays so many games at least, and until the code is compiled: both ranks' compilers share their cores with
  /// them. Rank 0 has the clock and says in the last message of a game whether there is another one.
  private void warmUp(int rank, int times, long nanos) {
    long start = System.nanoTime();
    boolean goesOn = true;
    while (goesOn) {
      play(rank, times);
      if (rank == 0) {
        goesOn = System.nanoTime() - start < nanos;
        mine.set(ValueLayout.JAVA_BYTE, 0, (byte) (goesOn ? 1 : 0));
        play(rank, 1);
      } else {
        play(rank, 1);
        goesOn = theirs.get(ValueLayout.JAVA_BYTE, 0) != 0;
      }
    }
  }

  private void play(int rank, int times) {
    for (int i = 0; i < times; i++) {
      if (rank == 0) {
        post(in, receiving);
        post(out, sending);
        await(receiving);
        await(sending);
      } else {
        post(in, receiving);
        await(receiving);
        post(out, sending);
        await(sending);
      }
      sequence++;
    }
  }

  private void post(Link link, Transfer transfer) {
    transfer.envelope().sequence = sequence;
    while (link.post(transfer) != Link.ACCEPTED) {
      transport.poll();
    }
  }

  private void await(Transfer transfer) {
    while (!transfer.isDone()) {
      RuntimeException failure = transfer.failure();
      if (failure != null) {
        throw failure;
      }
      transport.poll();
    }
  }

  private static Transfer stamped(Transfer transfer) {
    Envelope envelope = transfer.envelope();
    envelope.job = 7;
    envelope.communicator = COMMUNICATOR;
    envelope.length = transfer.bytes();
    envelope.count = transfer.bytes();
    return transfer;
  }

  /// A file for each key.
  private record FileBook(Path folder) implements AddressBook {
    private Path file(String key) {
      return folder.resolve(key.replace('/', '_'));
    }

    @Override
    public void publish(String key, byte[] value) {
      try {
        Path part = Files.createTempFile(folder, "value", ".part");
        Files.write(part, value);
        Files.move(part, file(key), StandardCopyOption.ATOMIC_MOVE);
      } catch (IOException failure) {
        throw new UncheckedIOException(failure);
      }
    }

    @Override
    public byte[] lookup(String key, Duration timeout) {
      long start = System.nanoTime();
      while (!Files.exists(file(key))) {
        if (System.nanoTime() - start > timeout.toNanos()) {
          throw new IllegalStateException("peer does not come: key=" + key);
        }
        LockSupport.parkNanos(100_000);
      }
      try {
        return Files.readAllBytes(file(key));
      } catch (IOException failure) {
        throw new UncheckedIOException(failure);
      }
    }
  }
}
