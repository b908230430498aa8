package dev.lockstep.launcher.logging;

import static org.assertj.core.api.Assertions.assertThat;

import ch.qos.logback.classic.Level;
import ch.qos.logback.classic.Logger;
import ch.qos.logback.classic.LoggerContext;
import ch.qos.logback.classic.spi.Configurator.ExecutionStatus;
import ch.qos.logback.classic.spi.LoggingEvent;
import org.junit.jupiter.api.Test;

final class CommandLoggingTest {
  private final LoggerContext logging = new LoggerContext();

  @Test
  void isQuietUnlessAskedToSpeak() {
    assertThat(new CommandLogging().configure(logging))
        .isEqualTo(ExecutionStatus.DO_NOT_INVOKE_NEXT_IF_ANY);
    assertThat(logging.getLogger("dev.lockstep.job").getEffectiveLevel()).isEqualTo(Level.WARN);
    assertThat(logging.getLogger("io.netty").getEffectiveLevel()).isEqualTo(Level.WARN);
  }

  @Test
  void writesOneLineAndTheStack() {
    Logger logger = logging.getLogger("dev.lockstep.job.StoreServer");
    Exception failure = new IllegalStateException("broken");
    LoggingEvent event =
        new LoggingEvent("", logger, Level.WARN, "step {}", failure, new Object[] {7});
    event.setThreadName("main");
    assertThat(new LogLine().doLayout(event).lines())
        .first()
        .asString()
        .matches("\\d\\d:\\d\\d(:\\d\\d(\\.\\d{3})?)? WARN StoreServer \\[main] step 7");
    assertThat(new LogLine().doLayout(event)).contains("IllegalStateException: broken", "\tat ");
  }
}
