package dev.lockstep.transport.inprocess;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.fail;

import dev.lockstep.deadline.Deadline;
import dev.lockstep.memory.MemoryPool;
import dev.lockstep.transport.AddressBook;
import dev.lockstep.transport.TransportContext;
import dev.lockstep.transport.TransportHarness;
import dev.lockstep.transport.ring.SharedArea;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentMap;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

class InProcessNeighborsTest {
  private static final Duration PATIENCE = Duration.ofSeconds(10);

  @TempDir Path directory;

  /// The JVM leaves a thread interrupted that touches memory which another one frees, and its next
  /// wait would end at once.
  @Test
  @Timeout(20)
  void memoryIsNotFreedWhileAPeerTouchesIt() throws Exception {
    List<TransportContext> ranks = TransportHarness.contexts(2, directory);
    ConcurrentMap<String, Object> shared = new ConcurrentHashMap<>();
    InProcessNeighbors first = new InProcessNeighbors(ranks.get(0), shared);
    InProcessNeighbors second = new InProcessNeighbors(ranks.get(1), shared);
    SharedArea offered = first.offer("ring", "ring", 64, 1, PATIENCE, _ -> {});
    SharedArea found = second.find("ring", 0, PATIENCE);
    Thread closing = new Thread(offered::close);
    found.use(
        () -> {
          closing.start();
          Deadline.until(() -> closing.getState() == Thread.State.BLOCKED);
          assertThat(found.segment().scope().isAlive()).isTrue();
        });
    closing.join();
    assertThat(found.segment().scope().isAlive()).isFalse();
    found.use(() -> fail("memory is freed"));
  }

  @Test
  @Timeout(20)
  void memoryThatNobodyWasToldOfIsGivenBack() {
    AddressBook failed =
        new AddressBook() {
          @Override
          public void publish(String key, byte[] value) {
            throw new IllegalStateException("job has failed");
          }

          @Override
          public byte[] lookup(String key, Duration timeout) {
            throw new IllegalStateException("job has failed");
          }
        };
    MemoryPool memory = MemoryPool.root("rank 0", 1 << 20);
    TransportContext rank = TransportHarness.context(0, 1, directory, failed, memory);
    ConcurrentMap<String, Object> shared = new ConcurrentHashMap<>();
    InProcessNeighbors neighbors = new InProcessNeighbors(rank, shared);
    assertThatThrownBy(() -> neighbors.offer("ring", "ring", 64, 0, PATIENCE, _ -> {}))
        .hasMessage("job has failed");
    assertThat(memory.usedBytes()).isZero();
    assertThat(shared).isEmpty();
  }
}
