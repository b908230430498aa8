package dev.lockstep.system;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.collective.Communicator;
import dev.lockstep.collective.CommunicatorOptions;
import dev.lockstep.collective.PreparedCollective;
import dev.lockstep.collective.algorithm.Algorithm;
import dev.lockstep.collective.algorithm.Algorithms;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.request.Counts;
import dev.lockstep.collective.request.Mode;
import dev.lockstep.collective.request.Topology;
import dev.lockstep.graph.LaneSplit;
import dev.lockstep.graph.ReduceOp;
import dev.lockstep.job.Job;
import dev.lockstep.job.JobConfig;
import dev.lockstep.memory.Buffer;
import dev.lockstep.memory.HostMemory;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Shape;
import dev.lockstep.tensor.Tensor;
import java.lang.foreign.ValueLayout;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;

/// Every collective by every algorithm over every transport gives what the chosen one gives between
/// threads that share memory.
@Timeout(240)
class EveryAlgorithmTest {
  /// Short enough for one frame of any transport, for several, and for segments of libfabric's.
  private static final long[] SIZES = {3, 5000, 70_001};

  /// What a rank got.
  ///
  /// @param request number of the collective
  /// @param algorithm by which
  /// @param hash of the output
  private record Result(int request, String algorithm, int hash) {}

  private static List<CollectiveRequest> requests(Topology topology, Mode mode) {
    int ranks = topology.ranks();
    LaneSplit lanes = LaneSplit.onePerRank(ranks);
    ReduceOp sum = new ReduceOp.Sum();
    DType f32 = DType.F32;
    List<CollectiveRequest> all = new ArrayList<>(List.of(CollectiveRequest.barrier(topology)));
    for (long size : SIZES) {
      int root = (int) (size % ranks);
      Counts even = Counts.each(ranks, size);
      Counts uneven = Counts.of(new SplittableRandom(size).longs(ranks, 0, size).boxed().toList());
      Counts square = Counts.each((long) ranks * ranks, size / 2);
      all.add(CollectiveRequest.allReduce(f32, sum, size, false, topology, lanes, mode));
      all.add(CollectiveRequest.reduce(f32, sum, size, root, false, topology, lanes, mode));
      for (Counts counts : List.of(even, uneven)) {
        all.add(CollectiveRequest.reduceScatter(f32, sum, counts, false, topology, lanes, mode));
        all.add(CollectiveRequest.allGather(f32, counts, false, topology));
        all.add(CollectiveRequest.gather(f32, counts, root, false, topology));
        all.add(CollectiveRequest.scatter(f32, counts, root, false, topology));
      }
      all.add(CollectiveRequest.broadcast(f32, size, root, topology).withInPlace(false));
      all.add(CollectiveRequest.allToAll(f32, square, false, topology));
      all.add(CollectiveRequest.sendReceive(f32, size, false, topology));
    }
    return all;
  }

  /// Runs every request on every rank and returns what each rank got.
  ///
  /// @param everyAlgorithm whether by every one that can do it, else by the chosen one
  private static List<List<Result>> run(
      String transport, int ranks, Mode mode, boolean everyAlgorithm) throws Exception {
    List<Future<List<Result>>> results = new ArrayList<>();
    try (ExecutorService threads = Executors.newCachedThreadPool()) {
      for (Job job : Job.inProcess(ranks, JobConfig.of(Map.of()))) {
        results.add(threads.submit(() -> runRank(job, transport, mode, everyAlgorithm)));
      }
      List<List<Result>> all = new ArrayList<>();
      for (Future<List<Result>> result : results) {
        all.add(result.get());
      }
      return all;
    }
  }

