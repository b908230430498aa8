package dev.lockstep.launcher;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.job.FailureRecord;
import dev.lockstep.job.HostName;
import dev.lockstep.launcher.process.RankExit;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

final class FailureReportTest {
  private static final String STACK = "X: wrong\n\tat a.B.c(B.java:1)\n";

  private static FailureRecord record(int rank, String kind, String stack, long millis) {
    return new FailureRecord(rank, "node-1", kind, "wrong", stack, "allReduce#7", millis);
  }

  private static FailureReport report(
      List<RankExit> exits, Optional<FailureRecord> recorded, Map<Integer, FailureRecord> files) {
    return FailureReport.of(exits, recorded, rank -> Optional.ofNullable(files.get(rank)))
        .orElseThrow();
  }

  @Test
  void isEmptyWhenNothingFailed() {
    List<RankExit> exits = List.of(new RankExit(0, 0, 0, false), new RankExit(1, 143, 1, true));
    assertThat(FailureReport.of(exits, Optional.empty(), _ -> Optional.empty())).isEmpty();
  }

  @Test
  void believesTheStoreFirst() {
    List<RankExit> exits = List.of(new RankExit(0, 1, 0, false), new RankExit(1, 7, 1, false));
    FailureReport report =
        report(
            exits,
            Optional.of(record(1, "X", STACK, 9000)),
            Map.of(0, record(0, "Y", STACK, 1000)));
    assertThat(report.exitCode()).isEqualTo(7);
    assertThat(report.text(2))
        .isEqualTo(
            "lockstep: rank 1 of 2 failed: X: wrong [host=node-1, activity=allReduce#7]\n"
                + STACK.stripTrailing());
  }

  @Test
  void takesTheEarliestErrorFileWhereTheStoreKnowsNothing() {
    List<RankExit> exits = List.of(new RankExit(0, 1, 0, false), new RankExit(1, 2, 1, false));
    FailureReport report =
        report(
            exits,
            Optional.empty(),
            Map.of(0, record(0, "Y", STACK, 5000), 1, record(1, "X", STACK, 4000)));
    assertThat(report.record().rank()).isEqualTo(1);
    assertThat(report.exitCode()).isEqualTo(2);
  }

  @Test
  void namesTheFirstProcessThatEndedWithoutAWord() {
    List<RankExit> exits = List.of(new RankExit(2, 139, 0, false), new RankExit(0, 1, 1, true));
    FailureReport report = report(exits, Optional.empty(), Map.of());
    assertThat(report.exitCode()).isEqualTo(139);
    assertThat(report.text(3))
        .isEqualTo(
            "lockstep: rank 2 of 3 failed: process ended: signal=SIGSEGV, exitCode=139 [host=%s]"
                .formatted(HostName.local()));
  }

  @Test
  void endsWithOneWhenTheRankFailedOnAnotherNode() {
    List<RankExit> exits = List.of(new RankExit(0, 143, 0, true));
    FailureReport report = report(exits, Optional.of(record(5, "X", STACK, 0)), Map.of());
    assertThat(report.exitCode()).isEqualTo(1);
  }

  @ParameterizedTest(name = "{0}")
  @CsvSource({
    "recorded after the stop, 5000, '', 143, true, true",
    "recorded before the stop, 3000, '', 137, true, false",
    "threw while it saved, 5000, X, 1, true, false",
    "ended before it was asked, 5000, '', 3, false, false",
    "ended by the same Ctrl-C, 5000, '', 130, false, true"
  })
  void tellsWhoFailedFromWhoWasStopped(
      String what, long millis, String stack, int code, boolean asked, boolean ofStop) {
    FailureReport report =
        new FailureReport(record(0, "ProcessExit", stack, millis), new RankExit(0, code, 0, asked));
    assertThat(report.isOfStop(4000)).as(what).isEqualTo(ofStop);
    assertThat(report.isOfStop(Long.MAX_VALUE)).isFalse();
  }

  @Test
  void showsWhatATerminalWouldObeyAndKeepsTheStacksLines() {
    String stack = "X: \u001b[2Jwrong\n\tat a.B.c(B.java:1)\n";
    FailureRecord record = new FailureRecord(0, "", "X", "\u001b[2J\u009bwrong", stack, "", 0);
    assertThat(new FailureReport(record, null).text(1))
        .isEqualTo(
            "lockstep: rank 0 of 1 failed: X: \\u001b[2J\\u009bwrong\n"
                + "X: \\u001b[2Jwrong\n\tat a.B.c(B.java:1)");
  }

  @Test
  void showsTheUsersMistakeAlone() {
    List<RankExit> exits = List.of(new RankExit(0, 2, 0, false));
    FailureReport report =
        report(exits, Optional.of(record(0, "ConfigurationException", STACK, 0)), Map.of());
    assertThat(report.exitCode()).isEqualTo(2);
    assertThat(report.text(1)).isEqualTo("lockstep: wrong");
  }
}
