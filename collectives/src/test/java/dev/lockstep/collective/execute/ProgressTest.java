package dev.lockstep.collective.execute;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.catchThrowable;

import dev.lockstep.collective.request.CollectiveKind;
import dev.lockstep.deadline.Deadline;
import dev.lockstep.failure.CollectiveAbortedException;
import dev.lockstep.job.Job;
import dev.lockstep.job.JobConfig;
import dev.lockstep.memory.Buffer;
import dev.lockstep.memory.HostMemory;
import dev.lockstep.memory.Region;
import dev.lockstep.memory.StubRegion;
import dev.lockstep.transport.PeerAccess;
import dev.lockstep.transport.Transport;
import dev.lockstep.transport.TransportProvider;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.ServiceLoader;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.BooleanSupplier;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/// Whatever fails, everything that was started ends, and nothing counts as over before it is.
@Timeout(20)
final class ProgressTest {
  private static final long LONG = Duration.ofSeconds(10).toNanos();

  /// Longer than a rank waits before it tells the others.
  private static final long LONG_WAIT = Duration.ofMillis(150).toNanos();

  private final Job job =
      Job.inProcess(
              1,
              new JobConfig(
                  Map.of(), Duration.ofSeconds(20), Duration.ofSeconds(2), Long.MAX_VALUE))
          .getFirst();
  private final Transport transport =
      ServiceLoader.load(TransportProvider.class).stream()
          .map(ServiceLoader.Provider::get)
          .filter(provider -> provider.name().equals("in-process"))
          .findFirst()
          .orElseThrow()
          .open(job.transportContext());
  private final PeerAccess access = transport.peerAccess(List.of(0)).orElseThrow();
  private final Driving driving = new Driving(transport, 0, true);
  private final List<AutoCloseable> made = new ArrayList<>();
  private final Progress progress = progress(1);

  @AfterEach
  void close() throws Exception {
    for (AutoCloseable thing : made) {
      thing.close();
    }
    job.close();
  }

  private Progress progress(int communicator) {
    access.openSignals(communicator);
    Buffer mail =
        HostMemory.allocateShared(
            job.memory(), "mailboxes", Endpoint.mailBytes(1), job.directory());
    List<byte[]> descriptors = List.of(access.describe(mail.registration()));
    Endpoint endpoint =
        new Endpoint(
            job.id(),
            communicator,
            Members.all(job),
            driving,
            Optional.of(new Endpoint.SharedMemory(access, mail, descriptors)),
            job.memory());
    Progress of = new Progress(job, endpoint, driving);
    made.add(() -> of.close(false));
    made.add(endpoint);
    return of;
  }

  /// Memory at which something happens whenever it is leased, given back or quarantined.
  private static final class Watched extends StubRegion {
    final AtomicInteger leases = new AtomicInteger();
    final AtomicInteger quarantines = new AtomicInteger();
    Runnable acquired = () -> {};
    Runnable released = () -> {};
    Runnable quarantined = () -> {};

    @Override
    public void acquire() {
      acquired.run();
      leases.incrementAndGet();
    }

    @Override
    public void release() {
      released.run();
      leases.decrementAndGet();
    }

    @Override
    public void quarantine() {
      quarantined.run();
      quarantines.incrementAndGet();
    }

    @Override
    public void liftQuarantine() {
      quarantines.decrementAndGet();
    }
  }

  private Operation operation(Runnable step, Watched... memory) {
    return operation(
        -1,
        "here",
        () -> {
          step.run();
          return true;
        },
        memory);
  }

  /// Makes an operation of one step.
  ///
  /// @param peer whose memory the step is about, or -1
  /// @param site where it was prepared, or empty
  /// @param step returns whether it is done
  private Operation operation(int peer, String site, BooleanSupplier step, Watched... memory) {
    Action action =
        new Action(peer) {
          @Override
          boolean run(long operation) {
            return step.getAsBoolean();
          }
        };
    Program program = new Program(List.of(action), List.of(List.of()), List.of(), transport, 1);
    List<Region> regions = List.of(memory);
    return new Operation(
        CollectiveKind.BARRIER, "barrier", site, program, List.of(), List.of(), regions, regions);
  }

