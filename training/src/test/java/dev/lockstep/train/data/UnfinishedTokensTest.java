package dev.lockstep.train.data;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.job.HostName;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.time.Duration;
import java.time.Instant;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

final class UnfinishedTokensTest {
  // Above the greatest number that Linux gives.
  private static final long NOBODY = 1L << 30;

  @TempDir private Path folder;

  private Path leave(String name, Duration age) throws Exception {
    Path file = Files.createFile(folder.resolve(name));
    return Files.setLastModifiedTime(file, FileTime.from(Instant.now().minus(age)));
  }

  @Test
  void whatAKilledMakerLeftIsDeletedAndNothingElse() throws Exception {
    Duration twoDays = Duration.ofDays(2);
    String host = HostName.local();
    Path mine = Files.createFile(UnfinishedTokens.in(folder));
    Files.setLastModifiedTime(mine, FileTime.from(Instant.now().minus(twoDays)));
    Path made = leave("0123.lz4", twoDays);
    Path elsewhere = leave("building-another-host-" + NOBODY + "-1.tmp", Duration.ofHours(1));
    leave("building-" + host + "-" + NOBODY + "--5.tmp", Duration.ZERO);
    leave("building-another-host-7-1.tmp", twoDays);
    leave("building-7-1.tmp", twoDays);

    UnfinishedTokens.removeAbandoned(folder);

    try (Stream<Path> left = Files.list(folder)) {
      assertThat(left).containsExactlyInAnyOrder(mine, made, elsewhere);
    }
  }
}
