package dev.lockstep.job;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.lockstep.cache.WholeFile;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/// A rank's failure in the form that torchrun's agent reads and prints.
///
/// torchrun takes the smallest timestamp, in whole seconds, for the root cause. A rank that failed
/// because another one had is therefore dated at least a second after that one.
public final class ErrorFile {
  private static final Logger LOG = LoggerFactory.getLogger(ErrorFile.class);

  private ErrorFile() {}

  /// Writes what happened to this rank; a file that cannot be written is only logged.
  ///
  /// @param own the failure of this rank
  /// @param first the first failure of the job
  public static void write(Path file, FailureRecord own, FailureRecord first) {
    try {
      WholeFile.write(file, new ObjectMapper().writeValueAsBytes(content(own, first)));
    } catch (IOException e) {
      LOG.warn("error file cannot be written: file={}", file, e);
    }
  }

  private static Map<String, Object> content(FailureRecord own, FailureRecord first) {
    long seconds = own.epochMillis() / 1000;
    if (own.rank() != first.rank()) {
      seconds = Math.max(seconds, first.epochMillis() / 1000 + 1);
    }
    Map<String, Object> extra = new LinkedHashMap<>();
    extra.put("py_callstack", own.stack());
    extra.put("timestamp", Long.toString(seconds));
    extra.put("epochMillis", own.epochMillis());
    if (!own.equals(first)) {
      extra.put("first", content(first));
    }
    Map<String, Object> message = new LinkedHashMap<>();
    message.put("message", own.kind() + ": " + own.message());
    message.put("extraInfo", extra);
    message.put("errorCode", 1);
    return Map.of("message", message);
  }

  private static Map<String, Object> content(FailureRecord record) {
    Map<String, Object> fields = new LinkedHashMap<>();
    fields.put("rank", record.rank());
    fields.put("host", record.host());
    fields.put("kind", record.kind());
    fields.put("message", record.message());
    fields.put("stack", record.stack());
    fields.put("activity", record.activity());
    fields.put("epochMillis", record.epochMillis());
    return fields;
  }

  /// Reads the first failure of the job as the rank knew it, which is its own where it knew of no
  /// other; empty if there is no such file or it holds something else.
  ///
  /// @param rank the rank that wrote the file
  /// @param host its host
  public static Optional<FailureRecord> readFirst(Path file, int rank, String host) {
    return message(file)
        .flatMap(
            message -> {
              JsonNode first = message.path("extraInfo").path("first");
              return first.isObject() ? Optional.of(first(first)) : own(message, rank, host);
            });
  }

  private static Optional<JsonNode> message(Path file) {
    if (!Files.exists(file)) {
      return Optional.empty();
    }
    try {
      return Optional.of(new ObjectMapper().readTree(Files.readAllBytes(file)).path("message"));
    } catch (IOException e) {
      LOG.warn("error file cannot be read: file={}", file, e);
      return Optional.empty();
    }
  }

  private static Optional<FailureRecord> own(JsonNode message, int rank, String host) {
    JsonNode extra = message.path("extraInfo");
    String[] text = message.path("message").asText().split(": ", 2);
    return text.length < 2
        ? Optional.empty()
        : Optional.of(
            new FailureRecord(
                rank,
                host,
                text[0],
                text[1],
                extra.path("py_callstack").asText(),
                "",
                extra.path("epochMillis").asLong()));
  }

  private static FailureRecord first(JsonNode fields) {
    return new FailureRecord(
        fields.path("rank").asInt(-1),
        fields.path("host").asText(),
        fields.path("kind").asText(),
        fields.path("message").asText(),
        fields.path("stack").asText(),
        fields.path("activity").asText(),
        fields.path("epochMillis").asLong());
  }
}
