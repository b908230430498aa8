package dev.lockstep.collective.verify;

import dev.lockstep.collective.request.StableHash;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/// Symbolic values, each made once: equal numbers are equal values up to the order of a join's
/// operands.
final class Expressions {
  /// Nobody has written it.
  static final int UNDEFINED = -1;

  sealed interface Expression {
    /// An element of a rank's input, as its owner wrote it before a run.
    record Contribution(int rank, int input, int run) implements Expression {
      @Override
      public int hashCode() {
        return Long.hashCode(StableHash.mix(StableHash.mix(rank, input), run));
      }
    }

    /// A join; `left` is the number that is not greater.
    record Join(int left, int right) implements Expression {
      @Override
      public int hashCode() {
        return Long.hashCode(StableHash.mix(left, right)); // neighbouring numbers collide else
      }
    }

    /// A contribution multiplied by the factor of a pre-multiplied sum.
    record Product(int contribution) implements Expression {}

    /// A sum divided by the number of lanes.
    record Quotient(int sum) implements Expression {}
  }

  private final Map<Expression, Integer> numbers = new HashMap<>();
  private final List<Expression> expressions = new ArrayList<>();
  private final Map<Integer, ReductionTree> trees = new HashMap<>();

  int contribution(int rank, int input, int run) {
    return number(new Expression.Contribution(rank, input, run));
  }

  int join(int a, int b) {
    return number(new Expression.Join(Math.min(a, b), Math.max(a, b)));
  }

  int product(int contribution) {
    return number(new Expression.Product(contribution));
  }

  int quotient(int sum) {
    return number(new Expression.Quotient(sum));
  }

  Expression at(int number) {
    return expressions.get(number);
  }

  private int number(Expression expression) {
    return numbers.computeIfAbsent(
        expression,
        added -> {
          expressions.add(added);
          return expressions.size() - 1;
        });
  }

  /// Returns the contributions within a value, each as often as it occurs.
  List<Expression.Contribution> contributions(int number) {
    List<Expression.Contribution> found = new ArrayList<>();
    collect(number, found);
    return found;
  }

  private void collect(int number, List<Expression.Contribution> found) {
    switch (at(number)) {
      case Expression.Contribution contribution -> found.add(contribution);
      case Expression.Join(int left, int right) -> {
        collect(left, found);
        collect(right, found);
      }
      case Expression.Product(int contribution) -> collect(contribution, found);
      case Expression.Quotient(int sum) -> collect(sum, found);
    }
  }

  /// Returns whether a division stands anywhere but outermost.
  boolean dividesWithin(int number) {
    return switch (at(number)) {
      case Expression.Contribution _, Expression.Product _ -> false;
      case Expression.Join(int left, int right) -> divides(left) || divides(right);
      case Expression.Quotient(int sum) -> divides(sum);
    };
  }

  private boolean divides(int number) {
    return at(number) instanceof Expression.Quotient || dividesWithin(number);
  }

  /// Returns whether every contribution within a value has been multiplied once, or none at all.
  boolean multiplies(int number, boolean once) {
    return switch (at(number)) {
      case Expression.Contribution _ -> !once;
      case Expression.Join(int left, int right) ->
          multiplies(left, once) && multiplies(right, once);
      case Expression.Product(int of) -> once && at(of) instanceof Expression.Contribution;
      case Expression.Quotient(int sum) -> multiplies(sum, once);
    };
  }

  boolean isQuotient(int number) {
    return at(number) instanceof Expression.Quotient;
  }

  /// Returns the tree of a value, without the division outermost.
  ReductionTree tree(int number) {
    ReductionTree known = trees.get(number);
    if (known != null) {
      return known;
    }
    ReductionTree tree =
        switch (at(number)) {
          case Expression.Contribution(int rank, int input, _) ->
              new ReductionTree.Leaf(rank, input);
          case Expression.Join(int left, int right) -> ReductionTree.join(tree(left), tree(right));
          case Expression.Product(int contribution) -> tree(contribution);
          case Expression.Quotient(int sum) -> tree(sum);
        };
    trees.put(number, tree);
    return tree;
  }
}
