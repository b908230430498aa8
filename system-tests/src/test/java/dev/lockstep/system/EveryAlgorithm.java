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
/// it. Inputs are whole numbers whose sums are exact, so that all give the same bits, in whatever
/// form they are brought.
final class EveryAlgorithm {
  /// How ranks bring what they bring.
  enum Form {
    /// One input each, apart from the output.
    APART,
    /// One input each, in memory of the output where the rank has one.
    IN_PLACE,
    /// Three lanes each, whose sum is what a rank brings else: most ranks have them as two inputs.
    OF_LANES;

    LaneSplit lanes(int ranks) {
      return this == OF_LANES
          ? LaneSplit.contiguous(3 * ranks, ranks)
          : LaneSplit.onePerRank(ranks);
    }
  }

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

  private final Form form;
  private final long[] sizes;

  /// @param sizes in elements
  EveryAlgorithm(long... sizes) {
    this(Form.APART, sizes);
  }

  private EveryAlgorithm(Form form, long... sizes) {
    this.form = form;
    this.sizes = sizes;
  }

  /// Returns the same collectives, whose results are the same, in another form.
  EveryAlgorithm in(Form other) {
    return new EveryAlgorithm(other, sizes);
  }

  private List<CollectiveRequest> requests(Topology topology, Mode mode) {
    int ranks = topology.ranks();
    LaneSplit lanes = form.lanes(ranks);
    boolean inPlace = form == Form.IN_PLACE;
    ReduceOp sum = new ReduceOp.Sum();
    DType f32 = DType.F32;
    List<CollectiveRequest> all = new ArrayList<>(List.of(CollectiveRequest.barrier(topology)));
    for (long size : sizes) {
      int root = (int) (size % ranks);
      Counts even = Counts.each(ranks, size);
      Counts uneven = Counts.of(new SplittableRandom(size).longs(ranks, 0, size).boxed().toList());
      Counts square = Counts.each((long) ranks * ranks, size / 2);
      all.add(CollectiveRequest.allReduce(f32, sum, size, inPlace, topology, lanes, mode));
      all.add(CollectiveRequest.reduce(f32, sum, size, root, inPlace, topology, lanes, mode));
      for (Counts counts : List.of(even, uneven)) {
        all.add(CollectiveRequest.reduceScatter(f32, sum, counts, inPlace, topology, lanes, mode));
        all.add(CollectiveRequest.allGather(f32, counts, inPlace, topology));
        all.add(CollectiveRequest.gather(f32, counts, root, inPlace, topology));
        all.add(CollectiveRequest.scatter(f32, counts, root, inPlace, topology));
      }
      all.add(CollectiveRequest.broadcast(f32, size, root, topology).withInPlace(inPlace));
      all.add(CollectiveRequest.allToAll(f32, square, inPlace, topology));
      all.add(CollectiveRequest.sendReceive(f32, size, inPlace, topology));
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
          results.add(new Result(mode, i, "", run(job, communicator, request, null)));
          continue;
        }
        for (Algorithm algorithm : Algorithms.applicable(request)) {
          int hash = run(job, communicator, request, algorithm);
          results.add(new Result(mode, i, algorithm.name(), hash));
        }
      }
    } catch (RuntimeException | Error failure) {
      job.fail(failure, "");
      throw failure;
    }
    return results;
  }

  /// Runs it twice, and returns the hash of what this rank got in the end.
  private static int run(
      Job job,
      Communicator communicator,
      CollectiveRequest request,
      @Nullable Algorithm algorithm) {
    List<Buffer> buffers = new ArrayList<>();
    try {
      Tensor output = output(job, buffers, request);
      List<Tensor> inputs = inputs(job, buffers, request, output);
      try (PreparedCollective prepared =
          algorithm == null
              ? communicator.prepare(request, inputs, output)
              : communicator.prepare(request, algorithm, inputs, output)) {
        fill(inputs, job.rank());
        prepared.run();
        fill(inputs, job.rank());
        prepared.run();
      }
      return output == null
          ? 0
          : Arrays.hashCode(output.segment().toArray(ValueLayout.JAVA_FLOAT_UNALIGNED));
    } finally {
      buffers.forEach(Buffer::close);
    }
  }

  /// Returns memory of the output, in place with room for the input.
  private static @Nullable Tensor output(Job job, List<Buffer> buffers, CollectiveRequest request) {
    int me = job.rank();
    long elements = request.outputElements(me);
    if (elements == 0) {
      return null;
    }
    if (!request.inPlace() || request.inputs(me) == 0) {
      return tensor(job, buffers, elements);
    }
    long start = request.outputStart(me);
    long room = Math.max(start + elements, request.inputStart(me) + request.inputElements(me));
    Buffer both =
        HostMemory.allocateShared(job.memory(), "both", room * Float.BYTES, job.directory());
    buffers.add(both);
    return new Tensor(both, start * Float.BYTES, DType.F32, Shape.of(elements));
  }

  private static List<Tensor> inputs(
      Job job, List<Buffer> buffers, CollectiveRequest request, @Nullable Tensor output) {
    int me = job.rank();
    List<Tensor> inputs = new ArrayList<>();
    for (int i = 0; i < request.inputs(me); i++) {
      long elements = request.inputElements(me);
      if (request.inPlace() && output != null) {
        long offset = request.inputStart(me) * Float.BYTES;
        inputs.add(new Tensor(output.buffer(), offset, DType.F32, Shape.of(elements)));
      } else {
        inputs.add(tensor(job, buffers, elements));
      }
    }
    return inputs;
  }

  /// Fills inputs with whole numbers whose sum is the same however many inputs there are.
  private static void fill(List<Tensor> inputs, int rank) {
    if (inputs.isEmpty()) {
      return;
    }
    SplittableRandom random = new SplittableRandom(rank);
    for (long at = 0; at < inputs.getFirst().shape().elements(); at++) {
      int left = random.nextInt(1000);
      for (int i = 1; i < inputs.size(); i++) {
        int share = (int) ((at + i) % 100);
        set(inputs.get(i), at, share);
        left -= share;
      }
      set(inputs.getFirst(), at, left);
    }
  }

  private static void set(Tensor tensor, long at, int value) {
    tensor.segment().setAtIndex(ValueLayout.JAVA_FLOAT_UNALIGNED, at, value);
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
