package dev.lockstep.device.cuda;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.device.DeviceCollective;
import dev.lockstep.graph.LaneSplit;
import dev.lockstep.graph.ReduceOp;
import dev.lockstep.graph.SumTree.Subtree;
import dev.lockstep.tensor.DType;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/// Plans of ranks fit each other, also where a vector passes in rounds.
class NcclPlanTest {
  private static final int RANKS = 4;
  private static final long INPUTS = 1L << 40; // of each input
  private static final long OUTPUT = 1L << 30;
  private static final long SCRATCH = 1L << 20;

  private static List<NcclStep> plan(
      int rank, DeviceCollective collective, LaneSplit lanes, long most, Arena arena) {
    List<Long> inputs = new ArrayList<>();
    for (int i = 0; i < lanes.ranks().get(rank).size(); i++) {
      inputs.add((i + 1) * INPUTS);
    }
    return new NcclPlan(
            new NcclPlan.Place(rank, RANKS, true, 0, most),
            _ -> new LaneJoin(0, new LaneJoin.Queue(0, 0), 132, arena),
            bytes -> {
              assertThat(bytes).isLessThanOrEqualTo(most * Float.BYTES);
              return SCRATCH;
            })
        .of(collective, inputs, OUTPUT);
  }

  private static List<NcclStep.Messages> messages(List<NcclStep> steps) {
    return steps.stream()
        .filter(NcclStep.Messages.class::isInstance)
        .map(NcclStep.Messages.class::cast)
        .toList();
  }

  private static LaneSplit uneven() {
    return LaneSplit.contiguous(13, RANKS);
  }

  @ParameterizedTest(name = "floats held at once: {0}")
  @CsvSource({"200, 18", "1000, 4", "100000, 1"})
  void ranksSendWhatOthersAwaitInEveryRound(long most, int rounds) {
    LaneSplit lanes = uneven();
    List<Long> counts = List.of(501L, 0L, 77L, 250L);
    DeviceCollective collective =
        new DeviceCollective.ReduceScatter(DType.F32, new ReduceOp.Sum(), lanes, counts);
    try (Arena arena = Arena.ofConfined()) {
      List<List<NcclStep.Messages>> all = new ArrayList<>();
      for (int rank = 0; rank < RANKS; rank++) {
        all.add(messages(plan(rank, collective, lanes, most, arena)));
      }
      assertThat(all.get(1)).hasSize(all.get(0).size());
      Map<List<Object>, Long> sent = new HashMap<>();
      int longest = all.stream().mapToInt(List::size).max().orElseThrow();
      for (int round = 0; round < longest; round++) {
        for (int from = 0; from < RANKS; from++) {
          for (int to = 0; to < RANKS; to++) {
            List<Long> sends = new ArrayList<>();
            List<Long> awaited = new ArrayList<>();
            if (round < all.get(from).size()) {
              for (NcclStep.Message send : all.get(from).get(round).sends()) {
                if (send.peer() == to) {
                  sends.add(send.count());
                  sent.merge(List.of(from, to, send.address() / INPUTS), send.count(), Long::sum);
                }
              }
            }
            if (round < all.get(to).size()) {
              for (NcclStep.Message receive : all.get(to).get(round).receives()) {
                if (receive.peer() == from) {
                  awaited.add(receive.count());
                  long end = receive.address() + receive.count() * Float.BYTES;
                  assertThat(end).isLessThanOrEqualTo(SCRATCH + most * Float.BYTES);
                }
              }
            }
            assertThat(sends).as("round %d, %d to %d", round, from, to).isEqualTo(awaited);
          }
        }
      }
      sent.forEach((way, count) -> assertThat(count).isEqualTo(counts.get((int) way.get(1))));
      int ways = 0;
      for (int to = 0; to < RANKS; to++) {
        for (int from = 0; from < RANKS; from++) {
          ways += from == to || counts.get(to) == 0 ? 0 : lanes.ranks().get(from).size();
        }
      }
      assertThat(sent).hasSize(ways);
      assertThat(longest).isEqualTo(rounds);
    }
  }

  @Test
  void shortVectorsPassInOneExchange() {
    LaneSplit lanes = LaneSplit.onePerRank(RANKS);
    DeviceCollective scalar =
        new DeviceCollective.AllReduce(DType.F32, new ReduceOp.Sum(), lanes, 1);
    DeviceCollective vector =
        new DeviceCollective.AllReduce(DType.F32, new ReduceOp.Sum(), lanes, 1 << 20);
    try (Arena arena = Arena.ofConfined()) {
      assertThat(plan(2, scalar, lanes, NcclPlan.MOST_SCRATCH, arena))
          .hasExactlyElementsOfTypes(NcclStep.Messages.class, NcclStep.Launch.class);
      assertThat(plan(2, vector, lanes, NcclPlan.MOST_SCRATCH, arena))
          .hasExactlyElementsOfTypes(
              NcclStep.Messages.class, NcclStep.Launch.class, NcclStep.Gather.class);
    }
  }

  @Test
  void whatIsLeftOverOfATreeStandsRightOfTheRest() {
    List<List<Subtree>> held =
        List.of(
            List.of(new Subtree(0, 4)),
            List.of(new Subtree(4, 2), new Subtree(6, 1)),
            List.of(new Subtree(7, 1), new Subtree(8, 3)),
            List.<Subtree>of());
    assertThat(LaneLeaf.of(new LaneSplit(11, held)))
        .containsExactly(
            new LaneLeaf(0, 0, 0, 2),
            new LaneLeaf(1, 0, 4, 1),
            new LaneLeaf(1, 1, 6, 0),
            new LaneLeaf(2, 0, 7, 0),
            new LaneLeaf(2, 1, 8, -1));
  }
}
