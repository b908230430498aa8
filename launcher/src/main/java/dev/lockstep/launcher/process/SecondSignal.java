package dev.lockstep.launcher.process;

import java.io.IOException;

/// Hears the Ctrl-C that follows another one: a JVM that goes down already does not.
///
/// The terminal sends it to all processes of the group. One of them is a child of this process that
/// waits for nothing but this process's end, and ends by the signal.
public final class SecondSignal {
  private static final int SIGNAL_BASE = 128;

  private SecondSignal() {}

  /// Calls the listener when the next signal has come; never, where there is no `cat` or the group
  /// ignores signals.
  public static void listen(Runnable listener) {
    try {
      Process ear =
          new ProcessBuilder("cat")
              .redirectOutput(ProcessBuilder.Redirect.DISCARD)
              .redirectError(ProcessBuilder.Redirect.DISCARD)
              .start();
      var _ =
          ear.onExit()
              .thenAccept(
                  ended -> {
                    if (ended.exitValue() > SIGNAL_BASE) {
                      listener.run();
                    }
                  });
    } catch (IOException _) {
      // Then ranks have the time that they were given.
    }
  }
}
