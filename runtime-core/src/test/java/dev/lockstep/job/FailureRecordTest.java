package dev.lockstep.job;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;

class FailureRecordTest {
  private static String message(Throwable failure) {
    return FailureRecord.of(0, "here", failure, "").message();
  }

  @Test
  void whatHasNoMessageOfItsOwnIsToldByItsCauseOrItsPlace() {
    assertThat(message(new IllegalStateException("boom: step=7"))).isEqualTo("boom: step=7");
    assertThat(message(new ExceptionInInitializerError(new ArithmeticException("by zero"))))
        .isEqualTo("caused by java.lang.ArithmeticException: by zero");
    assertThat(message(new StackOverflowError()))
        .startsWith("thrown at dev.lockstep.job.FailureRecordTest.whatHasNoMessage");
    Error placeless = new AssertionError();
    placeless.setStackTrace(new StackTraceElement[0]);
    assertThat(message(placeless)).isEqualTo("it says no more");
  }
}
