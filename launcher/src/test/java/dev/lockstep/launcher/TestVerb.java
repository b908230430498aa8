package dev.lockstep.launcher;

import dev.lockstep.failure.ConfigurationException;
import java.io.PrintStream;
import java.util.List;

/// A verb that another module might bring.
public final class TestVerb implements CommandProvider {
  @Override
  public String name() {
    return "echo";
  }

  @Override
  public String summary() {
    return "Prints its arguments.";
  }

  @Override
  public int run(List<String> arguments, PrintStream out, PrintStream err) {
    if (arguments.isEmpty()) {
      throw new ConfigurationException("WORD", "", "nothing to echo: words=0 (give one)");
    }
    out.println(String.join(" ", arguments));
    return arguments.size();
  }
}
