package dev.lockstep.job;

import dev.lockstep.failure.ConfigurationException;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/// Slurm's lists of nodes: `login1,gpu[001-003,007]-ib,rack[1-2]node[1-4]`.
final class SlurmNodes {
  private static final int MOST_NODES = 1 << 20;
  private static final Pattern BRACKET = Pattern.compile("\\[([^\\[\\]]*)]");
  private static final Pattern RANGE = Pattern.compile("(\\d{1,9})(?:-(\\d{1,9}))?");

  private SlurmNodes() {}

  /// Returns the first node of a list.
  ///
  /// @param key the variable that holds it
  static String first(String key, String list) {
    return expand(key, list).getFirst();
  }

  /// Returns all nodes of a list, in its order.
  ///
  /// @throws ConfigurationException if it is no list of nodes
  static List<String> expand(String key, String list) {
    List<String> nodes = new ArrayList<>();
    int start = 0;
    int depth = 0;
    for (int i = 0; i <= list.length(); i++) {
      char c = i == list.length() ? ',' : list.charAt(i);
      depth += c == '[' ? 1 : c == ']' ? -1 : 0;
      if (c == ',' && depth == 0) {
        expandOne(key, list, list.substring(start, i).strip(), nodes);
        start = i + 1;
      }
    }
    if (depth != 0 || nodes.isEmpty()) {
      throw wrong(key, list);
    }
    return nodes;
  }

  private static void expandOne(String key, String list, String pattern, List<String> nodes) {
    if (pattern.isEmpty() || nodes.size() > MOST_NODES) {
      throw wrong(key, list);
    }
    Matcher bracket = BRACKET.matcher(pattern);
    if (!bracket.find()) {
      if (pattern.indexOf('[') >= 0 || pattern.indexOf(']') >= 0) {
        throw wrong(key, list);
      }
      nodes.add(pattern);
      return;
    }
    String head = pattern.substring(0, bracket.start());
    if (head.indexOf('[') >= 0 || head.indexOf(']') >= 0) {
      throw wrong(key, list);
    }
    String tail = pattern.substring(bracket.end());
    for (String range : bracket.group(1).split(",", -1)) {
      Matcher numbers = RANGE.matcher(range.strip());
      if (!numbers.matches()) {
        throw wrong(key, list);
      }
      int width = numbers.group(1).length();
      int from = Integer.parseInt(numbers.group(1));
      int to = numbers.group(2) == null ? from : Integer.parseInt(numbers.group(2));
      if (to < from || to - from > MOST_NODES) {
        throw wrong(key, list);
      }
      for (int n = from; n <= to; n++) {
        String number = Integer.toString(n);
        String zeros = "0".repeat(Math.max(0, width - number.length()));
        expandOne(key, list, head + zeros + number + tail, nodes);
      }
    }
  }

  private static ConfigurationException wrong(String key, String list) {
    return new ConfigurationException(
        key, list, "variable is no list of Slurm's nodes: %s=%s".formatted(key, list));
  }
}
