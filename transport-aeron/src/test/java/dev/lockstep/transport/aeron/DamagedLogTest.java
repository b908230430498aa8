package dev.lockstep.transport.aeron;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.failure.TransportException;
import dev.lockstep.memory.Registration;
import dev.lockstep.transport.Transfer;
import dev.lockstep.transport.TransportHarness;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/// A byte that changes in the log between two ranks of a host is noticed.
@Timeout(60)
final class DamagedLogTest {
  private static final int COMMUNICATOR = 1;
  private static final int BYTES = 1000;

  @TempDir private Path directory;

  @Test
  void aDamagedFrameBreaksTheLinkAndNothingOfItIsWritten() throws IOException {
    try (TransportHarness ranks = TransportHarness.open(new AeronIpcProvider(), 2, directory)) {
      TransportHarness.Pair link = ranks.link(0, 1, COMMUNICATOR);
      Registration source = ranks.random(0, BYTES, 1);
      Registration target = ranks.zeros(0, BYTES);
      Transfer sending = TransportHarness.send(source, COMMUNICATOR, 0);
      Transfer receiving = TransportHarness.receive(target, COMMUNICATOR, 0);
      ranks.post(link.sender(), sending);
      ranks.await(sending);

      assertThat(logs().stream().filter(log -> turnsABit(log, source.segment()))).hasSize(1);

      ranks.post(link.receiver(), receiving);
      assertThat(ranks.failure(receiving))
          .isInstanceOf(TransportException.class)
          .hasMessageContaining("frame arrived damaged");
      assertThat(TransportHarness.nonZero(target.segment())).isFalse();
    }
  }

  private List<Path> logs() throws IOException {
    try (Stream<Path> files = Files.walk(directory)) {
      return files.filter(file -> file.toString().endsWith(".logbuffer")).toList();
    }
  }

  /// Turns a bit in the middle of a message, if the log holds it.
  private static boolean turnsABit(Path log, MemorySegment message) {
    try (Arena arena = Arena.ofConfined();
        FileChannel file =
            FileChannel.open(log, StandardOpenOption.READ, StandardOpenOption.WRITE)) {
      MemorySegment bytes =
          file.map(FileChannel.MapMode.READ_WRITE, 0, Math.min(file.size(), 1 << 20), arena);
      for (long at = 0; at <= bytes.byteSize() - BYTES; at += 8) {
        if (bytes.asSlice(at, BYTES).mismatch(message) == -1) {
          long middle = at + BYTES / 2;
          bytes.set(
              ValueLayout.JAVA_BYTE, middle, (byte) (bytes.get(ValueLayout.JAVA_BYTE, middle) ^ 1));
          return true;
        }
      }
      return false;
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }
}
