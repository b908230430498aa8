package dev.lockstep.transport.aeron;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.deadline.Deadline;
import dev.lockstep.failure.TransportException;
import dev.lockstep.transport.Link;
import dev.lockstep.transport.Transport;
import dev.lockstep.transport.TransportContext;
import dev.lockstep.transport.TransportHarness;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// A link that is not opened in time leaves no log behind while its transport goes on.
@Timeout(60)
class UnansweredLinkTest {
  private static final int COMMUNICATOR = 1;

  @TempDir private Path directory;

  private Transport open(TransportContext context, String name) {
    return name.equals("aeron-udp")
        ? new AeronUdpProvider().open(context)
        : new AeronIpcProvider().open(context);
  }

  private boolean hasLogs() {
    try (Stream<Path> files = Files.walk(directory)) {
      return files.anyMatch(file -> file.toString().contains("/publications/"));
    } catch (IOException | UncheckedIOException _) {
      return true; // a file has gone while it was looked at: look again
    }
  }

  /// The driver of the receiver closes its end a moment later, on a busy machine after the sender
  /// has found it: then the link that connected is closed, and opened again.
  private static boolean isUnanswered(Transport sender) {
    try {
      sender.openSend(1, COMMUNICATOR, Duration.ofMillis(300)).close();
      return false;
    } catch (TransportException failure) {
      assertThat(failure).hasMessageContaining("link did not connect in time");
      return true;
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"aeron-ipc", "aeron-udp"})
  void aSenderWhoseReceiverHasLeftLeavesNothing(String name) {
    List<TransportContext> contexts = TransportHarness.contexts(2, directory);
    try (Transport sender = open(contexts.get(0), name);
        Transport receiver = open(contexts.get(1), name)) {
      Link left = receiver.openReceive(0, COMMUNICATOR, Duration.ofSeconds(10));
      left.close();
      Deadline.until(() -> isUnanswered(sender));
      Deadline.until(
          () -> {
            int _ = sender.poll();
            int _ = receiver.poll();
            return !hasLogs();
          });
      assertThat(hasLogs()).isFalse();
    }
  }
}
