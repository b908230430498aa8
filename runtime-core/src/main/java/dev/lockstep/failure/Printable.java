package dev.lockstep.failure;

/// Text that may be shown whoever wrote it: what a terminal would obey is spelled out, as
/// `\\u001b`.
public final class Printable {
  private Printable() {}

  /// Returns a text without any control characters: it fakes no lines of its own.
  public static String line(String text) {
    return spelled(text, "");
  }

  /// Returns a text of lines, which may be indented.
  public static String lines(String text) {
    return spelled(text, "\n\t");
  }

  private static String spelled(String text, String kept) {
    if (text.chars().noneMatch(c -> isControl(c) && kept.indexOf(c) < 0)) {
      return text;
    }
    StringBuilder shown = new StringBuilder(text.length() + 16);
    for (int i = 0; i < text.length(); i++) {
      char c = text.charAt(i);
      if (isControl(c) && kept.indexOf(c) < 0) {
        shown.append("\\u%04x".formatted((int) c));
      } else {
        shown.append(c);
      }
    }
    return shown.toString();
  }

  /// Beside control characters, what ends a line or turns the direction of writing.
  private static boolean isControl(int c) {
    return Character.isISOControl(c)
        || c == 0x2028
        || c == 0x2029
        || (c >= 0x202a && c <= 0x202e)
        || (c >= 0x2066 && c <= 0x2069);
  }
}
