package dev.lockstep.transport.shm;

import static dev.lockstep.transport.TransportHarness.receive;
import static dev.lockstep.transport.TransportHarness.send;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lockstep.memory.MemoryPool;
import dev.lockstep.memory.Registration;
import dev.lockstep.transport.AddressBook;
import dev.lockstep.transport.MemoryAddressBook;
import dev.lockstep.transport.Transfer;
import dev.lockstep.transport.TransportContext;
import dev.lockstep.transport.TransportHarness;
import dev.lockstep.transport.TransportHarness.Pair;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/// Ranks that do not see each other in `/proc`, as in containers that share the job's directory.
@Timeout(60)
final class ShmNamespacesTest {
  @TempDir private Path directory;

  /// Tells everybody that rank 1 lives elsewhere.
  private record Apart(AddressBook book) implements AddressBook {
    @Override
    public void publish(String key, byte[] value) {
      book.publish(key, key.equals("shm/namespace/1") ? new byte[] {1} : value);
    }

    @Override
    public byte[] lookup(String key, Duration timeout) {
      return book.lookup(key, timeout);
    }
  }

  private TransportHarness open() {
    AddressBook book = new Apart(new MemoryAddressBook());
    var provider = new ShmTransportProvider();
    return new TransportHarness(
        Stream.of(0, 1)
            .map(rank -> TransportHarness.context(rank, 2, directory, book, pool(rank)))
            .map(provider::open)
            .toList());
  }

  private static MemoryPool pool(int rank) {
    return MemoryPool.root("rank " + rank, 1L << 24);
  }

  @Test
  void ringsAreFilesOfTheJobsDirectoryAndGoWithTheirLinks() throws IOException {
    try (TransportHarness ranks = open()) {
      Pair link = ranks.link(1, 0, 3);
      assertThat(files()).hasSize(1);
      Registration source = ranks.random(0, 2_000_000, 1);
      Registration target = ranks.zeros(0, 2_000_000);
      Transfer sending = send(source, 3, 0);
      Transfer receiving = receive(target, 3, 0);
      ranks.post(link.sender(), sending);
      ranks.post(link.receiver(), receiving);
      ranks.await(sending, receiving);
      assertThat(target.segment().mismatch(source.segment())).isEqualTo(-1);
      assertThat(ranks.transport(0).peerAccess(ranks.numbers())).isEmpty();
    }
    assertThat(files()).isEmpty();
  }

  @Test
  void ranksOfSeveralHostsAreNotReached() {
    List<String> hosts = new ArrayList<>(List.of("a", "a", "b"));
    var context =
        new TransportContext(
            1,
            0,
            hosts,
            "127.0.0.1",
            directory,
            true,
            new MemoryAddressBook(),
            pool(0),
            Duration.ofSeconds(2));
    var provider = new ShmTransportProvider();
    assertThat(provider.probe().isAvailable()).isTrue();
    assertThat(provider.reaches(context).isAvailable()).isFalse();
    assertThat(provider.reaches(context).toString()).contains("hosts=[a, b]");
    try (var transport = provider.open(context)) {
      assertThatThrownBy(() -> transport.openReceive(3, 1, Duration.ofMillis(1)))
          .isInstanceOf(IllegalArgumentException.class)
          .hasMessageContaining("peer=3, worldSize=3");
    }
  }

  private List<Path> files() throws IOException {
    try (Stream<Path> files = Files.list(directory)) {
      return files.toList();
    }
  }
}
