package dev.lockstep.system;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.lockstep.collective.Communicator;
import dev.lockstep.collective.CommunicatorOptions;
import dev.lockstep.collective.LinkSource;
import dev.lockstep.collective.PreparedCollective;
import dev.lockstep.collective.algorithm.Algorithm;
import dev.lockstep.collective.algorithm.Algorithms;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.request.Counts;
import dev.lockstep.collective.request.Mode;
import dev.lockstep.collective.request.Topology;
import dev.lockstep.failure.Availability;
import dev.lockstep.failure.CollectiveException;
import dev.lockstep.failure.CollectiveTimeoutException;
import dev.lockstep.failure.TransportException;
import dev.lockstep.graph.LaneSplit;
import dev.lockstep.graph.ReduceOp;
import dev.lockstep.job.Job;
import dev.lockstep.job.JobConfig;
import dev.lockstep.memory.Buffer;
import dev.lockstep.memory.HostMemory;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Shape;
import dev.lockstep.tensor.Tensor;
import dev.lockstep.transport.TransportOrder;
import dev.lockstep.transport.TransportProvider;
import java.lang.foreign.ValueLayout;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// Collectives of three ranks over libfabric on which things go wrong: every number is right, or
/// every rank gets a typed failure, before any deadline.
@Timeout(120)
class FaultyFabricTest {
  private static final int RANKS = 3;

  /// One frame, several frames of one message, and segments.
  private static final long[] SIZES = {3, 5000, 20_001};

  private static final int MOST_ROUNDS = 100;

  @ParameterizedTest
  @ValueSource(strings = "unsteady-ofi-tcp")
  void linksThatLoseNothingGiveTheRightNumbers(String transport) throws Exception {
    requireRight(transport);
  }

  @ParameterizedTest
  @Tag("long")
  @ValueSource(strings = {"unsteady-ofi-udp", "unsteady-ofi-shm"})
  void otherWiresThatLoseNothingGiveTheRightNumbers(String transport) throws Exception {
    requireRight(transport);
  }

  private static void requireRight(String transport) throws Exception {
    assertThat(failures(transport, 1)).isEmpty();
  }

  @ParameterizedTest
  @ValueSource(strings = {"damaging-ofi-tcp", "dying-ofi-tcp"})
  void brokenLinksEndInAFailureOnEveryRankAndNeverInAResult(String transport) throws Exception {
    requireFailures(transport);
  }

  @ParameterizedTest
  @Tag("long")
  @ValueSource(strings = {"damaging-ofi-udp", "dying-ofi-udp", "damaging-ofi-shm", "dying-ofi-shm"})
  void otherBrokenWiresEndInAFailureOnEveryRankAndNeverInAResult(String transport)
      throws Exception {
    requireFailures(transport);
  }

  private static void requireFailures(String transport) throws Exception {
    List<Throwable> failures = failures(transport, MOST_ROUNDS);
    assertThat(failures)
        .hasSize(RANKS)
        .allSatisfy(
            failure ->
                assertThat(failure)
                    .isInstanceOf(CollectiveException.class)
                    .isNotInstanceOf(CollectiveTimeoutException.class));
    if (transport.startsWith("damaging")) {
      assertThat(failures)
          .as("a rank that got damaged bytes says so")
          .anySatisfy(
              failure ->
                  assertThat(causes(failure))
                      .anySatisfy(
                          cause ->
                              assertThat(cause)
                                  .isInstanceOf(TransportException.class)
                                  .hasMessageContaining("arrived damaged")));
    }
  }

  private static List<Throwable> causes(Throwable failure) {
    List<Throwable> causes = new ArrayList<>();
    for (Throwable cause = failure; cause != null; cause = cause.getCause()) {
      causes.add(cause);
    }
    return causes;
  }

