package dev.lockstep.locale;

import java.util.Locale;

/// The time in which this JVM formats numbers in other digits than 0 to 9. Text that is parsed,
/// compared or a name has to be the same then.
public final class PersianDigits implements AutoCloseable {
  private final Locale before = Locale.getDefault();

  /// Begins it.
  public PersianDigits() {
    Locale.setDefault(Locale.forLanguageTag("fa-u-nu-arabext"));
    if ("%d".formatted(12).equals("12")) {
      close();
      throw new AssertionError("this JVM lacks the locale: " + Locale.forLanguageTag("fa"));
    }
  }

  @Override
  public void close() {
    Locale.setDefault(before);
  }
}
