package dev.lockstep.collective.execute;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowable;

import dev.lockstep.collective.request.CollectiveKind;
import dev.lockstep.failure.CollectiveAbortedException;
import dev.lockstep.job.Job;
import dev.lockstep.job.JobConfig;
import dev.lockstep.memory.Buffer;
import dev.lockstep.memory.HostMemory;
import dev.lockstep.transport.ForwardingPeerAccess;
import dev.lockstep.transport.PeerAccess;
import dev.lockstep.transport.Transport;
import dev.lockstep.transport.TransportProvider;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.ServiceLoader;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicReference;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/// A thread that waits for a collective while another moves it, and then is in the middle of a
/// step, when the communicator is aborted.
@Timeout(20)
final class AbortedWaitTest {
  private static final int COMMUNICATOR = 1;
  private static final Duration PATIENCE = Duration.ofSeconds(10);

  private final List<Job> jobs =
      Job.inProcess(
          2,
          new JobConfig(Map.of(), Duration.ofSeconds(20), Duration.ofSeconds(2), Long.MAX_VALUE));
  private final List<Transport> transports = new ArrayList<>();
  private final List<PeerAccess> accesses = new ArrayList<>();
  private final List<Buffer> mail = new ArrayList<>();
  private final List<byte[]> descriptors = new ArrayList<>();
  private final List<Progress> progresses = new ArrayList<>();
  private final Deque<AutoCloseable> open = new ArrayDeque<>();
  private final CountDownLatch stepping = new CountDownLatch(1);
  private final CountDownLatch goOn = new CountDownLatch(1);
  private final List<Thread> threads = new ArrayList<>();

  @AfterEach
  void close() throws Exception {
    goOn.countDown();
    for (Thread thread : threads) {
      thread.join();
    }
    for (AutoCloseable thing : open) {
      thing.close();
    }
    for (Job job : jobs) {
      job.close();
    }
  }

  private Thread start(Runnable task) {
    Thread thread = Thread.ofPlatform().daemon().start(task);
    threads.add(thread);
    return thread;
  }

  /// Peers' memory of one rank; some threads signal once the test lets them.
  private static final class SlowAccess extends ForwardingPeerAccess {
    private final CountDownLatch goOn;
    private final List<Thread> slow;

    SlowAccess(PeerAccess of, CountDownLatch goOn, List<Thread> slow) {
      super(of);
      this.goOn = goOn;
      this.slow = slow;
    }

    @Override
    public void signal(int peer, int communicator, int slot, long value) {
      if (slow.contains(Thread.currentThread())) {
        await(goOn);
      }
      super.signal(peer, communicator, slot, value);
    }
  }

  private static void await(CountDownLatch latch) {
    try {
      latch.await();
    } catch (InterruptedException ended) {
      throw new AssertionError(ended);
    }
  }

  private static Transport transport(Job job) {
    return ServiceLoader.load(TransportProvider.class).stream()
        .map(ServiceLoader.Provider::get)
        .filter(provider -> provider.name().equals("in-process"))
        .findFirst()
        .orElseThrow()
        .open(job.transportContext());
  }

  /// An operation of one step, which lasts until the test lets it go on.
  private Operation slowStep(Transport transport) {
    Action step =
        new Action(-1) {
          @Override
          boolean run(long operation) {
            stepping.countDown();
            await(goOn);
            return true;
          }
        };
    Program program = new Program(List.of(step), List.of(List.of()), List.of(), transport, 2);
    return new Operation(
        CollectiveKind.BARRIER,
        "barrier",
        "here",
        program,
        List.of(),
        List.of(),
        List.of(),
        List.of());
  }

  @BeforeEach
  void openOnAllRanks() {
    for (Job job : jobs) {
      transports.add(transport(job));
      PeerAccess access = transports.getLast().peerAccess(List.of(0, 1)).orElseThrow();
      access.openSignals(COMMUNICATOR);
      accesses.add(access);
      long bytes = Endpoint.mailBytes(2);
      mail.add(HostMemory.allocateShared(job.memory(), "mailboxes", bytes, job.directory()));
      descriptors.add(access.describe(mail.getLast().registration()));
    }
  }

  private Endpoint endpoint(int rank, PeerAccess access, Driving driving) {
    Job job = jobs.get(rank);
    var shared = new Endpoint.SharedMemory(access, mail.get(rank), descriptors);
    Endpoint endpoint =
        new Endpoint(
            job.id(), COMMUNICATOR, Members.all(job), driving, Optional.of(shared), job.memory());
    Progress progress = new Progress(job, endpoint, driving);
    progresses.add(progress);
    open.push(endpoint);
    open.push(() -> progress.close(false));
    return endpoint;
  }

  @Test
  void endsAtOnceAndNotBeforePeersKnowThatTheyMayNotWriteHere() throws InterruptedException {
    List<Thread> slow = new CopyOnWriteArrayList<>();
    var _ =
        endpoint(
            0,
            new SlowAccess(accesses.getFirst(), goOn, slow),
            new Driving(transports.getFirst(), 0, true));
    Endpoint peer = endpoint(1, accesses.getLast(), new Driving(transports.getLast(), 1, true));
    Progress progress = progresses.getFirst();
    Operation operation = slowStep(transports.getFirst());
    start(
        () -> {
          var _ = catchThrowable(() -> progress.run(operation, PATIENCE.toNanos()));
        });
    await(stepping);
    AtomicReference<@Nullable Throwable> ended = new AtomicReference<>();
    Thread waiter = start(() -> ended.set(catchThrowable(() -> progress.await(operation))));
    // Whoever aborts has not told the peers yet when whoever waits sees that it does.
    start(
        () -> {
          slow.add(Thread.currentThread());
          progress.abort(new IllegalStateException("enough"), "testing");
        });
    assertThat(waiter.join(PATIENCE)).as("the wait ends").isTrue();
    assertThat(ended.get())
        .isInstanceOf(CollectiveAbortedException.class)
        .hasMessageContaining("enough");
    assertThat(peer.hasRevoked(0)).isTrue();
  }
}
