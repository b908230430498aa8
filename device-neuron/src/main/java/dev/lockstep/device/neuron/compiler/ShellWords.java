package dev.lockstep.device.neuron.compiler;

import java.util.ArrayList;
import java.util.List;

/// Words of a line as a shell splits them: quotes join, a backslash takes the next character as it
/// is. Nothing is expanded.
final class ShellWords {
  private static final char NONE = 0;

  private final String line;
  private final List<String> words = new ArrayList<>();
  private final StringBuilder word = new StringBuilder();
  private boolean inWord;
  private char quote = NONE;

  private ShellWords(String line) {
    this.line = line;
  }

  /// Returns the words.
  ///
  /// @throws IllegalArgumentException if a quote is not closed
  static List<String> split(String line) {
    return new ShellWords(line).split();
  }

  private List<String> split() {
    for (int i = 0; i < line.length(); i++) {
      char c = line.charAt(i);
      if (c == '\\' && quote != '\'' && i + 1 < line.length()) {
        i++;
        take(line.charAt(i));
      } else if (c == quote) {
        quote = NONE;
      } else if (quote == NONE && (c == '"' || c == '\'')) {
        quote = c;
        inWord = true; // even an empty one
      } else if (quote == NONE && Character.isWhitespace(c)) {
        end();
      } else {
        take(c);
      }
    }
    if (quote != NONE) {
      throw new IllegalArgumentException("a quote is not closed: quote=" + quote);
    }
    end();
    return List.copyOf(words);
  }

  private void take(char c) {
    word.append(c);
    inWord = true;
  }

  private void end() {
    if (inWord) {
      words.add(word.toString());
      word.setLength(0);
      inWord = false;
    }
  }
}
