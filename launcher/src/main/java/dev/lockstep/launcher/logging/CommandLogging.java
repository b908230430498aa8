package dev.lockstep.launcher.logging;

import ch.qos.logback.classic.Level;
import ch.qos.logback.classic.LoggerContext;
import ch.qos.logback.classic.spi.Configurator;
import ch.qos.logback.classic.spi.ConfiguratorRank;
import ch.qos.logback.classic.spi.ILoggingEvent;
import ch.qos.logback.core.ConsoleAppender;
import ch.qos.logback.core.encoder.LayoutWrappingEncoder;
import ch.qos.logback.core.spi.ContextAwareBase;
import org.slf4j.Logger;

/// Configures Logback: warnings to standard error, more where the environment variable
/// `LOCKSTEP_LOG` asks for it (trace, debug, info, warn, error, off). In code, because reading a
/// file of XML takes a third of a second of every start.
///
/// A program that merely uses this module and has a configuration of its own keeps it, a file or a
/// [Configurator] of any rank, and so does who gives `-Dlogback.configurationFile`.
@ConfiguratorRank(ConfiguratorRank.FALLBACK)
public final class CommandLogging extends ContextAwareBase implements Configurator {
  private static final String OWN = "dev.lockstep";

  /// Made by Logback.
  public CommandLogging() {}

  @Override
  public ExecutionStatus configure(LoggerContext logging) {
    if (isConfigured()) {
      return ExecutionStatus.INVOKE_NEXT_IF_ANY;
    }
    LogLine layout = new LogLine();
    layout.setContext(logging);
    layout.start();
    LayoutWrappingEncoder<ILoggingEvent> encoder = new LayoutWrappingEncoder<>();
    encoder.setContext(logging);
    encoder.setLayout(layout);
    encoder.start();
    ConsoleAppender<ILoggingEvent> appender = new ConsoleAppender<>();
    appender.setContext(logging);
    appender.setTarget("System.err");
    appender.setEncoder(encoder);
    appender.start();
    Level level = Level.toLevel(System.getenv("LOCKSTEP_LOG"), Level.WARN);
    // Libraries have their say only when everything is asked for.
    Level others = level.isGreaterOrEqual(Level.DEBUG) ? Level.WARN : level;
    logging.getLogger(Logger.ROOT_LOGGER_NAME).setLevel(others);
    logging.getLogger(Logger.ROOT_LOGGER_NAME).addAppender(appender);
    logging.getLogger(OWN).setLevel(level);
    return ExecutionStatus.DO_NOT_INVOKE_NEXT_IF_ANY;
  }

  private static boolean isConfigured() {
    ClassLoader loader = CommandLogging.class.getClassLoader();
    return System.getProperty("logback.configurationFile") != null
        || loader.getResource("logback.xml") != null
        || loader.getResource("logback-test.xml") != null;
  }
}
