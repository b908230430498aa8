package dev.lockstep.examples.language;

import dev.lockstep.train.Trainer;
import java.io.PrintStream;
import java.time.Duration;
import java.util.Locale;
import java.util.OptionalInt;

/// Shows the progress of a run: on a terminal a bar that is drawn over and over, elsewhere a plain
/// line now and then. Single-threaded.
final class Console {
  private static final int BAR_CELLS = 24;
  private static final long REDRAW_NANOS = Duration.ofMillis(100).toNanos();
  private static final long PLAIN_NANOS = Duration.ofSeconds(5).toNanos();
  private static final int SPEED_STEPS = 50;
  private static final String CLEAR_LINE = "\r\u001b[K";

  private final PrintStream out;
  private final OptionalInt columns;
  private final long tokensPerStep;
  private final long[] stepEnds = new long[SPEED_STEPS];
  private long ended;
  private long shownAt;
  private boolean barIsDrawn;

  /// Makes a console.
  ///
  /// @param columns width of the terminal, or empty if the output is none
  Console(PrintStream out, OptionalInt columns, long tokensPerStep) {
    this.out = out;
    this.columns = columns;
    this.tokensPerStep = tokensPerStep;
  }

  /// Starts the clock.
  void start() {
    stepEnds[0] = System.nanoTime();
    ended = 1;
  }

  /// Leaves the time of an evaluation or a checkpoint out of the speed.
  void pause(long nanos) {
    for (int i = 0; i < SPEED_STEPS; i++) {
      stepEnds[i] += nanos;
    }
  }

  /// Returns the tokens per second over the last steps.
  double tokensPerSecond() {
    long steps = Math.min(ended, SPEED_STEPS) - 1;
    if (steps < 1) {
      return 0;
    }
    long last = stepEnds[(int) ((ended - 1) % SPEED_STEPS)];
    long first = stepEnds[(int) ((ended - 1 - steps) % SPEED_STEPS)];
    return steps * tokensPerStep * 1e9 / Math.max(1, last - first);
  }

  /// Returns the time between the last two steps, without what was left out.
  long stepNanos() {
    long last = stepEnds[(int) ((ended - 1) % SPEED_STEPS)];
    long before = stepEnds[(int) (Math.max(0, ended - 2) % SPEED_STEPS)];
    return last - before;
  }

  /// Notes the end of a step and shows it, if it is time.
  void step(Trainer trainer) {
    long now = System.nanoTime();
    stepEnds[(int) (ended++ % SPEED_STEPS)] = now;
    boolean isLast = trainer.stepsDone() == trainer.recipe().steps();
    if (isLast || now - shownAt >= (columns.isPresent() ? REDRAW_NANOS : PLAIN_NANOS)) {
      shownAt = now;
      show(trainer);
    }
  }

  private void show(Trainer trainer) {
    long done = trainer.stepsDone();
    int steps = trainer.recipe().steps();
    double speed = tokensPerSecond();
    long secondsLeft = speed > 0 ? Math.round((steps - done) * tokensPerStep / speed) : 0;
    String numbers =
        String.format(
            Locale.ROOT,
            "step %,d/%,d  loss %.3f  %,.0f tokens/s  %s left",
            done,
            steps,
            trainer.loss(),
            speed,
            clock(secondsLeft));
    if (columns.isPresent()) {
      int filled = (int) (BAR_CELLS * done / steps);
      String bar = "█".repeat(filled) + "░".repeat(BAR_CELLS - filled) + " ";
      String line = bar.length() + numbers.length() < columns.getAsInt() ? bar + numbers : numbers;
      // A line that wraps could not be drawn over.
      out.print(CLEAR_LINE + line.substring(0, Math.min(line.length(), columns.getAsInt() - 1)));
      out.flush();
      barIsDrawn = true;
    } else {
      out.println(numbers);
    }
  }

  private static String clock(long seconds) {
    return String.format(Locale.ROOT, "%d:%02d", seconds / 60, seconds % 60);
  }

  /// Prints a line above the bar.
  void line(String text) {
    if (barIsDrawn) {
      out.print(CLEAR_LINE);
      barIsDrawn = false;
    }
    out.println(text);
    out.flush();
  }

  /// Ends the bar's line and keeps it.
  void endBar() {
    if (barIsDrawn) {
      out.println();
      out.flush();
      barIsDrawn = false;
    }
  }
}
