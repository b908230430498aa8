package dev.lockstep.launcher;

import dev.lockstep.failure.ConfigurationException;
import dev.lockstep.launcher.pack.Pack;
import java.io.PrintStream;
import java.nio.file.Path;
import java.util.Locale;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/// `lockstep pack`.
@Command(
    name = "pack",
    description = {
      "Makes a folder, and an archive of it, that runs on a machine without Java:",
      "a trimmed runtime, the jars and the command."
    })
final class PackCommand implements Callable<Integer> {
  private static final double MEBIBYTE = 1 << 20;

  private final PrintStream out;

  @Option(
      names = "--out",
      paramLabel = "DIR",
      description = "The folder to make (default: ${DEFAULT-VALUE}).")
  Path folder = Path.of("lockstep-pack");

  @Option(
      names = {"-h", "--help"},
      usageHelp = true,
      description = "Shows this.")
  boolean help;

  PackCommand(PrintStream out) {
    this.out = out;
  }

  @Override
  public Integer call() throws InterruptedException {
    String home = System.getProperty("lockstep.home");
    String lib = System.getProperty("jdk.module.path");
    if (home == null || lib == null) {
      throw new ConfigurationException(
          "lockstep.home",
          String.valueOf(home),
          "only what the lockstep command started can be packed: lockstep.home=%s, jdk.module.path=%s (run ./lockstep pack)"
              .formatted(home, lib));
    }
    Pack.Packed made = new Pack(Path.of(home), Path.of(lib), folder).make();
    out.printf(
        Locale.ROOT,
        "%s: %.1f MiB in files, %d modules of Java; %s: %.1f MiB%n",
        folder,
        made.folderBytes() / MEBIBYTE,
        made.modules(),
        made.archive(),
        made.archiveBytes() / MEBIBYTE);
    return 0;
  }
}
