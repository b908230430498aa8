package dev.lockstep.system;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.collective.Communicator;
import dev.lockstep.collective.CommunicatorOptions;
import dev.lockstep.collective.PreparedCollective;
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
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/// Every kind of collective over libfabric's providers gives what it gives between threads that
/// share memory.
@Timeout(120)
class CollectivesOverLibfabricTest {
  /// Short enough for one frame, for several, and for segments; sums of these numbers are exact.
  private static final long[] SIZES = {3, 5000, 300_001};

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

  /// Runs every request on every rank and returns the hashes of what each rank got.
  private static List<List<Integer>> run(String transport, int ranks, Mode mode) throws Exception {
    List<Future<List<Integer>>> results = new ArrayList<>();
    try (ExecutorService threads = Executors.newCachedThreadPool()) {
      for (Job job : Job.inProcess(ranks, JobConfig.of(Map.of()))) {
        results.add(threads.submit(() -> runRank(job, transport, mode)));
      }
      List<List<Integer>> hashes = new ArrayList<>();
      for (Future<List<Integer>> result : results) {
        hashes.add(result.get());
      }
      return hashes;
    }
  }

  private static List<Integer> runRank(Job job, String transport, Mode mode) {
    CommunicatorOptions options =
        CommunicatorOptions.defaults()
            .withTransport(transport)
            .withMode(mode)
            .withTimeout(Duration.ofSeconds(60));
    List<Integer> hashes = new ArrayList<>();
    try (job;
        Communicator communicator = Communicator.world(job, options)) {
      for (CollectiveRequest request : requests(communicator.topology(), mode)) {
        hashes.add(runOnce(job, communicator, request));
      }
    } catch (RuntimeException | Error failure) {
      job.fail(failure, "");
      throw failure;
    }
    return hashes;
  }

  private static int runOnce(Job job, Communicator communicator, CollectiveRequest request) {
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
    try (PreparedCollective prepared = communicator.prepare(request, inputs, output)) {
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

  private static void givesTheSame(String transport, int ranks) throws Exception {
    Libfabric.require(transport);
    for (Mode mode : Mode.values()) {
      assertThat(run(transport, ranks, mode)).isEqualTo(run("in-process", ranks, mode));
    }
  }

  @ParameterizedTest(name = "{0}, P={1}")
  @CsvSource({"ofi:tcp, 3", "ofi:shm, 4"})
  void everyKindGivesWhatSharedMemoryGives(String transport, int ranks) throws Exception {
    givesTheSame(transport, ranks);
  }

  @ParameterizedTest(name = "{0}, P={1}")
  @CsvSource({
    "ofi:tcp, 2",
    "ofi:tcp, 4",
    "ofi:tcp, 5",
    "ofi:shm, 2",
    "ofi:shm, 3",
    "ofi:shm, 5",
    "ofi:udp, 2",
    "ofi:udp, 3",
    "ofi:udp, 4",
    "ofi:udp, 5",
    "ofi:net, 2",
    "ofi:net, 3",
    "ofi:net, 4",
    "ofi:net, 5"
  })
  @Tag("long")
  void everyKindGivesWhatSharedMemoryGivesOnAllProviders(String transport, int ranks)
      throws Exception {
    givesTheSame(transport, ranks);
  }
}