  @Test
  void whatIsNoPeersDoingIsToldAsItIs() {
    int peer = 0;
    Operation operation =
        operation(
            peer,
            "here",
            () -> {
              throw new IndexOutOfBoundsException("a bug of ours");
            });
    assertThatThrownBy(() -> progress.run(operation, LONG))
        .isInstanceOf(CollectiveAbortedException.class)
        .hasMessageContaining("a bug of ours");
    assertThat(job.failure())
        .hasValueSatisfying(
            record -> assertThat(record.kind()).isEqualTo("CollectiveAbortedException"));
  }

  @Test
  void theReasonOfAnAbortIsToldWhetherOrNotAnythingIsUnderWay() {
    progress.start(operation(-1, "here", () -> false), LONG, false);
    progress.abort(new ArithmeticException("enough"), "testing");
    assertThat(job.failure())
        .hasValueSatisfying(
            record -> {
              assertThat(record.kind()).isEqualTo("ArithmeticException");
              assertThat(record.message()).isEqualTo("enough");
            });
  }

  /// Where it says so, a rank that waits in vain tells the others where it stands.
  @Test
  void whoOnlyPollsAsksNothingOfTheStore() {
    Operation operation = operation(-1, "here", () -> false);
    progress.start(operation, LONG, false);
    long start = System.nanoTime();
    while (System.nanoTime() - start < LONG_WAIT) {
      progress.poll();
    }
    assertThat(job.store().peek("collective/1/in/0")).isEmpty();
    job.fail(new IllegalStateException("enough"), "testing");
    progress.poll();
    assertThatThrownBy(operation::isDone).hasMessageContaining("enough");
  }

  @Test
  void aLongWaitIsOverForWhoAsksWhatThisRankDoes() {
    AtomicBoolean done = new AtomicBoolean();
    Operation operation = operation(-1, "here", done::get);
    job.activity("training step");
    progress.start(operation, LONG, true);
    Deadline.until(() -> job.activity().startsWith("waiting in barrier"));
    done.set(true);
    progress.drain();
    assertThat(job.activity()).isEqualTo("training step");
  }

  @Test
  void whereItIsCalledIsSaidOfWhoWaitsForIt() {
    CountDownLatch inside = new CountDownLatch(1);
    CountDownLatch goOn = new CountDownLatch(1);
    AtomicBoolean done = new AtomicBoolean();
    BooleanSupplier slow =
        () -> {
          inside.countDown();
          ProgressTest.await(goOn);
          return done.get();
        };
    Operation operation = operation(-1, "", slow);
    progress.start(operation, LONG, true); // moved by a thread of its own
    await(inside);
    assertThat(operation.description()).isEqualTo("barrier at sequence 0");
    Thread waits = Thread.ofPlatform().start(() -> waitFor(operation));
    Deadline.until(() -> operation.description().contains("ProgressTest.waitFor("));
    done.set(true);
    goOn.countDown();
    Deadline.until(() -> !waits.isAlive());
  }

  private void waitFor(Operation operation) {
    progress.await(operation);
  }

  private static Runnable fails(String how) {
    return () -> {
      throw new IllegalStateException(how);
    };
  }

  private static void await(CountDownLatch latch) {
    try {
      latch.await();
    } catch (InterruptedException ended) {
      throw new AssertionError(ended);
    }
  }

  @Test
  void memoryIsInUseUntilWhatWasStagedHasBeenCopiedOut() {
    CountDownLatch finishing = new CountDownLatch(1);
    CountDownLatch goOn = new CountDownLatch(1);
    Runnable slow =
        () -> {
          finishing.countDown();
          await(goOn);
        };
    Watched memory = new Watched();
    memory.released = slow;
    Operation operation = operation(() -> {}, memory);
    progress.start(operation, LONG, true);
    await(finishing);
    boolean over = progress.drain(Duration.ZERO);
    goOn.countDown();
    assertThat(over).isFalse();
    progress.drain();
    assertThat(operation.isDone()).isTrue();
  }

