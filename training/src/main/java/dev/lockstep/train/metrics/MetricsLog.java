package dev.lockstep.train.metrics;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedWriter;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/// A run's measurements as JSON lines, flushed line by line, and read back for the loss curve.
/// Single-threaded.
///
/// A training step writes `step`, `loss`, `gradientNorm`, `learningRate`, `milliseconds` since the
/// step before, evaluations left out, and `tokensPerSecond` over the last steps; an evaluation
/// `step` and `validationLoss`. Losses are float32 in their shortest exact decimals.
public final class MetricsLog implements AutoCloseable {
  private static final ObjectMapper JSON = new ObjectMapper();

  private final BufferedWriter writer;
  private final List<LossCurve.Point> training = new ArrayList<>();
  private final List<LossCurve.Point> validation = new ArrayList<>();

  private MetricsLog(BufferedWriter writer) {
    this.writer = writer;
  }

  /// Starts a log; the caller closes it.
  ///
  /// @throws UncheckedIOException if the file cannot be written
  public static MetricsLog create(Path file) {
    return open(file, List.of());
  }

  /// Continues a run in `file`: takes over the lines of an earlier log up to and including a step,
  /// and drops those after it. The caller closes it.
  ///
  /// @param earlier the log so far; may be `file` itself, or absent
  /// @throws UncheckedIOException if a file cannot be read or written
  public static MetricsLog resume(Path file, Path earlier, long step) {
    try {
      List<JsonNode> kept = new ArrayList<>();
      if (Files.exists(earlier)) {
        for (String line : Files.readAllLines(earlier)) {
          keep(line, step, kept);
        }
      }
      return open(file, kept);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private static void keep(String line, long step, List<JsonNode> kept) {
    try {
      JsonNode node = JSON.readTree(line);
      if (node.path("step").asLong(Long.MAX_VALUE) <= step) {
        kept.add(node);
      }
    } catch (JsonProcessingException torn) {
      // The last line of a process that was killed.
      return;
    }
  }

  private static MetricsLog open(Path file, List<JsonNode> earlier) {
    try {
      MetricsLog log = new MetricsLog(Files.newBufferedWriter(file, StandardCharsets.UTF_8));
      for (JsonNode node : earlier) {
        log.remember(node);
        log.write(node);
      }
      return log;
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /// Writes a training step.
  ///
  /// @param rate learning rate of the step
  /// @param nanos since the step before, evaluations left out
  /// @param tokensPerSecond over the last steps
  public void step(
      long step, float loss, float gradientNorm, float rate, long nanos, double tokensPerSecond) {
    ObjectNode node =
        JSON.createObjectNode()
            .put("step", step)
            .put("loss", loss)
            .put("gradientNorm", gradientNorm)
            .put("learningRate", rate)
            .put("milliseconds", Math.round(nanos / 1e3) / 1e3)
            .put("tokensPerSecond", Math.round(tokensPerSecond));
    remember(node);
    write(node);
  }

  /// Writes an evaluation.
  public void validation(long step, float loss) {
    ObjectNode node = JSON.createObjectNode().put("step", step).put("validationLoss", loss);
    remember(node);
    write(node);
  }

  private void remember(JsonNode node) {
    long step = node.path("step").asLong();
    if (node.has("loss")) {
      training.add(new LossCurve.Point(step, node.path("loss").floatValue()));
    }
    if (node.has("validationLoss")) {
      validation.add(new LossCurve.Point(step, node.path("validationLoss").floatValue()));
    }
  }

  private void write(JsonNode node) {
    try {
      writer.write(JSON.writeValueAsString(node));
      writer.write('\n');
      writer.flush();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /// Returns the curve of everything written.
  public LossCurve curve() {
    return new LossCurve(training, validation);
  }

  /// Closes the file; idempotent.
  @Override
  public void close() {
    try {
      writer.close();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }
}
