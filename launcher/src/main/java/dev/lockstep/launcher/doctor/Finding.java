package dev.lockstep.launcher.doctor;

import dev.lockstep.failure.Availability;

/// One line of the report.
///
/// @param name what was looked at
/// @param verdict what came of it
/// @param detail what was found, with its remedy in brackets if something is to be done
record Finding(String name, Verdict verdict, String detail) {
  /// What came of a look.
  enum Verdict {
    /// There.
    OK("ok"),
    /// Not there, and training works without it.
    ABSENT("missing"),
    /// Not there, and training cannot work here.
    NEEDED("missing");

    private final String word;

    Verdict(String word) {
      this.word = word;
    }

    String word() {
      return word;
    }
  }

  static Finding of(String name, Availability availability) {
    return switch (availability) {
      case Availability.Available(int count, String detail) ->
          ok(name, count == 1 ? detail : count + " x " + detail);
      case Availability.Unavailable(String reason) -> absent(name, reason);
    };
  }

  static Finding ok(String name, String detail) {
    return new Finding(name, Verdict.OK, detail);
  }

  static Finding absent(String name, String detail) {
    return new Finding(name, Verdict.ABSENT, detail);
  }

  static Finding needed(String name, String detail) {
    return new Finding(name, Verdict.NEEDED, detail);
  }
}
