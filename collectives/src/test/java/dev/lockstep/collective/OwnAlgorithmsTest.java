package dev.lockstep.collective;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lockstep.collective.algorithm.Algorithm;
import dev.lockstep.collective.algorithm.Algorithms;
import dev.lockstep.collective.request.CollectiveKind;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.request.Mode;
import dev.lockstep.collective.schedule.JoinTree;
import dev.lockstep.collective.schedule.Range;
import dev.lockstep.collective.schedule.Schedule;
import dev.lockstep.collective.schedule.ScratchSpace;
import dev.lockstep.collective.schedule.Space;
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
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/// Algorithms of a caller's own run if the verifier proves what they make of the request.
@Timeout(60)
final class OwnAlgorithmsTest {
  private static final int RANKS = 3;
  private static final int ELEMENTS = 12;

  /// An all-reduce that is offered for every request.
  private interface Own extends Algorithm {
    @Override
    default CollectiveKind kind() {
      return CollectiveKind.ALL_REDUCE;
    }

    @Override
    default Optional<String> refusal(CollectiveRequest request) {
      return Optional.empty();
    }
  }

  /// The ring's steps.
  ///
  /// @param change what is done to each rank's steps
  /// @param answered what the schedule says that it does, of what was asked for
  private record OwnRing(
      UnaryOperator<List<Step>> change, UnaryOperator<CollectiveRequest> answered) implements Own {
    @Override
    public String name() {
      return "own-ring";
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

  /// Two ranks tell each other their inputs and add them: in one step where the message is short.
  private record Exchange() implements Own {
    @Override
    public String name() {
      return "own-exchange";
    }

    @Override
    public Schedule schedule(CollectiveRequest request) {
      long elements = request.total();
      return Schedule.of(
          name(),
          request,
          rank -> {
            int peer = 1 - rank;
            Range input = new Range(rank, new Space.Input(0), 0, elements);
            Range heard = new Range(rank, new Space.Scratch(0), 0, elements);
            Range output = new Range(rank, new Space.Output(), 0, elements);
            JoinTree both =
                rank == 0
                    ? new JoinTree.Node(new JoinTree.Leaf(input), new JoinTree.Leaf(heard))
                    : new JoinTree.Node(new JoinTree.Leaf(heard), new JoinTree.Leaf(input));
            return List.of(
                new Step.Send(peer, input),
                new Step.Receive(peer, heard),
                new Step.Reduce(output, both));
          },
          rank -> List.of(new ScratchSpace(elements, false)),
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

  /// Short messages over shared memory are joined where they lie, long ones and those over wires
  /// are not: the next collective finds nothing of the last one's.
  @ParameterizedTest(name = "{0}, {1} elements")
  @CsvSource({
    "unsteady-peers, 0",
    "unsteady-peers, 1",
    "unsteady-peers, 12",
    "unsteady-peers, 100000",
    "messages-only, 0",
    "messages-only, 12"
  })
  void oneThatAddsWhatItHearsLeavesNothingBehind(String transport, long elements) {
    List<Integer> sums =
        Ranks.run(
            2,
            SameBitsTest.over(transport),
            rank -> {
              Tensor input = rank.sharedTensor(DType.I32, elements);
              Tensor output = rank.sharedTensor(DType.I32, elements);
              CollectiveRequest request =
                  CollectiveRequest.allReduce(
                      DType.I32,
                      new ReduceOp.Sum(),
                      elements,
                      false,
                      rank.communicator.topology(),
                      LaneSplit.onePerRank(2),
                      Mode.SAME_BITS);
              for (long i = 0; i < elements; i++) {
                input.segment().setAtIndex(ValueLayout.JAVA_INT, i, rank.number() + 1);
              }
              try (PreparedCollective prepared =
                  rank.communicator.prepare(request, new Exchange(), List.of(input), output)) {
                prepared.run();
                prepared.run();
              }
              for (long i = 0; i < elements; i++) {
                assertThat(output.segment().getAtIndex(ValueLayout.JAVA_INT, i)).isEqualTo(3);
              }
              Tensor next = rank.sharedTensor(DType.I32, 1);
              next.segment().set(ValueLayout.JAVA_INT, 0, rank.number() + 4);
              rank.communicator.allReduce(next, next, new ReduceOp.Sum());
              return next.segment().get(ValueLayout.JAVA_INT, 0);
            });
    assertThat(sums).containsExactly(9, 9);
  }
}
