package dev.lockstep.train;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lockstep.deadline.Deadline;
import dev.lockstep.failure.CheckpointException;
import dev.lockstep.failure.LockstepException;
import dev.lockstep.failure.MemoryBudgetException;
import dev.lockstep.job.Job;
import dev.lockstep.job.JobFailedException;
import dev.lockstep.memory.MemoryPool.Charge;
import dev.lockstep.train.CheckpointWriter.Output;
import dev.lockstep.train.FailingFiles.Failure;
import dev.lockstep.train.checkpoint.CheckpointFiles;
import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;
import java.util.stream.Stream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/// Two ranks write a checkpoint side by side, and one of them fails: wherever it does, a whole
/// checkpoint is there, and the other one hears of it.
@Timeout(240)
class CheckpointWritersTest extends SmallRuns {
  private static final Duration WAIT = Duration.ofSeconds(30);

  private Trainer start(Job job, Recipe recipe, int failing, FailingFiles files) {
    CheckpointFiles disk = job.rank() == failing ? files : CheckpointFiles.disk();
    Output output = new Output(disk, CheckpointWriter.FILE_BYTES);
    return Trainer.start(job, recipe, corpus, options("tp=2", 0), output);
  }

  /// The first writes the headers and puts the folder in its place, the second its part alone.
  @Tag("long")
  @ParameterizedTest(name = "rank {0}, {1} at every {2} calls")
  @CsvSource({"0, KILLED, 8", "1, KILLED, 3", "1, TORN, 9"})
  void whereverOneOfTwoRanksDiesACheckpointIsThereAndWhole(int dying, Failure how, int stride)
      throws Exception {
    long call = 0;
    while (endsAt(dying, how, call)) {
      call += stride;
    }
    System.out.printf(
        "checkpoints: rank %d of 2 %s at every %d of %d calls, one whole each time%n",
        dying, how, stride, call);
    assertThat(call).isGreaterThan(3);
  }

  /// Saves twice with two ranks, of which one dies at a call of the second time; returns whether it
  /// came so far.
  private boolean endsAt(int dying, Failure how, long call) throws Exception {
    Path folder = directory.resolve("of-two-" + call).resolve("checkpoint");
    Map<Long, String> hashes = new ConcurrentHashMap<>();
    FailingFiles mortal = new FailingFiles();
    List<String> told = Collections.synchronizedList(new ArrayList<>());
    boolean died = false;
    try {
      InProcessRanks.run(
          2,
          job -> {
            try (Trainer trainer = start(job, TINY, dying, mortal)) {
              step(trainer, hashes);
              trainer.save(folder);
              step(trainer, hashes);
              if (job.rank() == dying) {
                mortal.arm(how, call);
                trainer.save(folder);
              } else {
                saveBesideTheDying(trainer, folder, told);
              }
            }
            return 0;
          });
    } catch (Exception expected) {
      died = true;
    }
    assertThat(died).as("call %d", call).isEqualTo(mortal.calls() > call);
    assertThat(told)
        .as("call %d", call)
        .hasSize(died ? 1 : 0)
        .allMatch(
            words ->
                words.contains("failedRank=" + dying + ",")
                    || words.contains("rank " + dying + " failed: "));
    // The first rank may die when it has put the new one in its place.
    long newest = died && dying > 0 ? 1 : 2;
    assertThat(opened(folder, hashes)).as("call %d", call).isIn(died ? 1L : 2L, newest);
    return died;
  }

  private static void saveBesideTheDying(Trainer trainer, Path folder, List<String> told) {
    try {
      trainer.save(folder);
    } catch (LockstepException lost) {
      told.add(String.valueOf(lost.getMessage()));
      throw lost;
    }
  }

