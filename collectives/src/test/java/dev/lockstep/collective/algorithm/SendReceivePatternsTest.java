package dev.lockstep.collective.algorithm;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.request.Partners;
import dev.lockstep.collective.request.Topology;
import dev.lockstep.collective.schedule.Schedule;
import dev.lockstep.collective.simulate.Compute;
import dev.lockstep.collective.simulate.Fabric;
import dev.lockstep.collective.simulate.Level;
import dev.lockstep.collective.simulate.Simulator;
import dev.lockstep.collective.verify.Verdict;
import dev.lockstep.collective.verify.Verifier;
import dev.lockstep.tensor.DType;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Random;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// Whoever sends to whom, each rank gets what was sent to it, and nothing else changes.
@Timeout(60)
class SendReceivePatternsTest {
  private static final Fabric FLAT =
      new Fabric(
          "flat", Compute.device(100, 1e12), List.of(Level.of("link", Level.ALL, 1500, 25e9)));

  /// Every shift, and some patterns in which ranks send to others, themselves or nobody.
  private static List<Partners> patterns(int ranks) {
    List<Partners> patterns = new ArrayList<>();
    for (int distance = 0; distance < ranks; distance++) {
      patterns.add(Partners.shift(ranks, distance));
    }
    Random random = new Random(7L * ranks);
    for (int i = 0; i < 8; i++) {
      List<Integer> to = new ArrayList<>(IntStream.range(0, ranks).boxed().toList());
      Collections.shuffle(to, random);
      to.replaceAll(rank -> random.nextInt(3) == 0 ? Partners.NOBODY : rank);
      patterns.add(Partners.of(to));
    }
    return patterns;
  }

  private static CollectiveRequest request(
      Partners partners, long elements, boolean inPlace, boolean peerMemory) {
    Topology topology = Topology.oneNode(partners.ranks(), peerMemory);
    return CollectiveRequest.sendReceive(DType.F32, elements, partners, inPlace, topology);
  }

  @ParameterizedTest(name = "P={0}")
  @ValueSource(ints = {1, 2, 3, 4, 5, 8})
  void everyPatternIsProvenAndFolded(int ranks) {
    for (Partners partners : patterns(ranks)) {
      for (boolean inPlace : new boolean[] {false, true}) {
        for (long elements : new long[] {0, 1, 70}) {
          for (boolean peerMemory : new boolean[] {false, true}) {
            CollectiveRequest request = request(partners, elements, inPlace, peerMemory);
            for (Algorithm algorithm : Algorithms.applicable(request)) {
              Schedule schedule = algorithm.schedule(request);
              assertThat(Verifier.verify(schedule))
                  .as("%s by %s", request.words(), algorithm.name())
                  .isInstanceOf(Verdict.Proven.class);
              assertThat(Simulator.run(schedule, FLAT).nanos())
                  .isEqualTo(Simulator.runUnfolded(schedule, FLAT).nanos());
            }
          }
        }
      }
    }
  }

  @Test
  void whatGoesToAnotherRankIsRefuted() {
    for (boolean peerMemory : new boolean[] {false, true}) {
      CollectiveRequest asked = request(Partners.of(List.of(1, 2, -1)), 70, false, peerMemory);
      CollectiveRequest done = request(Partners.shift(3, 1), 70, false, peerMemory);
      CollectiveRequest other = request(Partners.of(List.of(2, 1, -1)), 70, false, peerMemory);
      for (CollectiveRequest wrong : List.of(done, other)) {
        Schedule schedule = Algorithms.applicable(wrong).getFirst().schedule(wrong);
        assertThat(
                Verifier.verify(
                    Schedule.of("wrong", asked, schedule::steps, schedule::scratch, rank -> rank)))
            .as(wrong.words())
            .isInstanceOf(Verdict.Refused.class);
      }
    }
  }

  @Test
  void aListThatIsAShiftIsOne() {
    assertThat(Partners.of(List.of(1, 2, 0))).isEqualTo(Partners.shift(3, 1));
    assertThat(Partners.of(List.of(2, 0, 1))).isEqualTo(Partners.shift(3, -1));
    assertThat(Partners.of(List.of(0))).isEqualTo(Partners.shift(1, 5));
    assertThat(Partners.of(List.of(-1, 0)).isShift()).isFalse();
    assertThat(Partners.shift(5, -2).destination(1)).isEqualTo(4);
    assertThat(Partners.shift(5, -2).source(4)).isEqualTo(1);
  }
}