  private static List<Result> runRank(
      Job job, String transport, Mode mode, boolean everyAlgorithm) {
    CommunicatorOptions options =
        CommunicatorOptions.defaults()
            .withTransport(transport)
            .withMode(mode)
            .withTimeout(Duration.ofSeconds(60));
    List<Result> results = new ArrayList<>();
    try (job;
        Communicator communicator = Communicator.world(job, options)) {
      List<CollectiveRequest> requests = requests(communicator.topology(), mode);
      for (int i = 0; i < requests.size(); i++) {
        CollectiveRequest request = requests.get(i);
        if (!everyAlgorithm) {
          results.add(new Result(i, "", runOnce(job, communicator, request, null)));
          continue;
        }
        for (Algorithm algorithm : Algorithms.applicable(request)) {
          int hash = runOnce(job, communicator, request, algorithm);
          results.add(new Result(i, algorithm.name(), hash));
        }
      }
    } catch (RuntimeException | Error failure) {
      job.fail(failure, "");
      throw failure;
    }
    return results;
  }

  private static int runOnce(
      Job job,
      Communicator communicator,
      CollectiveRequest request,
      @Nullable Algorithm algorithm) {
    List<Buffer> buffers = new ArrayList<>();
    List<Tensor> inputs = new ArrayList<>();
    SplittableRandom random = new SplittableRandom(job.rank());
    for (int i = 0; i < request.inputs(job.rank()); i++) {
      inputs.add(tensor(job, buffers, request.inputElements(job.rank())));
      for (long at = 0; at < request.inputElements(job.rank()); at++) {
        buffers.getLast().segment().setAtIndex(ValueLayout.JAVA_FLOAT, at, random.nextInt(1000));
      }
    }
    long elements = request.outputElements(job.rank());
    Tensor output = elements == 0 ? null : tensor(job, buffers, elements);
    try (PreparedCollective prepared =
        algorithm == null
            ? communicator.prepare(request, inputs, output)
            : communicator.prepare(request, algorithm, inputs, output)) {
      prepared.run();
      prepared.run();
      return output == null
          ? 0
          : Arrays.hashCode(buffers.getLast().segment().toArray(ValueLayout.JAVA_FLOAT));
    } finally {
      buffers.forEach(Buffer::close);
    }
  }

  private static Tensor tensor(Job job, List<Buffer> buffers, long elements) {
    Buffer buffer = HostMemory.allocate(job.memory(), "tensor", elements * Float.BYTES);
    buffers.add(buffer);
    return Tensor.of(buffer, DType.F32, Shape.of(elements));
  }

  /// Returns how many algorithms were run, over all collectives.
  private static int givesTheSame(String transport, int ranks) throws Exception {
    Libfabric.require(transport);
    int runs = 0;
    for (Mode mode : Mode.values()) {
      List<List<Result>> wanted = run("in-process", ranks, mode, false);
      List<List<Result>> found = run(transport, ranks, mode, true);
      for (int rank = 0; rank < ranks; rank++) {
        for (Result result : found.get(rank)) {
          assertThat(result.hash())
              .as("%s, mode=%s, rank=%d", result, mode, rank)
              .isEqualTo(wanted.get(rank).get(result.request()).hash());
        }
        runs += found.get(rank).size();
      }
    }
    return runs;
  }

  @ParameterizedTest(name = "{0}, P={1}")
  @CsvSource({"shm, 3", "aeron-udp, 2", "ofi:tcp, 3"})
  void givesWhatTheChosenOneGivesBetweenThreads(String transport, int ranks) throws Exception {
    assertThat(givesTheSame(transport, ranks)).isGreaterThan(300);
  }

  @ParameterizedTest(name = "{0}, P={1}")
  @MethodSource("allTransports")
  @Tag("long")
  void givesWhatTheChosenOneGivesOverAllTransports(String transport, int ranks) throws Exception {
    assertThat(givesTheSame(transport, ranks)).isGreaterThan(200);
  }

  static Stream<Arguments> allTransports() {
    return Stream.of("shm", "aeron-ipc", "aeron-udp", "ofi:tcp", "ofi:shm", "ofi:udp", "ofi:net")
        .flatMap(
            transport ->
                IntStream.rangeClosed(2, 5).mapToObj(ranks -> Arguments.of(transport, ranks)));
  }
}