  /// At whichever of the second writer's calls no space is left, both say so, the old one stays,
  /// and the run goes on.
  @Tag("long")
  @Test
  void whereverTheSecondOfTwoRanksFindsNoSpaceTheOldOneStays() throws Exception {
    Path folder = directory.resolve("checkpoint");
    Map<Long, String> hashes = new ConcurrentHashMap<>();
    FailingFiles full = new FailingFiles();
    List<Long> points =
        InProcessRanks.run(
            2,
            job -> {
              try (Trainer trainer = start(job, TINY, 1, full)) {
                trainer.save(folder);
                long call = 0;
                while (findsNoSpace(job, trainer, full, call, hashes, folder)) {
                  call++;
                }
                return call;
              }
            });
    System.out.printf(
        "checkpoints: rank 1 of 2 without space from each of %d calls on%n", points.getFirst());
    assertThat(points.getFirst()).isGreaterThan(3);
  }

  /// Saves once while the disk of rank 1 is full from a call on, and once more where that failed;
  /// returns whether it did.
  private static boolean findsNoSpace(
      Job job,
      Trainer trainer,
      FailingFiles full,
      long call,
      Map<Long, String> hashes,
      Path folder) {
    long saved = trainer.stepsDone();
    step(trainer, hashes);
    if (job.rank() == 1) {
      full.arm(Failure.FULL, call);
    }
    boolean failed = false;
    try {
      trainer.save(folder);
    } catch (CheckpointException told) {
      failed = true;
      assertThat(told).hasMessageContaining("rank 1 says: IOException: No space left on device");
      assertThat(SavedRun.stepOf(folder)).isEqualTo(saved);
    }
    job.store().barrier("saved " + call, 2, WAIT);
    if (job.rank() == 1) {
      assertThat(failed).as("call %d of %d", call, full.calls()).isEqualTo(full.calls() > call);
      full.arm(Failure.NONE, 0);
    }
    if (failed) {
      trainer.save(folder);
    }
    assertThat(opened(folder, hashes)).isEqualTo(saved + 1);
    return failed;
  }

  @Test
  void whatOneRankCannotWriteFailsOnAllAndTheRunGoesOn() throws Exception {
    Path folder = directory.resolve("checkpoint");
    FailingFiles full = new FailingFiles();
    InProcessRanks.run(
        2,
        job -> {
          try (Trainer trainer = start(job, RECIPE, 1, full)) {
            trainer.save(folder);
            trainer.step(false);
            full.arm(Failure.FULL, 0);
            assertThatThrownBy(() -> trainer.save(folder))
                .isInstanceOf(CheckpointException.class)
                .hasMessageContaining("rank 1 says: IOException: No space left on device");
            assertThat(SavedRun.open(folder).step()).isZero();
            job.store().barrier("checked", 2, WAIT);
            full.arm(Failure.NONE, 0);
            trainer.save(folder);
            assertThat(SavedRun.open(folder).step()).isEqualTo(1);
          }
          return 0;
        });
  }

  /// Of replicas on two hosts those on the first one write: the others have to hear of it.
  @Test
  void whatAnotherHostCannotWriteFailsOnAllAndTheRunGoesOn() throws Exception {
    Path folder = directory.resolve("checkpoint");
    FailingFiles full = new FailingFiles();
    Output output = new Output(full, CheckpointWriter.FILE_BYTES, _ -> List.of("here", "there"));
    TrainingRun run = TrainingRun.savingTo(folder);
    TrainingRun everyStep = new TrainingRun(folder, 1, 0, 0, run.listener(), run.stop());
    List<Long> failedAfter =
        InProcessRanks.run(
            2,
            job -> {
              TrainerOptions options = options("dp=2", 0);
              try (Trainer trainer = Trainer.start(job, RECIPE, corpus, options, output)) {
                full.arm(Failure.FULL, 0);
                job.store().barrier("full", 2, WAIT);
                assertThatThrownBy(() -> trainer.train(everyStep))
                    .isInstanceOfSatisfying(
                        CheckpointException.class,
                        failure -> assertThat(failure.path()).isEqualTo(folder.toString()))
                    .hasMessageContaining("No space left on device");
                long failed = trainer.stepsDone();
                job.store().barrier("failed", 2, WAIT);
                full.arm(Failure.NONE, 0);
                job.store().barrier("has room", 2, WAIT);
                assertThat(trainer.train(everyStep)).isTrue();
                return failed;
              }
            });
    assertThat(failedAfter).containsExactly(2L, 2L);
    assertThat(SavedRun.open(folder).step()).isEqualTo(RECIPE.steps());
  }

