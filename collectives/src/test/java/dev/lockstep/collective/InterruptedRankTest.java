package dev.lockstep.collective;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.graph.ReduceOp;
import dev.lockstep.job.Job;
import dev.lockstep.job.JobConfig;
import dev.lockstep.job.StoreServer;
import dev.lockstep.memory.Buffer;
import dev.lockstep.memory.HostMemory;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Shape;
import dev.lockstep.tensor.Tensor;
import java.io.IOException;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/// Whoever interrupts a rank's thread ends none of its waits: the others count on it. Ranks are
/// threads of this JVM that meet over sockets, where every word at the store is a wait.
@Timeout(30)
final class InterruptedRankTest {
  private static final String TOKEN = "a secret of this test only";

  @TempDir private Path folder;

  private interface Body {
    void run(Job job, Communicator communicator) throws Exception;
  }

  private void run(String transport, Body body) throws Exception {
    byte[] token = TOKEN.getBytes(StandardCharsets.UTF_8);
    try (StoreServer store = StoreServer.start("127.0.0.1", 0, token, 2, Duration.ofSeconds(2));
        ExecutorService threads = Executors.newCachedThreadPool()) {
      List<Future<Boolean>> ranks = new ArrayList<>();
      for (int rank = 0; rank < 2; rank++) {
        JobConfig config = JobConfig.of(environment(rank, store.port()));
        Callable<Boolean> work =
            () -> {
              try (Job job = Job.join(config);
                  Communicator communicator =
                      Communicator.world(job, SameBitsTest.over(transport))) {
                body.run(job, communicator);
              }
              return Thread.interrupted();
            };
        ranks.add(threads.submit(work));
      }
      assertThat(ranks.get(0).get()).as("interrupted").isTrue();
      assertThat(ranks.get(1).get()).as("interrupted").isFalse();
    }
  }

  private Map<String, String> environment(int rank, int port) throws IOException {
    Path token = folder.resolve("token-" + rank);
    var mode = PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rw-------"));
    Files.writeString(Files.createFile(token, mode), TOKEN);
    return Map.of(
        "RANK", Integer.toString(rank),
        "WORLD_SIZE", "2",
        "LOCAL_RANK", Integer.toString(rank),
        "LOCAL_WORLD_SIZE", "2",
        "MASTER_ADDR", "127.0.0.1",
        "MASTER_PORT", Integer.toString(port),
        "LOCKSTEP_STORE_PORT", Integer.toString(port),
        "LOCKSTEP_USE_AGENT_STORE", "True",
        "LOCKSTEP_JOB_TOKEN_FILE", token.toString());
  }

  /// Leaving a job throws if anything of its memory is still out.
  @Test
  void aRankThatUnwindsInterruptedLeavesWithTheOthersAndKeepsNothing() throws Exception {
    CountDownLatch closing = new CountDownLatch(1);
    run(
        "shm",
        (job, communicator) -> {
          sum(job, communicator, 1);
          if (job.rank() == 0) {
            Thread.currentThread().interrupt();
            closing.countDown();
            return;
          }
          closing.await();
          assertThat(job.directory()).isDirectory();
          job.store().set("still/here", new byte[1]);
          communicator.close();
          assertThat(job.failure()).isEmpty();
        });
  }

  @Test
  void anInterruptedRankWaitsForALatePeerInACollective() throws Exception {
    CountDownLatch waiting = new CountDownLatch(1);
    run(
        "shm",
        (job, communicator) -> {
          try (Buffer buffer = HostMemory.allocate(job.memory(), "tensor", Integer.BYTES)) {
            Tensor tensor = Tensor.of(buffer, DType.I32, Shape.of(1));
            PreparedCollective sum = Ranks.prepareSum(communicator, tensor);
            if (job.rank() == 0) {
              Thread.currentThread().interrupt();
              Work work = sum.start();
              waiting.countDown();
              work.await();
              assertThat(Thread.currentThread().isInterrupted()).isTrue();
              assertThat(sum(job, communicator, 1)).isEqualTo(3); // prepares, interrupted
            } else {
              waiting.await();
              awaitLongWait(job);
              sum.run();
              assertThat(sum(job, communicator, 2)).isEqualTo(3);
            }
          }
        });
  }

  /// Returns when rank 0 has waited for so long that it tells the store in what.
  private static void awaitLongWait(Job job) {
    byte[] stands;
    do {
      stands = job.store().get("collective/1/in/0", Duration.ofSeconds(10));
    } while (!new String(stands, StandardCharsets.UTF_8).contains("all_reduce"));
  }

  private static int sum(Job job, Communicator communicator, int mine) {
    try (Buffer buffer = HostMemory.allocate(job.memory(), "tensor", Integer.BYTES)) {
      Tensor tensor = Tensor.of(buffer, DType.I32, Shape.of(1));
      tensor.segment().set(ValueLayout.JAVA_INT, 0, mine);
      communicator.allReduce(tensor, tensor, new ReduceOp.Sum());
      return tensor.segment().get(ValueLayout.JAVA_INT, 0);
    }
  }
}
