package dev.lockstep.device.neuron.compiler;

import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/// What a compiler's log says of a failure.
///
/// @param code the compiler's own, for example `NCC_EVRF051`
/// @param op the op of the graph that the log names first, for example `17:MatMul`
/// @param said the line that says what is wrong
record CompilerReport(Optional<String> code, Optional<String> op, String said) {
  private static final Pattern CODE = Pattern.compile("\\bNCC_[A-Z]+\\d+\\b");

  /// Instructions are named after their ops.
  private static final Pattern INSTRUCTION = Pattern.compile("\\bn(\\d+)_([A-Za-z]+)\\.\\d+\\b");

  private static final Pattern ERROR =
      Pattern.compile("\\b(ERROR|FATAL|CRITICAL|error:|Error:|Exception:|terminate)\\b?");

  private static final int LONGEST = 300;

  static CompilerReport of(String log) {
    Optional<String> code = first(CODE, log).map(Matcher::group);
    String said =
        log.lines()
            .filter(line -> CODE.matcher(line).find())
            .findFirst()
            .or(() -> log.lines().filter(line -> ERROR.matcher(line).find()).findFirst())
            .or(() -> log.lines().filter(line -> !line.isBlank()).reduce((_, last) -> last))
            .orElse("nothing")
            .strip();
    // What stands behind the code is what it is about.
    String from = code.map(each -> log.substring(log.indexOf(each))).orElse(log);
    Optional<String> op =
        first(INSTRUCTION, from)
            .or(() -> first(INSTRUCTION, log))
            .map(match -> match.group(1) + ":" + match.group(2));
    return new CompilerReport(
        code, op, said.length() > LONGEST ? said.substring(0, LONGEST) + "…" : said);
  }

  private static Optional<Matcher> first(Pattern pattern, String text) {
    Matcher matcher = pattern.matcher(text);
    return matcher.find() ? Optional.of(matcher) : Optional.empty();
  }

  /// Returns the parts of a sentence.
  String words() {
    return code.map(each -> "code=" + each + ", ").orElse("")
        + op.map(each -> "op=" + each + ", ").orElse("")
        + "said="
        + said;
  }
}