  /// Replicas of another host than the first one's do not write: they have to hear of it.
  @Timeout(60)
  @Test
  void whatOneHostCannotSaveFailsOnAllReplicasAndTheRunGoesOn() throws Exception {
    Path folder = directory.resolve("checkpoint");
    FailingFiles full = new FailingFiles();
    full.arm(Failure.FULL, 0);
    InProcessRanks.run(
        2,
        job -> {
          CheckpointFiles disk = job.rank() == 0 ? full : CheckpointFiles.disk();
          Output output =
              new Output(disk, CheckpointWriter.FILE_BYTES, _ -> List.of("here", "there"));
          TrainerOptions options = options("dp=2", 0);
          try (Trainer trainer = Trainer.start(job, RECIPE, corpus, options, output)) {
            assertThatThrownBy(() -> trainer.save(folder))
                .isInstanceOf(CheckpointException.class)
                .hasMessageContaining("No space left on device");
            job.store().barrier("heard", 2, WAIT);
            full.arm(Failure.NONE, 0);
            job.store().barrier("has room", 2, WAIT);
            trainer.step(false);
            trainer.save(folder);
            assertThat(SavedRun.open(folder).step()).isEqualTo(1);
          }
          return 0;
        });
  }

  /// All others hear of it, those of another host that write nothing too.
  @Timeout(60)
  @ParameterizedTest(name = "--mesh {0}, rank {1}")
  @CsvSource({"tp=2, 0", "tp=2, 1", "dp=2, 0"})
  void whoHasNoRoomForItsCopyTellsTheOthersAndTheRunGoesOn(String mesh, int failing)
      throws Exception {
    Path folder = directory.resolve("checkpoint");
    Output output =
        new Output(
            CheckpointFiles.disk(), CheckpointWriter.FILE_BYTES, _ -> List.of("here", "there"));
    InProcessRanks.run(
        2,
        job -> {
          TrainerOptions options = options(mesh, 0);
          try (Trainer trainer = Trainer.start(job, RECIPE, corpus, options, output)) {
            if (job.rank() == failing) {
              long room = job.memory().limitBytes() - job.memory().usedBytes();
              try (Charge _ = job.memory().charge("another's", room)) {
                assertThatThrownBy(() -> trainer.saveInBackground(folder, 0))
                    .isInstanceOf(MemoryBudgetException.class);
              }
            } else {
              trainer.saveInBackground(folder, 0);
            }
            if (job.rank() == failing && mesh.equals("tp=2")) {
              assertThat(trainer.awaitSaved()).isEmpty(); // it has said so itself
            } else {
              assertThatThrownBy(trainer::awaitSaved)
                  .isInstanceOf(CheckpointException.class)
                  .hasMessageContaining(
                      "rank %d failed: dev.lockstep.failure.MemoryBudgetException", failing);
            }
            trainer.step(false);
            trainer.save(folder);
            assertThat(SavedRun.open(folder).step()).isEqualTo(1);
          }
          return 0;
        });
  }

