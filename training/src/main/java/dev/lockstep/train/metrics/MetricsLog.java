package dev.lockstep.train.metrics;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.MissingNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.BufferedWriter;
import java.io.IOException;
import java.io.OutputStream;
import java.io.Reader;
import java.io.UncheckedIOException;
import java.io.Writer;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;

/// A run's measurements as JSON lines, written line by line, and read back for the loss curve.
/// Single-threaded.
///
/// A training step writes `step`, `loss`, `gradientNorm`, `learningRate`, `milliseconds` since the
/// step before, evaluations left out, and `tokensPerSecond` over the last steps; an evaluation
/// `step` and `validationLoss`. Losses are float32 in their shortest exact decimals.
public final class MetricsLog implements AutoCloseable {
  private static final ObjectMapper JSON = new ObjectMapper();

  private final OutputStream file;
  private final List<LossCurve.Point> training = new ArrayList<>();
  private final List<LossCurve.Point> validation = new ArrayList<>();

  private boolean isTorn;

  private MetricsLog(OutputStream file) {
    this.file = file;
  }

  /// Starts a log; the caller closes it.
  ///
  /// @throws UncheckedIOException if the file cannot be written
  public static MetricsLog create(Path file) {
    try {
      return new MetricsLog(Files.newOutputStream(file));
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /// Continues a run in `file`: takes over the lines of an earlier log up to and including a step,
  /// and drops those after it. The file is replaced as one: whatever ends this, the earlier lines
  /// are there. The caller closes it.
  ///
  /// @param earlier the log so far; may be `file` itself, or absent
  /// @throws UncheckedIOException if a file cannot be read or written
  public static MetricsLog resume(Path file, Path earlier, long step) {
    return resume(file, earlier, step, false);
  }

  /// Continues a run in `file` as [#resume(Path, Path, long)] does.
  ///
  /// @param keepsDropped whether `file`, if lines of it are dropped, stays as it was under a name
  ///   with the last step that it has: `metrics.step-500.jsonl`
  /// @throws UncheckedIOException if a file cannot be read or written
  public static MetricsLog resume(Path file, Path earlier, long step, boolean keepsDropped) {
    try {
      // Beside it under a name of its own: a temporary file would be readable by its owner alone.
      Path written = file.resolveSibling(file.getFileName() + ".resumed");
      List<LossCurve.Point> training = new ArrayList<>();
      List<LossCurve.Point> validation = new ArrayList<>();
      long last = step;
      try (BufferedWriter kept = Files.newBufferedWriter(written)) {
        if (Files.exists(earlier)) {
          try (Reader lines = Files.newBufferedReader(earlier)) {
            last = takeOver(lines, kept, step, node -> remember(node, training, validation));
          }
        }
      }
      if (keepsDropped && last > step && Files.exists(file) && Files.isSameFile(file, earlier)) {
        keep(file, last);
      }
      Files.move(written, file, StandardCopyOption.ATOMIC_MOVE);
      MetricsLog log = new MetricsLog(Files.newOutputStream(file, StandardOpenOption.APPEND));
      log.training.addAll(training);
      log.validation.addAll(validation);
      return log;
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /// Copies a log, which is to be replaced, to a name that nothing has.
  private static void keep(Path file, long last) throws IOException {
    String name = file.getFileName().toString();
    int dot = name.lastIndexOf('.');
    String stem = (dot < 0 ? name : name.substring(0, dot)) + ".step-" + last;
    String suffix = dot < 0 ? "" : name.substring(dot);
    for (int copy = 1; ; copy++) {
      Path free = file.resolveSibling(stem + (copy == 1 ? "" : "-" + copy) + suffix);
      try {
        Files.copy(file, free);
        return;
      } catch (FileAlreadyExistsException _) {
        // What the run had come to before, from another step.
      }
    }
  }

  /// Copies the lines up to and including a step, one at a time: a run may have millions.
  ///
  /// @param each hears what was measured in them
  /// @return the last step of all lines; 0 if none has one
  static long takeOver(Reader earlier, Writer kept, long step, Consumer<JsonNode> each)
      throws IOException {
    long last = 0;
    BufferedReader lines = new BufferedReader(earlier);
    for (String line = lines.readLine(); line != null; line = lines.readLine()) {
      JsonNode node = read(line);
      last = Math.max(last, node.path("step").asLong());
      if (node.path("step").asLong(Long.MAX_VALUE) <= step) {
        each.accept(node);
        kept.write(line);
        kept.write('\n');
      }
    }
    return last;
  }

  private static JsonNode read(String line) {
    try {
      return JSON.readTree(line);
    } catch (JsonProcessingException torn) {
      // The last line of a process that was killed, or one that a full disk took a part of.
      return MissingNode.getInstance();
    }
  }

  /// Writes a training step.
  ///
  /// @param rate learning rate of the step
  /// @param nanos since the step before, evaluations left out
  /// @param tokensPerSecond over the last steps
  /// @throws UncheckedIOException if it cannot be written; later ones may be
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
    remember(node, training, validation);
    write(node);
  }

  /// Writes an evaluation.
  ///
  /// @throws UncheckedIOException as [#step]
  public void validation(long step, float loss) {
    ObjectNode node = JSON.createObjectNode().put("step", step).put("validationLoss", loss);
    remember(node, training, validation);
    write(node);
  }

  private static void remember(
      JsonNode node, List<LossCurve.Point> training, List<LossCurve.Point> validation) {
    long step = node.path("step").asLong();
    if (node.has("loss")) {
      training.add(new LossCurve.Point(step, loss(node.path("loss"))));
    }
    if (node.has("validationLoss")) {
      validation.add(new LossCurve.Point(step, loss(node.path("validationLoss"))));
    }
  }

  /// Numbers that JSON has not are written as text.
  private static float loss(JsonNode node) {
    if (!node.isTextual()) {
      return node.floatValue();
    }
    return switch (node.asText()) {
      case "Infinity" -> Float.POSITIVE_INFINITY;
      case "-Infinity" -> Float.NEGATIVE_INFINITY;
      default -> Float.NaN;
    };
  }

  private void write(JsonNode node) {
    try {
      // A line of its own also after one that was written in part.
      String line = (isTorn ? "\n" : "") + JSON.writeValueAsString(node) + "\n";
      isTorn = true;
      file.write(line.getBytes(StandardCharsets.UTF_8));
      isTorn = false;
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /// Returns the curve of everything measured.
  public LossCurve curve() {
    return new LossCurve(training, validation);
  }

  /// Closes the file; idempotent.
  @Override
  public void close() {
    try {
      file.close();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }
}
