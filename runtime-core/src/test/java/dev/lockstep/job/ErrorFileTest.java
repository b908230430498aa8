package dev.lockstep.job;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

final class ErrorFileTest {
  private static final FailureRecord ELSEWHERE =
      new FailureRecord(
          3, "node-1", "IllegalStateException", "bo: om", "X: bo: om\n\tat a.B", "step 7", 4711);

  @TempDir private Path folder;

  @Test
  void tellsBothItsRanksFailureAndTheFirstOne() {
    Path file = folder.resolve("error.json");
    FailureRecord own = FailureRecord.of(5, "here", new ArithmeticException("late"), "");
    ErrorFile.write(file, own, ELSEWHERE);
    assertThat(ErrorFile.readFirst(file, 5, "here")).contains(ELSEWHERE);
    assertThat(file).content().contains("\"message\":\"ArithmeticException: late\"");
  }

  @Test
  void aRankThatFailedFirstIsTheFirstFailure() {
    Path file = folder.resolve("error.json");
    ErrorFile.write(file, ELSEWHERE, ELSEWHERE);
    assertThat(ErrorFile.readFirst(file, 3, "node-1"))
        .hasValueSatisfying(read -> assertThat(read.message()).isEqualTo("bo: om"))
        .hasValueSatisfying(read -> assertThat(read.epochMillis()).isEqualTo(4711));
  }

  /// A rank that was declared lost and comes back fails because of that.
  @Test
  void theFirstFailureMayBeOfTheSameRank() {
    Path file = folder.resolve("error.json");
    FailureRecord own = FailureRecord.of(3, "node-1", new ArithmeticException("late"), "");
    ErrorFile.write(file, own, ELSEWHERE);
    assertThat(ErrorFile.readFirst(file, 3, "node-1")).contains(ELSEWHERE);
  }

  @Test
  void nothingIsReadWhereThereIsNoWholeFile() throws Exception {
    assertThat(ErrorFile.readFirst(folder.resolve("none"), 0, "here")).isEmpty();
    Path torn = Files.writeString(folder.resolve("torn"), "{\"message\":{\"mess");
    assertThat(ErrorFile.readFirst(torn, 0, "here")).isEmpty();
  }
}