  /// Runs the collectives on every rank and returns the failures of those that failed.
  private static List<Throwable> failures(String transport, int rounds) throws Exception {
    TransportProvider provider =
        Objects.requireNonNull(TransportOrder.installed().get(transport), transport);
    if (provider.probe() instanceof Availability.Unavailable(String reason)) {
      assumeTrue(false, "judge libfabric: " + reason);
    }
    List<Job> jobs = Job.inProcess(RANKS, JobConfig.of(Map.of()));
    List<Throwable> failures = new ArrayList<>();
    try (ExecutorService threads = Executors.newCachedThreadPool()) {
      List<Future<?>> ranks = new ArrayList<>();
      for (Job job : jobs) {
        ranks.add(threads.submit(() -> run(job, transport, rounds)));
      }
      for (Future<?> rank : ranks) {
        try {
          rank.get();
        } catch (ExecutionException failed) {
          failures.add(failed.getCause());
        }
      }
    }
    jobs.forEach(Job::close);
    return failures;
  }

  private static void run(Job job, String transport, int rounds) {
    CommunicatorOptions options =
        CommunicatorOptions.defaults()
            .withTransport(transport)
            .withTimeout(Duration.ofSeconds(30))
            .withLinks(LinkSource.typical());
    try (Communicator communicator = Communicator.world(job, options)) {
      for (int round = 0; round < rounds; round++) {
        for (long elements : SIZES) {
          sumByEveryAlgorithm(job, communicator, elements);
          exchange(job, communicator, elements);
        }
      }
    }
  }

  private static void sumByEveryAlgorithm(Job job, Communicator communicator, long elements) {
    Topology topology = communicator.topology();
    LaneSplit lanes = LaneSplit.onePerRank(RANKS);
    for (Mode mode : Mode.values()) {
      CollectiveRequest request =
          CollectiveRequest.allReduce(
              DType.F32, new ReduceOp.Sum(), elements, false, topology, lanes, mode);
      for (Algorithm algorithm : Algorithms.applicable(request)) {
        try (Floats in = new Floats(job, elements);
            Floats out = new Floats(job, elements);
            PreparedCollective prepared =
                communicator.prepare(request, algorithm, List.of(in.tensor()), out.tensor())) {
          for (long i = 0; i < elements; i++) {
            in.set(i, i % 1000 + job.rank());
          }
          prepared.run();
          for (long i = 0; i < elements; i++) {
            out.require(i, RANKS * (i % 1000) + 3, algorithm.name());
          }
        }
      }
    }
  }

  /// Each rank sends each other as many elements, which say whose they are.
  private static void exchange(Job job, Communicator communicator, long elements) {
    Counts counts = Counts.each((long) RANKS * RANKS, elements);
    CollectiveRequest request =
        CollectiveRequest.allToAll(DType.F32, counts, false, communicator.topology());
    for (Algorithm algorithm : Algorithms.applicable(request)) {
      try (Floats in = new Floats(job, RANKS * elements);
          Floats out = new Floats(job, RANKS * elements);
          PreparedCollective prepared =
              communicator.prepare(request, algorithm, List.of(in.tensor()), out.tensor())) {
        for (long i = 0; i < RANKS * elements; i++) {
          in.set(i, 10L * job.rank() + i / elements + 100 * (i % 1000));
        }
        prepared.run();
        for (long i = 0; i < RANKS * elements; i++) {
          long at = job.rank() * elements + i % elements; // in its sender's tensor
          out.require(i, 10 * (i / elements) + job.rank() + 100 * (at % 1000), algorithm.name());
        }
      }
    }
  }

  /// A tensor of a rank's.
  private static final class Floats implements AutoCloseable {
    private final Buffer buffer;
    private final long elements;

    Floats(Job job, long elements) {
      this.buffer = HostMemory.allocate(job.memory(), "floats", elements * Float.BYTES);
      this.elements = elements;
    }

    Tensor tensor() {
      return Tensor.of(buffer, DType.F32, Shape.of(elements));
    }

    void set(long at, long value) {
      buffer.segment().setAtIndex(ValueLayout.JAVA_FLOAT, at, (float) value);
    }

    void require(long at, long value, String algorithm) {
      float found = buffer.segment().getAtIndex(ValueLayout.JAVA_FLOAT, at);
      if (found != value) {
        throw new AssertionError(
            "%s is wrong: element=%d, found=%s, wanted=%d".formatted(algorithm, at, found, value));
      }
    }

    @Override
    public void close() {
      buffer.close();
    }
  }
}
