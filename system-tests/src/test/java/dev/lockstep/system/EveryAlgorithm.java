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
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.jspecify.annotations.Nullable;

/// Every collective, of several sizes, by the algorithm that is chosen or by every one that can do
/// it. Inputs are whole numbers whose sums are exact, so that all give the same bits.
final class EveryAlgorithm {
  /// What a rank got.
  ///
  /// @param mode promise about the bits
  /// @param request number of the collective
  /// @param algorithm by which, empty for the chosen one
  /// @param hash of the output
  record Result(Mode mode, int request, String algorithm, int hash) {
    /// Reads what [#toLine] wrote.
    static Result of(String line) {
      String[] words = line.split(" ", -1);
      return new Result(
          Mode.valueOf(words[0]), Integer.parseInt(words[1]), words[2], Integer.parseInt(words[3]));
    }

    String collective() {
      return mode + " " + request;
    }

    String toLine() {
      return mode + " " + request + " " + algorithm + " " + hash;
    }
  }

  private final long[] sizes;

  /// @param sizes in elements
  EveryAlgorithm(long... sizes) {
    this.sizes = sizes;
  }

  private List<CollectiveRequest> requests(Topology topology, Mode mode) {
    int ranks = topology.ranks();
    LaneSplit lanes = LaneSplit.onePerRank(ranks);
    ReduceOp sum = new ReduceOp.Sum();
    DType f32 = DType.F32;
    List<CollectiveRequest> all = new ArrayList<>(List.of(CollectiveRequest.barrier(topology)));
    for (long size : sizes) {
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

  /// Runs every request in both modes on ranks that are threads of this JVM, and returns what each
  /// rank got.
  ///
  /// @param all whether by every algorithm that can do it, else by the chosen one
  List<List<Result>> inThreads(String transport, int ranks, boolean all) throws Exception {
    List<List<Result>> found = new ArrayList<>();
    for (int rank = 0; rank < ranks; rank++) {
      found.add(new ArrayList<>());
    }
    for (Mode mode : Mode.values()) {
      List<Future<List<Result>>> results = new ArrayList<>();
      try (ExecutorService threads = Executors.newCachedThreadPool()) {
        for (Job job : Job.inProcess(ranks, JobConfig.of(Map.of()))) {
          results.add(
              threads.submit(
                  () -> {
                    try (job) {
                      return on(job, transport, mode, all);
                    }
                  }));
        }
        for (int rank = 0; rank < ranks; rank++) {
          found.get(rank).addAll(results.get(rank).get());
        }
      }
    }
    return found;
  }

  /// Runs every request on one rank and returns what it got.
  ///
  /// @param all whether by every algorithm that can do it, else by the chosen one
  List<Result> on(Job job, String transport, Mode mode, boolean all) {
    CommunicatorOptions options =
        CommunicatorOptions.defaults()
            .withTransport(transport)
            .withMode(mode)
            .withTimeout(Duration.ofSeconds(60));
    List<Result> results = new ArrayList<>();
    try (Communicator communicator = Communicator.world(job, options)) {
      List<CollectiveRequest> requests = requests(communicator.topology(), mode);
      for (int i = 0; i < requests.size(); i++) {
        CollectiveRequest request = requests.get(i);
        if (!all) {
          results.add(new Result(mode, i, "", runOnce(job, communicator, request, null)));
          continue;
        }
        for (Algorithm algorithm : Algorithms.applicable(request)) {
          int hash = runOnce(job, communicator, request, algorithm);
          results.add(new Result(mode, i, algorithm.name(), hash));
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

  /// Requires that each rank got the same by any algorithm.
  ///
  /// @param wanted what each rank got by the chosen ones
  static void requireSame(List<List<Result>> found, List<List<Result>> wanted) {
    for (int rank = 0; rank < wanted.size(); rank++) {
      Map<String, Integer> hashes = new HashMap<>();
      wanted.get(rank).forEach(result -> hashes.put(result.collective(), result.hash()));
      for (Result result : found.get(rank)) {
        assertThat(result.hash())
            .as("%s, rank=%d", result, rank)
            .isEqualTo(hashes.get(result.collective()));
      }
    }
  }
}
