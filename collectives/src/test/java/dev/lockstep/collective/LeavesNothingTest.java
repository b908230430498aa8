package dev.lockstep.collective;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowable;

import dev.lockstep.collective.execute.Endpoint;
import dev.lockstep.failure.LockstepException;
import dev.lockstep.graph.ReduceOp;
import dev.lockstep.job.Store;
import dev.lockstep.memory.Buffer;
import dev.lockstep.memory.HostMemory;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Tensor;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// Communicators come and go in a job that goes on.
@Timeout(60)
final class LeavesNothingTest {
  private static final ReduceOp SUM = new ReduceOp.Sum();

  /// The number of the first communicator that is split off.
  private static final int FIRST_SPLIT = 1 << 16;

  private static long openFiles() {
    try (Stream<Path> files = Files.list(Path.of("/proc/self/fd"))) {
      return files.count();
    } catch (IOException failure) {
      throw new UncheckedIOException(failure);
    }
  }

  private static void splitAndClose(Communicator all) {
    try (Communicator part = all.split(0, -all.rank()).orElseThrow()) {
      part.barrier();
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"in-process", "shm"})
  void communicatorsThatAreClosedKeepNoFilesAndNoMemory(String transport) {
    int rounds = 100;
    Ranks.run(
        2,
        SameBitsTest.over(transport),
        rank -> {
          Communicator all = rank.communicator;
          splitAndClose(all);
          all.barrier();
          long files = openFiles();
          long bytes = rank.job.memory().usedBytes();
          all.barrier();
          for (int round = 0; round < rounds; round++) {
            splitAndClose(all);
          }
          all.barrier();
          // Ranks are threads of one process.
          assertThat(openFiles()).isLessThan(files + rounds / 2);
          assertThat(rank.job.memory().usedBytes()).isEqualTo(bytes);
          all.barrier();
          return true;
        });
  }

  @Test
  void whatRanksHaveToldEachOtherLeavesTheStoreWhenAllHaveReadIt() {
    Ranks.run(
        2,
        SameBitsTest.over("shm"),
        rank -> {
          Communicator all = rank.communicator;
          Store store = rank.job.store();
          Tensor tensor = rank.privateTensor(DType.F32, 10);
          all.barrier();
          assertThat(store.peek("collective/1/prepare/0/" + rank.number())).isPresent();
          all.allReduce(tensor, tensor, SUM);
          assertThat(store.peek("collective/1/prepare/0/" + rank.number())).isEmpty();
          splitAndClose(all);
          all.barrier();
          String prefix = "collective/" + FIRST_SPLIT + "/";
          List<String> keys = new ArrayList<>(List.of(prefix + "left"));
          for (int member = 0; member < 2; member++) {
            for (String what :
                List.of("peer-memory", "prepare/0", "in", "at", "mismatch", "close")) {
              keys.add(prefix + what + "/" + member);
            }
            keys.add("shm/signals/" + FIRST_SPLIT + "/" + member);
          }
          assertThat(keys).allSatisfy(key -> assertThat(store.peek(key)).isEmpty());
          all.barrier();
          return true;
        });
  }

  @Test
  void whereALinkBeginsLeavesTheStoreWhenItIsOpen() {
    Ranks.run(
        2,
        SameBitsTest.over("steady-messages"),
        rank -> {
          rank.communicator.barrier();
          for (String key : List.of("0-1", "1-0")) {
            assertThat(rank.job.store().peek("steady-messages/link/1/" + key)).isEmpty();
          }
          rank.communicator.barrier();
          return true;
        });
  }

  /// With room for all but the last of what a communicator needs.
  @Test
  void aCommunicatorThatCannotBeMadeGivesItsMailboxesBack() {
    long budget = 8 << 20;
    Ranks.run(
        2,
        budget,
        SameBitsTest.over("in-process"),
        rank -> {
          Communicator all = rank.communicator;
          all.barrier();
          long before = rank.job.memory().usedBytes();
          Communicator fits = all.split(0, 0).orElseThrow();
          long needs = rank.job.memory().usedBytes() - before;
          fits.close();
          all.barrier();
          long rest = budget - rank.job.memory().usedBytes() - needs + 1;
          try (Buffer _ = HostMemory.allocate(rank.job.memory(), "the rest", rest)) {
            long used = rank.job.memory().usedBytes();
            assertThat(catchThrowable(() -> all.split(0, 0)))
                .isInstanceOf(LockstepException.class)
                .hasMessageContaining("messages of no bytes");
            assertThat(rank.job.memory().usedBytes() - used).isLessThan(Endpoint.mailBytes(2));
          }
          return true;
        });
  }
}
