package dev.lockstep.collective;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lockstep.collective.algorithm.Algorithm;
import dev.lockstep.collective.algorithm.Algorithms;
import dev.lockstep.collective.request.CollectiveKind;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.request.Mode;
import dev.lockstep.collective.schedule.Schedule;
import dev.lockstep.collective.schedule.Step;
import dev.lockstep.graph.LaneSplit;
import dev.lockstep.graph.ReduceOp;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Tensor;
import java.lang.foreign.ValueLayout;
import java.util.List;
import java.util.Optional;
import java.util.function.UnaryOperator;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/// Algorithms of a caller's own run if the verifier proves what they make of the request.
@Timeout(60)
final class OwnAlgorithmsTest {
  private static final int RANKS = 3;
  private static final int ELEMENTS = 12;

  /// The ring's steps, offered for every request.
  ///
  /// @param change what is done to each rank's steps
  /// @param answered what the schedule says that it does, of what was asked for
  private record OwnRing(
      UnaryOperator<List<Step>> change, UnaryOperator<CollectiveRequest> answered)
      implements Algorithm {
    @Override
    public String name() {
      return "own-ring";
    }

    @Override
    public CollectiveKind kind() {
      return CollectiveKind.ALL_REDUCE;
    }

    @Override
    public Optional<String> refusal(CollectiveRequest request) {
      return Optional.empty();
    }

    @Override
    public Schedule schedule(CollectiveRequest request) {
      Algorithm ring = Algorithms.named("ring-all-reduce").orElseThrow();
      Schedule made = ring.schedule(in(request, Mode.RELAXED));
      return Schedule.of(
          name(),
          answered.apply(request),
          rank -> change.apply(made.steps(rank)),
          made::scratch,
          rank -> rank);
    }
  }

  private static CollectiveRequest in(CollectiveRequest request, Mode mode) {
    return CollectiveRequest.allReduce(
        DType.I32,
        new ReduceOp.Sum(),
        request.total(),
        true,
        request.topology(),
        LaneSplit.onePerRank(request.ranks()),
        mode);
  }

  private static void sums(Ranks.Rank rank, Algorithm algorithm, Mode mode) {
    Tensor tensor = rank.privateTensor(DType.I32, ELEMENTS);
    for (int i = 0; i < ELEMENTS; i++) {
      tensor.segment().setAtIndex(ValueLayout.JAVA_INT, i, 100 * rank.number() + i);
    }
    CollectiveRequest any =
        CollectiveRequest.allReduce(
            DType.I32,
            new ReduceOp.Sum(),
            ELEMENTS,
            true,
            rank.communicator.topology(),
            LaneSplit.onePerRank(RANKS),
            mode);
    try (PreparedCollective prepared =
        rank.communicator.prepare(any, algorithm, List.of(tensor), tensor)) {
      prepared.run();
    }
    for (int i = 0; i < ELEMENTS; i++) {
      assertThat(tensor.segment().getAtIndex(ValueLayout.JAVA_INT, i)).isEqualTo(300 + 3 * i);
    }
  }

  private static void isRefused(Ranks.Rank rank, Algorithm algorithm, Mode mode, String reason) {
    assertThatThrownBy(() -> sums(rank, algorithm, mode))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("algorithm=own-ring")
        .hasMessageContaining(reason);
  }

  private static void onEachRank(Ranks.Body<Boolean> body) {
    var _ = Ranks.run(RANKS, SameBitsTest.over("messages-only"), body);
  }

  @Test
  void oneThatAddsByAnotherTreeIsRefusedInSameBitsModeAlone() {
    Algorithm ring = new OwnRing(UnaryOperator.identity(), UnaryOperator.identity());
    onEachRank(
        rank -> {
          isRefused(rank, ring, Mode.SAME_BITS, "reduces by another tree than the lanes'");
          sums(rank, ring, Mode.RELAXED);
          return true;
        });
  }

  @Test
  void oneThatLeavesAStepOutIsRefusedInBothModes() {
    Algorithm broken =
        new OwnRing(steps -> steps.subList(0, steps.size() - 1), UnaryOperator.identity());
    Algorithm whole = new OwnRing(UnaryOperator.identity(), UnaryOperator.identity());
    onEachRank(
        rank -> {
          for (Mode mode : Mode.values()) {
            isRefused(rank, broken, mode, "refused by the verifier");
          }
          sums(rank, whole, Mode.RELAXED); // whoever is refused may go on
          return true;
        });
  }

  @Test
  void oneThatAnswersAnotherRequestIsRefused() {
    Algorithm evasive = new OwnRing(UnaryOperator.identity(), asked -> in(asked, Mode.RELAXED));
    onEachRank(
        rank -> {
          isRefused(rank, evasive, Mode.SAME_BITS, "answers another request");
          return true;
        });
  }
}
