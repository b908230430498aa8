package dev.lockstep.memory;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

final class ScopeTest {
  private final List<String> closed = new ArrayList<>();

  @Test
  void everythingIsClosedLastFirstAlsoWhereClosingFails() {
    Scope scope = new Scope();
    scope.own("first", closed::add);
    scope.own("second", ScopeTest::fail);
    scope.own("third", ScopeTest::fail);
    scope.own("fourth", closed::add);
    assertThatThrownBy(scope::close)
        .hasMessage("third")
        .satisfies(failure -> assertThat(failure.getSuppressed()[0]).hasMessage("second"));
    assertThat(closed).containsExactly("fourth", "first");
    scope.close(); // once
    assertThat(closed).hasSize(2);
  }

  @Test
  void whatClosingThrowsDoesNotHideTheFailureThatItFollows() {
    ArithmeticException failure = new ArithmeticException("cause");
    Scope.afterFailure(failure, () -> fail("left"));
    assertThat(failure.getSuppressed()[0]).hasMessage("left");
    Scope.afterFailure(failure, () -> closed.add("closed"));
    assertThat(closed).containsExactly("closed");
    assertThat(failure.getSuppressed()).hasSize(1);
  }

  @Test
  void errorsOfClosingAreNoDifferentFromExceptions() {
    Scope scope = new Scope();
    scope.own("first", closed::add);
    scope.own("second", ScopeTest::fail);
    scope.own(new AssertionError("third"), ScopeTest::raise);
    scope.own("fourth", closed::add);
    assertThatThrownBy(scope::close)
        .hasMessage("third")
        .satisfies(failure -> assertThat(failure.getSuppressed()[0]).hasMessage("second"));
    assertThat(closed).containsExactly("fourth", "first");
    ArithmeticException failure = new ArithmeticException("cause");
    Scope.afterFailure(failure, () -> raise(new AssertionError("left")));
    assertThat(failure.getSuppressed()[0]).hasMessage("left");
  }

  @Test
  void whatClosingThrowsMayBeTheFailureItself() {
    AssertionError failure = new AssertionError("cause");
    Scope.afterFailure(failure, () -> raise(failure));
    Scope scope = new Scope();
    scope.own("first", closed::add);
    scope.own(failure, ScopeTest::raise);
    scope.own(failure, ScopeTest::raise);
    assertThatThrownBy(scope::close).isSameAs(failure);
    assertThat(failure.getSuppressed()).isEmpty();
    assertThat(closed).containsExactly("first");
  }

  private static void raise(AssertionError error) {
    throw error;
  }

  private static void fail(String what) {
    throw new IllegalStateException(what);
  }
}
