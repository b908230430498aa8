package dev.lockstep.bench;

import java.util.Locale;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/// Sizes as users write them: a number with K, M or G (binary), in either case.
final class ByteSize {
  private static final Pattern FORM = Pattern.compile("(\\d{1,15})([KMG]?)B?");

  private ByteSize() {}

  /// Returns the bytes that `text` names.
  ///
  /// @throws IllegalArgumentException if it is no size
  static long parse(String text) {
    Matcher form = FORM.matcher(text.strip().toUpperCase(Locale.ROOT));
    if (!form.matches()) {
      throw new IllegalArgumentException("not a size: " + text + " (write for example 4, 64K, 1M)");
    }
    int shift =
        switch (form.group(2)) {
          case "K" -> 10;
          case "M" -> 20;
          case "G" -> 30;
          default -> 0;
        };
    return Math.multiplyExact(Long.parseLong(form.group(1)), 1L << shift);
  }
}