  /// A disk may take longer than ranks wait in a collective: the rank that does not write waits in
  /// the store for the one that does, and meets it in a collective when that has written.
  @Timeout(60)
  @ParameterizedTest(name = "in the background {0}")
  @ValueSource(booleans = {true, false})
  void whoDoesNotWriteIsInNoCollectiveWhileAnotherHostWrites(boolean inBackground)
      throws Exception {
    Path folder = directory.resolve("checkpoint");
    AtomicReference<Thread> waiting = new AtomicReference<>();
    List<String> waitedIn = new CopyOnWriteArrayList<>();
    FailingFiles slow =
        new FailingFiles() {
          @Override
          public void createDirectories(Path made) throws IOException {
            waitedIn.add(whereItWaits(waiting));
            super.createDirectories(made);
          }
        };
    Output output = new Output(slow, CheckpointWriter.FILE_BYTES, _ -> List.of("here", "there"));
    InProcessRanks.run(
        2,
        job -> {
          TrainerOptions options = options("dp=2", 0);
          try (Trainer trainer = Trainer.start(job, RECIPE, corpus, options, output)) {
            if (inBackground) {
              trainer.saveInBackground(folder, 0);
            }
            if (job.rank() == 1) {
              waiting.set(Thread.currentThread());
            }
            if (!inBackground) {
              trainer.save(folder);
            }
            return trainer.awaitSaved();
          }
        });
    assertThat(waitedIn).isNotEmpty().containsOnly(WritersTalk.class.getName());
    assertThat(SavedRun.open(folder).step()).isZero();
  }

  /// Returns what a rank's thread waits in, once it does.
  private static String whereItWaits(AtomicReference<Thread> waiting) {
    Set<String> places = Set.of(WritersTalk.class.getName(), RankAgreement.class.getName());
    AtomicReference<String> place = new AtomicReference<>("");
    Deadline.until(
        () -> {
          Thread thread = waiting.get();
          StackTraceElement[] frames =
              thread == null ? new StackTraceElement[0] : thread.getStackTrace();
          Stream.of(frames)
              .map(StackTraceElement::getClassName)
              .filter(places::contains)
              .findFirst()
              .ifPresent(place::set);
          return !place.get().isEmpty();
        });
    return place.get();
  }

  @Test
  void aFullDiskIsToldEvenIfAnotherRankIsLostMeanwhile() throws Exception {
    Path folder = directory.resolve("checkpoint");
    FailingFiles full = new FailingFiles();
    CountDownLatch told = new CountDownLatch(1);
    InProcessRanks.run(
        2,
        job -> {
          try (Trainer trainer = start(job, TINY, 0, full)) {
            job.store().barrier("started", 2, WAIT);
            if (job.rank() == 1) {
              job.fail(new ArithmeticException("lost"), "");
              assertThat(told.await(30, TimeUnit.SECONDS)).isTrue();
              return 0;
            }
            full.arm(Failure.FULL, 0);
            assertThat(awaitFailure(job)).isEqualTo("ArithmeticException");
            assertThatThrownBy(() -> trainer.save(folder))
                .isInstanceOf(CheckpointException.class)
                .hasMessageContaining("No space left on device");
          } catch (InterruptedException e) {
            throw new AssertionError(e);
          } finally {
            told.countDown();
          }
          return 0;
        });
  }

  private static String awaitFailure(Job job) {
    try {
      job.store().barrier("never", 2, WAIT);
      return "none";
    } catch (JobFailedException failed) {
      return failed.failure().kind();
    }
  }

  @Timeout(20)
  @ParameterizedTest(name = "rank {0}")
  @ValueSource(ints = {0, 1})
  void whateverOneRankMeetsTheOtherHearsOfItAndBothGoOn(int failing) throws Exception {
    Path folder = directory.resolve("checkpoint");
    FailingFiles broken = new FailingFiles();
    InProcessRanks.run(
        2,
        job -> {
          try (Trainer trainer = start(job, TINY, failing, broken)) {
            for (long call : List.of(0L, 14L)) {
              if (job.rank() == failing) {
                broken.arm(Failure.BROKEN, call);
                assertThatThrownBy(() -> trainer.save(folder)).hasMessageContaining("broken");
                broken.arm(Failure.NONE, 0);
              } else {
                assertThatThrownBy(() -> trainer.save(folder))
                    .isInstanceOf(CheckpointException.class)
                    .hasMessageContaining(
                        "rank %d failed: java.lang.IllegalStateException: broken", failing);
              }
              job.store().barrier("heard " + call, 2, WAIT);
            }
            trainer.save(folder);
          }
          return 0;
        });
    assertThat(SavedRun.open(folder).step()).isZero();
  }
}
