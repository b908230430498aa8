package dev.lockstep.collective.plan;

import dev.lockstep.collective.schedule.JoinTree;
import dev.lockstep.collective.schedule.Range;
import dev.lockstep.collective.schedule.Step;
import java.util.List;
import java.util.stream.Collectors;

/// Steps in words: ranges of the rank's own memory without its number.
final class StepWords {
  private static final int MOST_SOURCES = 8;

  private StepWords() {}

  static String of(Step step, int rank) {
    return switch (step) {
      case Step.Send(int peer, Range from) -> "send " + words(from, rank) + " to rank " + peer;
      case Step.Receive(int peer, Range into) ->
          "receive " + words(into, rank) + " from rank " + peer;
      case Step.ReceiveReduce(int peer, Range into) ->
          "receive and join into " + words(into, rank) + " from rank " + peer;
      case Step.Copy(Range from, Range to) ->
          "copy " + words(from, rank) + " to " + words(to, rank);
      case Step.Reduce(Range to, JoinTree tree) -> words(to, rank) + " = " + words(tree, rank);
      case Step.Spread(List<Range> to, JoinTree tree) ->
          to.stream().map(range -> words(range, rank)).collect(Collectors.joining(", "))
              + " = "
              + words(tree, rank);
      case Step.Swap(Range own, Range theirs) ->
          "swap " + words(own, rank) + " with " + words(theirs, rank);
      case Step.Scale(Range from, Range to) ->
          words(to, rank) + " = " + words(from, rank) + " times the factor";
      case Step.Divide(Range target) -> "divide " + words(target, rank) + " by the lanes";
      case Step.Signal(int peer, int slot) -> "signal rank " + peer + ", slot " + slot;
      case Step.Await(int peer, int slot) -> "await rank " + peer + ", slot " + slot;
    };
  }

  static boolean isMessage(Step step) {
    return step instanceof Step.Send
        || step instanceof Step.Receive
        || step instanceof Step.ReceiveReduce;
  }

  private static String words(Range range, int rank) {
    String words = range.toString();
    String own = "rank " + rank + " ";
    return words.startsWith(own) ? words.substring(own.length()) : words;
  }

  private static String words(JoinTree tree, int rank) {
    int[] sources = {0};
    tree.forEachSource(_ -> sources[0]++);
    return sources[0] > MOST_SOURCES ? "join of " + sources[0] + " sources" : nested(tree, rank);
  }

  private static String nested(JoinTree tree, int rank) {
    return switch (tree) {
      case JoinTree.Leaf(Range range) -> words(range, rank);
      case JoinTree.Node(JoinTree left, JoinTree right) ->
          "(" + nested(left, rank) + " + " + nested(right, rank) + ")";
    };
  }
}
