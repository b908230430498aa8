package dev.lockstep.launcher.logging;

import ch.qos.logback.classic.spi.ILoggingEvent;
import ch.qos.logback.classic.spi.IThrowableProxy;
import ch.qos.logback.classic.spi.ThrowableProxyUtil;
import ch.qos.logback.core.LayoutBase;
import dev.lockstep.failure.Printable;
import java.time.LocalTime;
import java.time.ZoneId;
import java.time.temporal.ChronoUnit;

/// One logged event as text: time, level, class, thread, message; then the stack if there is one.
final class LogLine extends LayoutBase<ILoggingEvent> {
  @Override
  public String doLayout(ILoggingEvent event) {
    String logger = event.getLoggerName();
    LocalTime time = LocalTime.ofInstant(event.getInstant(), ZoneId.systemDefault());
    StringBuilder line = new StringBuilder();
    line.append(time.truncatedTo(ChronoUnit.MILLIS))
        .append(' ')
        .append(event.getLevel())
        .append(' ')
        .append(logger.substring(logger.lastIndexOf('.') + 1))
        .append(" [")
        .append(event.getThreadName())
        .append("] ")
        .append(Printable.lines(event.getFormattedMessage()))
        .append('\n');
    IThrowableProxy thrown = event.getThrowableProxy();
    if (thrown != null) {
      line.append(Printable.lines(ThrowableProxyUtil.asString(thrown)));
    }
    return line.toString();
  }
}
