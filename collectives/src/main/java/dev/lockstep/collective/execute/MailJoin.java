package dev.lockstep.collective.execute;

import dev.lockstep.collective.schedule.JoinTree;
import dev.lockstep.collective.schedule.Range;
import dev.lockstep.collective.schedule.Space;
import dev.lockstep.collective.schedule.Step;
import java.util.List;
import java.util.function.Predicate;
import org.jspecify.annotations.Nullable;

/// A short message that is received only to be joined with one other range: it can be joined where
/// it lies, without a copy and a step of its own.
///
/// The schedule stays as it is: a message that were reduced into the sender's own range could not
/// be taken before that range has been sent, which is a deadlock where nothing is buffered. A
/// mailbox buffers.
///
/// @param receive the step that is left out
/// @param tree the reduction that takes the message instead
/// @param with the other operand
/// @param first whether the message is the left operand
record MailJoin(Step.Receive receive, JoinTree tree, Range with, boolean first) {
  /// Finds such a message: the only one that is received, and nothing else reads it.
  ///
  /// @param isMail whether a message comes through a mailbox
  static @Nullable MailJoin find(List<Step> steps, Predicate<Step.Receive> isMail) {
    Step.@Nullable Receive receive = null;
    MailJoin found = null;
    for (Step step : steps) {
      switch (step) {
        case Step.Receive next -> {
          // A message of nothing is taken too, and a reduction of nothing is no step.
          if (receive != null
              || next.into().elements() == 0
              || !isScratch(next.into())
              || !isMail.test(next)) {
            return null;
          }
          receive = next;
        }
        case Step.Reduce(_, JoinTree tree) -> {
          if (receive == null || found != null) {
            return null;
          }
          found = of(receive, tree);
          if (found == null) {
            return null;
          }
        }
        case Step.Send(_, Range from) -> {
          if (isScratch(from)) {
            return null;
          }
        }
        case Step.Divide _ -> {}
        case Step.ReceiveReduce _,
            Step.Copy _,
            Step.Spread _,
            Step.Swap _,
            Step.Scale _,
            Step.Signal _,
            Step.Await _ -> {
          return null;
        }
      }
    }
    return found;
  }

  private static boolean isScratch(Range range) {
    return range.space() instanceof Space.Scratch;
  }

  private static @Nullable MailJoin of(Step.Receive receive, JoinTree tree) {
    if (tree instanceof JoinTree.Node(JoinTree.Leaf(Range left), JoinTree.Leaf(Range right))) {
      if (left.equals(receive.into())) {
        return new MailJoin(receive, tree, right, true);
      }
      if (right.equals(receive.into())) {
        return new MailJoin(receive, tree, left, false);
      }
    }
    return null;
  }
}