  @Test
  void aFailureOfWhichNothingCanBeLearnedEndsTheCollective() {
    int nobody = 7;
    Watched memory = new Watched();
    Operation operation =
        operation(
            () -> {
              throw new PeerFailure(nobody, PeerFailure.Kind.DISAGREES, "another collective");
            },
            memory);
    Throwable failure = catchThrowable(() -> progress.run(operation, LONG));
    assertThat(failure)
        .isInstanceOf(CollectiveAbortedException.class)
        .hasMessageContaining("another collective");
    assertThat(failure.getSuppressed()).singleElement().isInstanceOf(RuntimeException.class);
    assertThat(memory.leases).hasValue(0);
    assertThat(job.failure()).isPresent();
    assertThatThrownBy(() -> progress.run(operation, LONG))
        .isInstanceOf(CollectiveAbortedException.class)
        .hasMessageContaining("cannot be used after a failure");
  }

  @Test
  void aLeaseThatCannotBeGivenBackKeepsNoOther() {
    Watched first = new Watched();
    Watched broken = new Watched();
    Watched last = new Watched();
    broken.released = fails("lease is gone");
    Operation operation = operation(() -> {}, first, broken, last);
    assertThatThrownBy(() -> progress.run(operation, LONG)).hasMessageContaining("lease is gone");
    assertThat(first.leases).hasValue(0);
    assertThat(last.leases).hasValue(0);
  }

  @Test
  void aStepThatCannotBeFreedKeepsNoOther() {
    List<String> freed = new ArrayList<>();
    List<Action> steps = List.of(step("first", freed), step("second", freed));
    Program program = new Program(steps, List.of(List.of(), List.of()), List.of(), transport, 1);
    assertThatThrownBy(program::close).isInstanceOf(IllegalStateException.class);
    assertThat(freed).containsExactlyInAnyOrder("first", "second");
  }

  private static Action step(String name, List<String> freed) {
    return new Action(-1) {
      @Override
      boolean run(long operation) {
        return true;
      }

      @Override
      void close() {
        freed.add(name);
        throw new IllegalStateException(name);
      }
    };
  }

  @Test
  void memoryThatIsClosedDoesNotKeepAFailureFromEndingTheCollective() {
    Watched closed = new Watched();
    closed.quarantined = fails("buffer is closed");
    Watched open = new Watched();
    Operation operation = operation(fails("broken"), closed, open);
    assertThatThrownBy(() -> progress.run(operation, LONG))
        .isInstanceOf(CollectiveAbortedException.class)
        .hasMessageContaining("broken");
    assertThat(open.quarantines).hasValue(1);
    assertThat(closed.leases).hasValue(0);
    assertThat(progress.hasFailed()).isTrue();
    progress.drain();
  }

  @Test
  void theThreadGoesOnWithOtherCommunicatorsWhenOneCannotEnd() {
    Watched cursed = new Watched();
    cursed.quarantined =
        () -> {
          throw new AssertionError("memory that cannot be kept");
        };
    Operation first = operation(fails("broken"), cursed);
    Progress other = progress(2);
    progress.start(first, LONG, true);
    AtomicReference<@Nullable Throwable> failure = new AtomicReference<>();
    Deadline.until(
        () -> {
          failure.set(catchThrowable(first::isDone));
          return failure.get() != null;
        });
    assertThat(failure.get()).isInstanceOf(CollectiveAbortedException.class);
    Operation second = operation(() -> {});
    other.start(second, LONG, true);
    Deadline.until(second::isDone);
  }

  @Test
  void nothingIsStartedOnceACommunicatorHasFailed() throws InterruptedException {
    CountDownLatch starting = new CountDownLatch(1);
    CountDownLatch goOn = new CountDownLatch(1);
    Runnable slow =
        () -> {
          starting.countDown();
          await(goOn);
        };
    Watched memory = new Watched();
    memory.acquired = slow;
    Operation first = operation(() -> {}, memory);
    Thread before = Thread.ofPlatform().start(() -> progress.start(first, LONG, true));
    await(starting);
    AtomicReference<@Nullable Throwable> refused = new AtomicReference<>();
    Thread late =
        Thread.ofPlatform()
            .start(
                () ->
                    refused.set(
                        catchThrowable(() -> progress.start(operation(() -> {}), LONG, true))));
    Deadline.until(() -> late.getState() == Thread.State.BLOCKED); // behind the first
    progress.abort(new IllegalStateException("enough"), "testing");
    goOn.countDown();
    before.join();
    late.join();
    assertThat(refused.get())
        .isInstanceOf(CollectiveAbortedException.class)
        .hasMessageContaining("enough");
    assertThatThrownBy(() -> progress.await(first)).isInstanceOf(CollectiveAbortedException.class);
  }
}
