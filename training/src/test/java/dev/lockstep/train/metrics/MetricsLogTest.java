package dev.lockstep.train.metrics;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.Reader;
import java.io.StringReader;
import java.io.StringWriter;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import javax.xml.parsers.DocumentBuilderFactory;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.w3c.dom.Document;
import org.xml.sax.InputSource;

class MetricsLogTest {
  @TempDir Path directory;

  private Path written() {
    Path file = directory.resolve("metrics.jsonl");
    try (MetricsLog log = MetricsLog.create(file)) {
      log.step(1, 5.5f, 1.25f, 1e-4f, 12_345_678, 1234.5);
      log.step(2, 5.25f, 1.5f, 2e-4f, 12_345_678, 1234.5);
      log.validation(2, 5.3f);
      log.step(3, 5.125f, 1.5f, 2e-4f, 12_345_678, 1234.5);
    }
    return file;
  }

  @Test
  void writesALinePerMeasurementAtOnce() throws IOException {
    Path file = directory.resolve("metrics.jsonl");
    try (MetricsLog log = MetricsLog.create(file)) {
      log.step(1, 5.5f, 1.25f, 1e-4f, 12_345_678, 1234.5);

      assertThat(Files.readString(file))
          .isEqualTo(
              """
              {"step":1,"loss":5.5,"gradientNorm":1.25,"learningRate":1.0E-4,"milliseconds":12.346,"tokensPerSecond":1235}
              """);
    }
  }

  @Test
  void takesOverTheLinesUpToTheStepItResumesFrom() throws IOException {
    Path file = written();
    Files.writeString(file, Files.readString(file) + "{\"step\":3,\"lo");

    try (MetricsLog log = MetricsLog.resume(file, file, 2)) {
      assertThat(log.curve().training())
          .containsExactly(new LossCurve.Point(1, 5.5f), new LossCurve.Point(2, 5.25f));
      assertThat(log.curve().validation()).containsExactly(new LossCurve.Point(2, 5.3f));
    }
    assertThat(Files.readAllLines(file)).hasSize(3);
  }

  /// The lines of a long run do not fit into memory.
  @Test
  void takesOverALineBeforeItHasReadAllOfThem() throws IOException {
    int lines = 20_000;
    StringWriter kept = new StringWriter();
    Reader earlier =
        new Reader() {
          private int read;

          @Override
          public int read(char[] into, int from, int count) {
            if (read == lines) {
              return -1;
            }
            // A reader of lines takes what fits its buffer, far less than 10,000 of them.
            assertThat(kept.getBuffer().length()).isGreaterThanOrEqualTo((read - 10_000) * 11);
            String line = "{\"step\":" + ++read % 10 + "}\n";
            line.getChars(0, line.length(), into, from);
            return line.length();
          }

          @Override
          public void close() {}
        };
    List<Long> heard = new ArrayList<>();
    var _ = MetricsLog.takeOver(earlier, kept, 8, node -> heard.add(node.path("step").asLong()));

    assertThat(heard).hasSize(lines / 10 * 9);
    assertThat(kept.toString().lines()).hasSize(lines / 10 * 9);
  }

  @Test
  void whatCannotBeWrittenIsSaidAndInTheCurve() throws IOException {
    assumeTrue(Files.isWritable(Path.of("/dev/full")));
    Path file = Files.createSymbolicLink(directory.resolve("full"), Path.of("/dev/full"));
    try (MetricsLog log = MetricsLog.create(file)) {
      assertThatThrownBy(() -> log.validation(1, 5.3f)).isInstanceOf(UncheckedIOException.class);
      assertThatThrownBy(() -> log.validation(2, 5.2f)).isInstanceOf(UncheckedIOException.class);
      assertThat(log.curve().validation()).hasSize(2);
    }
  }

  @Test
  void keepsWhatHasNoNumberInJson() {
    Path file = directory.resolve("metrics.jsonl");
    try (MetricsLog log = MetricsLog.create(file)) {
      log.step(1, Float.NaN, Float.NaN, 1e-4f, 12_345_678, 1234.5);
      log.validation(1, Float.POSITIVE_INFINITY);
    }

    try (MetricsLog log = MetricsLog.resume(file, file, 1)) {
      assertThat(log.curve().training()).containsExactly(new LossCurve.Point(1, Float.NaN));
      assertThat(log.curve().validation())
          .containsExactly(new LossCurve.Point(1, Float.POSITIVE_INFINITY));
      assertThat(log.curve().svg()).doesNotContain("<circle");
    }
  }

  /// A reader that has opened the log goes on to see all of it: nothing is cut off in place.
  @Test
  void isReplacedAsOneWhereARunIsResumed() throws IOException {
    Path file = written();
    String before = Files.readString(file);
    try (BufferedReader reader = Files.newBufferedReader(file);
        MetricsLog log = MetricsLog.resume(file, file, 2)) {
      assertThat(reader.lines().toList()).isEqualTo(before.lines().toList());
      log.validation(2, 5.3f);
      assertThat(Files.readAllLines(file))
          .startsWith(before.lines().limit(3).toArray(String[]::new))
          .hasSize(4);
    }
    assertThat(directory.toFile().list()).containsExactly("metrics.jsonl");
  }

  /// What a run had come to that goes on from an old step, each time.
  @Test
  void staysUnderTheNameOfItsLastStepWhereThatIsAskedFor() throws IOException {
    String before = Files.readString(written());
    Path file = directory.resolve("metrics.jsonl");
    MetricsLog.resume(file, file, 3, true).close();
    assertThat(directory.toFile().list()).containsExactly("metrics.jsonl");
    for (String name : List.of("metrics.step-3.jsonl", "metrics.step-3-2.jsonl")) {
      Files.writeString(file, before);
      MetricsLog.resume(file, file, 1, true).close();
      assertThat(directory.resolve(name)).hasContent(before);
      assertThat(Files.readAllLines(file)).hasSize(1);
    }
    MetricsLog.resume(
            directory.resolve("other"), directory.resolve("metrics.step-3.jsonl"), 1, true)
        .close();
    assertThat(directory.toFile().list()).hasSize(4);
  }

  @Test
  void drawsACurveThatIsWellFormed() throws Exception {
    try (MetricsLog log = MetricsLog.resume(directory.resolve("m"), written(), 3)) {
      Document svg =
          DocumentBuilderFactory.newInstance()
              .newDocumentBuilder()
              .parse(new InputSource(new StringReader(log.curve().svg())));

      assertThat(svg.getElementsByTagName("polyline").getLength()).isEqualTo(3);
      assertThat(svg.getElementsByTagName("circle").getLength()).isEqualTo(1);
      assertThat(svg.getDocumentElement().getTextContent())
          .contains("step", "nats per byte", "validation (last 5.300)");
    }
  }

  @Test
  void drawsNothingWhereNothingWasMeasured() {
    assertThat(new LossCurve(List.of(), List.of()).svg()).contains("</svg>");
  }
}
