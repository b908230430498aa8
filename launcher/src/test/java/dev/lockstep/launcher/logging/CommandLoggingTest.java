package dev.lockstep.launcher.logging;

import static org.assertj.core.api.Assertions.assertThat;

import ch.qos.logback.classic.Level;
import ch.qos.logback.classic.Logger;
import ch.qos.logback.classic.LoggerContext;
import ch.qos.logback.classic.spi.Configurator;
import ch.qos.logback.classic.spi.Configurator.ExecutionStatus;
import ch.qos.logback.classic.spi.LoggingEvent;
import ch.qos.logback.classic.util.ContextInitializer;
import ch.qos.logback.core.spi.ContextAwareBase;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

final class CommandLoggingTest {
  /// How a program that uses this module configures its logging.
  public static final class Own extends ContextAwareBase implements Configurator {
    @Override
    public ExecutionStatus configure(LoggerContext logging) {
      logging.getLogger(org.slf4j.Logger.ROOT_LOGGER_NAME).setLevel(Level.TRACE);
      return ExecutionStatus.DO_NOT_INVOKE_NEXT_IF_ANY;
    }
  }

  private final LoggerContext logging = new LoggerContext();

  @Test
  void isQuietUnlessAskedToSpeak() {
    assertThat(new CommandLogging().configure(logging))
        .isEqualTo(ExecutionStatus.DO_NOT_INVOKE_NEXT_IF_ANY);
    assertThat(logging.getLogger("dev.lockstep.job").getEffectiveLevel()).isEqualTo(Level.WARN);
    assertThat(logging.getLogger("io.netty").getEffectiveLevel()).isEqualTo(Level.WARN);
  }

  @Test
  void programThatUsesThisModuleKeepsItsOwnConfigurator(@TempDir Path folder) throws Exception {
    Path services = Files.createDirectories(folder.resolve("META-INF/services"));
    Files.writeString(services.resolve(Configurator.class.getName()), Own.class.getName());
    try (URLClassLoader loader =
        new URLClassLoader(
            new URL[] {folder.toUri().toURL()}, CommandLogging.class.getClassLoader())) {
      new ContextInitializer(logging).autoConfig(loader);
    }
    assertThat(logging.getLogger("dev.lockstep.job").getEffectiveLevel()).isEqualTo(Level.TRACE);
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
