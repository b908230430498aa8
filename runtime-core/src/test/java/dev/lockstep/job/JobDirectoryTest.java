package dev.lockstep.job;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

@Timeout(20)
final class JobDirectoryTest {
  @TempDir Path temp;

  @Test
  void aFolderThatTheOthersCannotBeToldOfIsRemoved() {
    try (Job job = Job.inProcess(1, JobConfig.fromEnvironment()).getFirst()) {
      Path told = JobDirectory.makeIn(temp);
      assertThat(JobDirectory.told(told, job.store(), "folder")).isEqualTo(told).isDirectory();
      job.fail(new IllegalStateException("out of ideas"), "testing");
      Path untold = JobDirectory.makeIn(temp);
      assertThatThrownBy(() -> JobDirectory.told(untold, job.store(), "folder"))
          .isInstanceOf(JobFailedException.class);
      assertThat(untold).doesNotExist();
    }
  }
}
