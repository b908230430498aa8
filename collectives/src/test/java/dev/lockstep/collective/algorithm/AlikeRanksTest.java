package dev.lockstep.collective.algorithm;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.schedule.Range;
import dev.lockstep.collective.schedule.Schedule;
import dev.lockstep.collective.schedule.Step;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// Ranks that a schedule declares alike do the same steps with peers that are alike.
@Timeout(120)
final class AlikeRanksTest {
  @ParameterizedTest(name = "P={0}")
  @ValueSource(ints = {1, 2, 3, 4, 6, 7, 8, 12})
  void doTheSameStepsWithAlikePeers(int ranks) {
    for (CollectiveRequest request : Requests.ofEveryKind(ranks, false)) {
      for (Algorithm algorithm : Requests.algorithms()) {
        if (algorithm.refusal(request).isEmpty() && algorithm.redundancy(request).isEmpty()) {
          check(algorithm.schedule(request));
        }
      }
    }
  }

  static void check(Schedule schedule) {
    for (int rank = 0; rank < schedule.ranks(); rank++) {
      int like = schedule.alike(rank);
      assertThat(like).as("%s, rank %d", schedule, rank).isBetween(0, rank);
      assertThat(schedule.alike(like)).isEqualTo(like);
      if (like != rank) {
        assertThat(shapes(schedule, rank))
            .as("%s, %s, rank %d", schedule, schedule.request().counts(), rank)
            .isEqualTo(shapes(schedule, like));
      }
    }
  }

  private static List<String> shapes(Schedule schedule, int rank) {
    List<String> shapes = new ArrayList<>();
    for (Step step : schedule.steps(rank)) {
      shapes.add(
          switch (step) {
            case Step.Send(int peer, Range from) ->
                "send " + schedule.alike(peer) + " " + from.elements();
            case Step.Receive(int peer, Range into) ->
                "receive " + schedule.alike(peer) + " " + into.elements();
            case Step.ReceiveReduce(int peer, Range into) ->
                "receive-reduce " + schedule.alike(peer) + " " + into.elements();
            case Step.Copy(Range from, _) ->
                "copy %d from %s".formatted(from.elements(), owner(schedule, rank, from));
            case Step.Reduce(Range to, var tree) -> {
              List<String> owners = new ArrayList<>();
              tree.forEachSource(source -> owners.add(owner(schedule, rank, source)));
              yield "reduce " + to.elements() + owners.stream().sorted().toList();
            }
            case Step.Spread(List<Range> to, var tree) -> {
              List<String> owners = new ArrayList<>();
              tree.forEachSource(source -> owners.add(owner(schedule, rank, source)));
              yield "spread %d from %s to %s"
                  .formatted(
                      to.getFirst().elements(),
                      owners.stream().sorted().toList(),
                      to.stream().map(range -> owner(schedule, rank, range)).toList());
            }
            case Step.Swap(_, Range theirs) ->
                "swap %d with %s".formatted(theirs.elements(), owner(schedule, rank, theirs));
            case Step.Scale(Range from, _) -> "scale " + from.elements();
            case Step.Divide(Range target) -> "divide " + target.elements();
            case Step.Signal(int peer, int slot) -> "signal " + schedule.alike(peer) + " " + slot;
            case Step.Await(int peer, int slot) -> "await " + schedule.alike(peer) + " " + slot;
          });
    }
    return shapes;
  }

  private static String owner(Schedule schedule, int rank, Range range) {
    return range.rank() == rank ? "itself" : "" + schedule.alike(range.rank());
  }
}
