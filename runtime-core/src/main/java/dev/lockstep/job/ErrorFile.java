package dev.lockstep.job;

import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/// A rank's failure in the form that torchrun's agent reads and prints.
///
/// torchrun takes the smallest timestamp, in whole seconds, for the root cause. A rank that failed
/// because another one had is therefore dated at least a second after that one.
final class ErrorFile {
  private static final Logger LOG = LoggerFactory.getLogger(ErrorFile.class);

  private ErrorFile() {}

  /// Writes what happened to this rank; a file that cannot be written is only logged.
  ///
  /// @param own the failure of this rank
  /// @param first the first failure of the job
  static void write(Path file, FailureRecord own, FailureRecord first) {
    try {
      if (file.getParent() != null) {
        Files.createDirectories(file.getParent());
      }
      Files.write(file, new ObjectMapper().writeValueAsBytes(content(own, first)));
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
    Map<String, Object> message = new LinkedHashMap<>();
    message.put("message", own.kind() + ": " + own.message());
    message.put("extraInfo", extra);
    message.put("errorCode", 1);
    return Map.of("message", message);
  }
}
