package dev.lockstep.collective.verify;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.request.Topology;
import dev.lockstep.collective.schedule.JoinTree;
import dev.lockstep.collective.schedule.Range;
import dev.lockstep.collective.schedule.Schedule;
import dev.lockstep.collective.schedule.ScratchSpace;
import dev.lockstep.collective.schedule.Space;
import dev.lockstep.collective.schedule.Step;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/// No program can be made of a step that computes what its request does not name.
@Timeout(10)
final class ArithmeticIsAskedForTest {
  private static Range scratch(int index) {
    return new Range(0, new Space.Scratch(index), 0, 1);
  }

  static Stream<Arguments> steps() {
    JoinTree two = new JoinTree.Node(new JoinTree.Leaf(scratch(0)), new JoinTree.Leaf(scratch(1)));
    return Stream.of(
        Arguments.of(new Step.ReceiveReduce(1, scratch(0)), "reduces"),
        Arguments.of(new Step.Reduce(scratch(2), two), "reduces"),
        Arguments.of(new Step.Spread(List.of(scratch(2)), two), "reduces"),
        Arguments.of(new Step.Scale(scratch(0), scratch(1)), "multiplies"),
        Arguments.of(new Step.Divide(scratch(0)), "divides"));
  }

  @ParameterizedTest
  @MethodSource("steps")
  void whatTheRequestDoesNotNameIsRefused(Step step, String does) {
    CollectiveRequest request = CollectiveRequest.barrier(Topology.oneNode(2, true));
    ScratchSpace one = new ScratchSpace(1, true);
    Verdict verdict =
        Verifier.verify(
            Schedule.of(
                "arithmetic of its own",
                request,
                rank -> rank == 0 ? List.of(step) : List.of(),
                _ -> List.of(one, one, one),
                rank -> rank));
    assertThat(verdict)
        .isInstanceOfSatisfying(
            Verdict.Refused.class,
            refused ->
                assertThat(refused.reason())
                    .contains(does + " what its request does not: reduceOp=null"));
  }
}
