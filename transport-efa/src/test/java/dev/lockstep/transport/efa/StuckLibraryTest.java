package dev.lockstep.transport.efa;

import static java.lang.foreign.ValueLayout.JAVA_LONG;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lockstep.deadline.Deadline;
import dev.lockstep.deadline.MachineLoad;
import dev.lockstep.failure.TransportException;
import dev.lockstep.memory.Buffer;
import dev.lockstep.memory.HostMemory;
import dev.lockstep.memory.MemoryPool;
import dev.lockstep.transport.Link;
import dev.lockstep.transport.Transfer;
import dev.lockstep.transport.Transport;
import dev.lockstep.transport.TransportContext;
import dev.lockstep.transport.TransportHarness;
import dev.lockstep.transport.efa.ffi.Libfabric;
import dev.lockstep.transport.efa.ffi.QueueCalls;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.locks.LockSupport;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/// A libfabric that does not return from a call: `shm` spins for good where a peer died with its
/// lock. Nobody but the thread inside waits for it without end.
@Timeout(30)
final class StuckLibraryTest {
  private static final int WORLD = 1;
  private static final Duration LIVENESS = Duration.ofMillis(200);
  // Of a pause of whoever waits two milliseconds count at most.
  private static final Duration IN_TIME = LIVENESS.multipliedBy(2).plusSeconds(10);

  @TempDir private Path directory;

  private final CountDownLatch inside = new CountDownLatch(1);
  private final CountDownLatch over = new CountDownLatch(1);
  private volatile boolean stands;
  private volatile boolean staysOpen;

  @Test
  void otherThreadsGetATypedErrorAndCanClose() throws Exception {
    LibfabricJudge.require(new OfiTcpProvider());
    try (MemoryPool pool = MemoryPool.root("rank", 1L << 28)) {
      Transport transport =
          new OfiTcpProvider().open(context(pool), FabricOptions.defaults(), Standing::new);
      Link link = transport.openReceive(1, WORLD, Duration.ofSeconds(5));
      stands = true;
      Thread stuck = Thread.ofPlatform().daemon().start(transport::poll);
      inside.await();
      Buffer target = HostMemory.allocate(pool, "target", 1000);
      Transfer waiting = TransportHarness.receive(target.registration(), WORLD, 0);
      target.close();
      long start = System.nanoTime();
      assertThatThrownBy(() -> link.post(waiting))
          .isInstanceOf(TransportException.class)
          .hasMessageContaining("libfabric does not return from a call: transport=ofi:tcp");
      link.close();
      transport.close();
      transport.close();
      assertThat(Duration.ofNanos(System.nanoTime() - start))
          .as(MachineLoad::now)
          .isLessThan(IN_TIME);
      assertThat(transport.poll()).isZero();
      assertThat(pool.usedBytes()).as("what libfabric may touch").isPositive();
      over.countDown();
      stuck.join();
      Deadline.until(() -> pool.usedBytes() == 0); // given back when libfabric has returned
    }
  }

  /// As EFA's provider up to 2.4 does while it waits for what is on its way to a peer that is gone.
  @Test
  void whoClosesDoesNotWaitForAnEndpointThatDoesNotClose() throws Exception {
    LibfabricJudge.require(new OfiTcpProvider());
    try (MemoryPool pool = MemoryPool.root("rank", 1L << 28)) {
      Transport transport =
          new OfiTcpProvider().open(context(pool), FabricOptions.defaults(), Standing::new);
      staysOpen = true;
      long start = System.nanoTime();
      transport.close();
      assertThat(Duration.ofNanos(System.nanoTime() - start)).isLessThan(IN_TIME);
      assertThat(transport.poll()).isZero();
      assertThat(pool.usedBytes()).as("what libfabric may touch").isPositive();
      over.countDown();
      Deadline.until(() -> pool.usedBytes() == 0);
    }
  }

  private TransportContext context(MemoryPool pool) {
    TransportContext usual = TransportHarness.contexts(2, directory).getFirst();
    return new TransportContext(
        usual.jobId(),
        usual.rank(),
        List.of("host", "host"),
        usual.bindAddress(),
        directory,
        true,
        usual.addresses(),
        pool,
        LIVENESS);
  }

  /// Stands still in the first look at the queue after it was told to, or closing its endpoint.
  private final class Standing extends ForwardingLibfabric {
    private long endpoint;

    Standing(Libfabric library) {
      super(library);
    }

    @Override
    public int endpoint(long domain, long info, MemorySegment opened) {
      int status = super.endpoint(domain, info, opened);
      endpoint = opened.get(JAVA_LONG, 0);
      return status;
    }

    @Override
    public long cqRead(QueueCalls queue, long entries, long count) {
      if (stands) {
        inside.countDown();
        stand();
      }
      return super.cqRead(queue, entries, count);
    }

    @Override
    public int close(long object) {
      if (staysOpen && object == endpoint) {
        stand();
      }
      return super.close(object);
    }

    private void stand() {
      while (over.getCount() > 0) {
        LockSupport.parkNanos(this, 100_000);
      }
    }
  }
}
