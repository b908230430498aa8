package dev.lockstep.launcher;

import java.util.OptionalInt;

/// The terminal that this process's standard output is, if it is one.
final class Terminal {
  /// Set by the `lockstep` script: columns, or 0 where standard output is no terminal.
  static final String PROPERTY = "lockstep.terminal";

  private static final int USUAL_COLUMNS = 80;

  private Terminal() {}

  /// Returns the terminal's width, or empty if standard output is none.
  @SuppressWarnings("SystemConsoleNull") // it is null where there is no terminal
  static OptionalInt columns() {
    String columns = System.getProperty(PROPERTY, "");
    if (columns.matches("\\d{1,5}")) {
      int known = Integer.parseInt(columns);
      return known == 0 ? OptionalInt.empty() : OptionalInt.of(known);
    }
    return System.console() != null && System.console().isTerminal()
        ? OptionalInt.of(USUAL_COLUMNS)
        : OptionalInt.empty();
  }
}
