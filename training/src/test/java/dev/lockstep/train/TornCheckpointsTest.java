package dev.lockstep.train;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lockstep.failure.CheckpointException;
import dev.lockstep.train.CheckpointWriter.Output;
import dev.lockstep.train.FailingFiles.Failure;
import dev.lockstep.train.FailingFiles.Killed;
import dev.lockstep.train.checkpoint.CheckpointFiles;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/// However writing ends, a checkpoint is there and whole.
@Timeout(120)
final class TornCheckpointsTest extends SmallRuns {
  @Test
  void whereWritingIsTornACheckpointIsThereAndWhole() throws Exception {
    whereverWritingEnds(Failure.TORN, 6);
  }

  @Tag("long")
  @ParameterizedTest
  @EnumSource(names = {"KILLED", "FULL", "TORN"})
  void whereverWritingEndsACheckpointIsThereAndWhole(Failure how) throws Exception {
    whereverWritingEnds(how, 1);
  }

  @Test
  void writesThatTakeAPartAreGoneOnWith() throws Exception {
    FailingFiles disk = new FailingFiles();
    Path folder = directory.resolve("checkpoint");
    InProcessRanks.run(
        1,
        job -> {
          Output output = new Output(disk, 2_000);
          try (Trainer trainer = Trainer.start(job, TINY, corpus, options("dp=1", 0), output)) {
            Map<Long, String> hashes = new HashMap<>();
            step(trainer, hashes);
            disk.arm(Failure.NONE, 0);
            trainer.save(directory.resolve("other"));
            long calls = disk.calls();
            disk.arm(Failure.SHORT, 0);
            trainer.save(folder);
            assertThat(disk.calls()).isGreaterThan(2 * calls);
            assertThat(opened(folder, hashes)).isEqualTo(1);
          }
          return 0;
        });
  }

  private void whereverWritingEnds(Failure how, int stride) throws Exception {
    FailingFiles disk = new FailingFiles();
    Path folder = directory.resolve("checkpoint");
    InProcessRanks.run(
        1,
        job -> {
          Output output = new Output(disk, 2_000);
          try (Trainer trainer = Trainer.start(job, TINY, corpus, options("dp=1", 0), output)) {
            long points = tear(trainer, disk, how, stride, folder);
            System.out.printf(
                "checkpoints: %s at every %d of %d calls, one whole each time%n",
                how, stride, points);
            assertThat(points).isGreaterThan(40);
          }
          return 0;
        });
  }

  /// Ends writing at every call, or every few, one after another; returns how many there are.
  private static long tear(
      Trainer trainer, FailingFiles disk, Failure how, int stride, Path folder) {
    Map<Long, String> hashes = new HashMap<>();
    for (long call = 0; ; call += stride) {
      disk.arm(Failure.NONE, 0);
      step(trainer, hashes);
      trainer.save(folder);
      long before = trainer.stepsDone();
      assertThat(opened(folder, hashes)).isEqualTo(before);
      step(trainer, hashes);
      disk.arm(how, call);
      try {
        trainer.save(folder);
        if (disk.calls() <= call) {
          return disk.calls();
        }
        // It was full for calls alone that need no space, or had done when it died.
        assertThat(opened(folder, hashes)).isEqualTo(before + 1);
      } catch (CheckpointException | Killed failed) {
        disk.arm(Failure.NONE, 0);
        assertThat(opened(folder, hashes)).as("call %d", call).isIn(before, before + 1);
      }
    }
  }

  /// A disk whose files cannot be closed either once it is full.
  private static final class Unclosable extends FailingFiles {
    private int open;
    private int openWhenFull;

    private interface Call<T> {
      T run() throws IOException;
    }

    private <T> T orNoted(Call<T> call) throws IOException {
      try {
        return call.run();
      } catch (IOException full) {
        openWhenFull = open;
        throw full;
      }
    }

    @Override
    public CheckpointFiles.Output open(Path file) throws IOException {
      CheckpointFiles.Output output = orNoted(() -> super.open(file));
      open++;
      return new CheckpointFiles.Output() {
        @Override
        public int write(ByteBuffer bytes, long position) throws IOException {
          return orNoted(() -> output.write(bytes, position));
        }

        @Override
        public void force() throws IOException {
          var _ =
              orNoted(
                  () -> {
                    output.force();
                    return 0;
                  });
        }

        @Override
        public void close() throws IOException {
          output.close();
          open--;
          if (openWhenFull > 0) {
            throw new IOException("cannot be closed");
          }
        }
      };
    }
  }

  @Test
  void whatClosingThrowsDoesNotHideWhyAFileIsNotWritten() throws Exception {
    Unclosable disk = new Unclosable();
    Output output = new Output(disk, 1 << 10);
    Path folder = directory.resolve("checkpoint");
    InProcessRanks.run(
        1,
        job -> {
          try (Trainer trainer = Trainer.start(job, TINY, corpus, options("dp=1", 0), output)) {
            disk.arm(Failure.NONE, 0);
            trainer.save(folder);
            disk.arm(Failure.FULL, disk.calls() * 3 / 4);
            assertThatThrownBy(() -> trainer.save(folder))
                .isInstanceOf(CheckpointException.class)
                .hasMessageContaining("No space left on device")
                .hasRootCauseMessage("No space left on device");
          }
          return 0;
        });
    assertThat(disk.openWhenFull).isGreaterThan(1);
    assertThat(disk.open).isZero();
  }

  @Test
  void aFullDiskTakesNothing() throws IOException {
    FailingFiles disk = new FailingFiles();
    disk.arm(Failure.FULL, 1);
    try (CheckpointFiles.Output output = disk.open(directory.resolve("file"))) {
      assertThatThrownBy(() -> output.writeFully(ByteBuffer.allocate(9), 0))
          .isInstanceOf(IOException.class);
    }
    disk.arm(Failure.TORN, 1);
    try (CheckpointFiles.Output output = disk.open(directory.resolve("file"))) {
      assertThatThrownBy(() -> output.writeFully(ByteBuffer.allocate(9), 0))
          .isInstanceOf(Killed.class);
    }
    assertThat(Files.size(directory.resolve("file"))).isEqualTo(4);
  }
}
