package dev.lockstep.collective;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.collective.algorithm.Algorithm;
import dev.lockstep.collective.algorithm.Algorithms;
import dev.lockstep.collective.request.CollectiveKind;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.request.Counts;
import dev.lockstep.collective.request.Mode;
import dev.lockstep.collective.request.Topology;
import dev.lockstep.collective.schedule.Schedule;
import dev.lockstep.graph.LaneSplit;
import dev.lockstep.graph.ReduceOp;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Tensor;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/// Algorithms for groups within groups give what others give, where the ranks are threads that are
/// taken to be in groups.
@Timeout(120)
final class HierarchiesOnThreadsTest {
  private static final List<Algorithm> ALL =
      Algorithms.all().stream()
          .filter(algorithm -> algorithm.name().startsWith("hierarchical-"))
          .toList();

  /// An algorithm that takes ranks to be in groups.
  private record Grouped(Algorithm algorithm, List<Integer> levels) implements Algorithm {
    private CollectiveRequest grouped(CollectiveRequest request) {
      return new CollectiveRequest(
          request.kind(),
          request.dtype(),
          request.reduceOp(),
          request.root(),
          request.counts(),
          request.inPlace(),
          new Topology(request.ranks(), levels, false),
          request.lanes(),
          request.mode());
    }

    @Override
    public String name() {
      return algorithm.name();
    }

    @Override
    public CollectiveKind kind() {
      return algorithm.kind();
    }

    @Override
    public Optional<String> refusal(CollectiveRequest request) {
      return algorithm.refusal(grouped(request));
    }

    @Override
    public Schedule schedule(CollectiveRequest request) {
      Schedule made = algorithm.schedule(grouped(request));
      return Schedule.of(name(), request, made::steps, made::scratch, made::alike);
    }
  }

  private static List<CollectiveRequest> requests(Topology topology, Mode mode) {
    int ranks = topology.ranks();
    LaneSplit lanes = LaneSplit.onePerRank(ranks);
    ReduceOp sum = new ReduceOp.Sum();
    DType type = DType.I32;
    List<CollectiveRequest> requests = new ArrayList<>();
    requests.add(CollectiveRequest.barrier(topology));
    for (int size : new int[] {3, 5000}) {
      Counts uneven =
          Counts.of(IntStream.range(0, ranks).mapToObj(rank -> (long) rank * size / 2).toList());
      requests.add(CollectiveRequest.allReduce(type, sum, size, false, topology, lanes, mode));
      for (int root : new int[] {0, ranks - 1}) {
        requests.add(CollectiveRequest.reduce(type, sum, size, root, false, topology, lanes, mode));
        requests.add(CollectiveRequest.broadcast(type, size, root, topology).withInPlace(false));
      }
      for (Counts counts : List.of(Counts.each(ranks, size), uneven)) {
        requests.add(
            CollectiveRequest.reduceScatter(type, sum, counts, false, topology, lanes, mode));
        requests.add(CollectiveRequest.allGather(type, counts, false, topology));
      }
      requests.add(
          CollectiveRequest.allToAll(
              type, Counts.each((long) ranks * ranks, size), false, topology));
    }
    // Three lanes of each rank, which most of them have as two inputs.
    LaneSplit several = LaneSplit.contiguous(3 * ranks, ranks);
    requests.add(CollectiveRequest.allReduce(type, sum, 500, false, topology, several, mode));
    requests.add(CollectiveRequest.reduce(type, sum, 500, 1, false, topology, several, mode));
    requests.add(
        CollectiveRequest.reduceScatter(
            type, sum, Counts.each(ranks, 50), false, topology, several, mode));
    return requests;
  }

  @ParameterizedTest(name = "{0}, P={1}, groups of {2} and {3}")
  @CsvSource({"shm, 3, 2, 2", "messages-only, 5, 2, 4", "messages-only, 5, 3, 3"})
  void giveWhatOthersGive(String transport, int ranks, int inner, int outer) {
    List<Integer> levels = inner == outer ? List.of(inner) : List.of(inner, outer);
    List<Integer> runs =
        Ranks.run(
            ranks,
            SameBitsTest.over(transport),
            rank -> {
              int done = 0;
              for (Mode mode : Mode.values()) {
                for (CollectiveRequest request : requests(rank.communicator.topology(), mode)) {
                  Algorithm flat = Algorithms.applicable(request).getFirst();
                  int[] wanted = result(rank, request, flat);
                  for (Algorithm algorithm : ALL) {
                    Algorithm grouped = new Grouped(algorithm, levels);
                    if (grouped.refusal(request).isEmpty()) {
                      assertThat(result(rank, request, grouped))
                          .as("%s of %s", grouped.name(), request.words())
                          .isEqualTo(wanted);
                      done++;
                    }
                  }
                }
              }
              return done;
            });
    assertThat(runs).allMatch(done -> done > 40);
  }

  private static int[] result(Ranks.Rank rank, CollectiveRequest request, Algorithm algorithm) {
    int me = rank.number();
    List<Tensor> inputs = new ArrayList<>();
    for (int input = 0; input < request.inputs(me); input++) {
      Tensor tensor = rank.privateTensor(DType.I32, request.inputElements(me));
      for (int i = 0; i < request.inputElements(me); i++) {
        tensor.segment().setAtIndex(ValueLayout.JAVA_INT, i, 1000 * (me + 1) + i);
      }
      inputs.add(tensor);
    }
    long elements = request.outputElements(me);
    Tensor output = elements == 0 ? null : rank.privateTensor(DType.I32, elements);
    try (PreparedCollective prepared =
        rank.communicator.prepare(request, algorithm, inputs, output)) {
      prepared.run();
      prepared.run();
    }
    return output == null ? new int[0] : output.segment().toArray(ValueLayout.JAVA_INT);
  }
}
