package dev.lockstep.examples.language;

import dev.lockstep.failure.Printable;
import dev.lockstep.train.data.CorpusListener;

/// Says on a console how the opening of the text goes, and which files are left out: the first few
/// by name, the others by their number.
final class TextReport implements CorpusListener {
  private static final int MOST_NAMED = 3;

  private final Console console;
  private int leftOut;

  TextReport(Console console) {
    this.console = console;
  }

  @Override
  public void building(String reason) {
    console.line("reading the text: " + reason);
  }

  @Override
  public void waiting() {
    console.line("another process is reading the same text: waiting for it");
  }

  @Override
  public void leftOut(String file, String reason) {
    if (++leftOut <= MOST_NAMED) {
      console.line("left out: %s: %s".formatted(Printable.line(file), reason));
    }
  }

  /// Says how many files were left out without being named.
  void summarize() {
    if (leftOut > MOST_NAMED) {
      console.line("left out: %d files in all, which are no text".formatted(leftOut));
    }
  }
}
