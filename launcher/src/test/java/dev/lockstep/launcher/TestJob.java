package dev.lockstep.launcher;

import dev.lockstep.failure.ConfigurationException;
import dev.lockstep.job.Processors;
import java.io.PrintStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CountDownLatch;

/// A job that ends in whatever way its arguments say: `test WHAT [RANK] [PATH]`. What is not asked
/// of a rank it does by waiting at a barrier that the others never reach.
public final class TestJob implements JobProvider {
  private static final int RANK = 1;
  private static final int FILE = 2;
  private static final Duration PATIENCE = Duration.ofSeconds(30);
  private static final Set<String> FAILS = Set.of("fail", "strand", "exit", "quit");
  private static final Set<String> SAVES = Set.of("save", "keep");

  @Override
  public String name() {
    return "test";
  }

  @Override
  public String summary() {
    return "Ends as it is told.";
  }

  @Override
  public void help(String name, PrintStream out) {
    out.println("Usage: " + name + " WHAT [RANK] [PATH]");
  }

  @Override
  public void check(List<String> arguments, int worldSize) {
    if (arguments.isEmpty()) {
      throw new ConfigurationException("WHAT", "", "job has nothing to do: worldSize=" + worldSize);
    }
  }

  @Override
  public void checkLogs(List<String> arguments, Path folder) {
    if (folder.endsWith("read-by-the-job")) {
      throw new ConfigurationException(
          "--log-dir", folder.toString(), "job reads that folder: --log-dir=" + folder);
    }
  }

  @Override
  public int run(RankContext context, List<String> arguments) throws Exception {
    String what = arguments.getFirst();
    if (SAVES.contains(what)) {
      // Whoever has asked when a signal comes has its time to save.
      var _ = context.stopRequested();
    }
    int chosen = arguments.size() > RANK ? Integer.parseInt(arguments.get(RANK)) : -1;
    boolean mine = context.job().rank() == chosen;
    context
        .out()
        .println(
            "ready pid=%d folder=%s"
                .formatted(ProcessHandle.current().pid(), context.job().directory()));
    if (FAILS.contains(what)) {
      // The first failure ends all, those too that have not come to say that they are ready.
      context.job().store().barrier("ready", context.job().worldSize(), PATIENCE);
    }
    return switch (what) {
      case "print" -> print(context);
      case "mistake" ->
          throw new ConfigurationException("--width", "7", "width is odd: --width=7 (give 8)");
      case "fail" -> mine ? fail(context) : await(context);
      case "strand" -> mine ? fail(context) : hang();
      case "exit" -> mine ? Integer.parseInt(arguments.get(FILE)) : await(context);
      case "quit" -> mine ? quit(Integer.parseInt(arguments.get(FILE))) : await(context);
      case "wait" -> await(context);
      case "hang" -> hang();
      case "save" -> save(context, Path.of(arguments.get(FILE)));
      case "keep" -> keep(context);
      case "processors" -> processors(context, Path.of(arguments.get(FILE)));
      case "environment" -> environment(context, Path.of(arguments.get(FILE)));
      default -> throw new IllegalArgumentException("unknown: " + what);
    };
  }

  private static int print(RankContext context) {
    context.out().println("threads " + context.threads());
    context.out().println("columns " + context.terminalColumns());
    System.err.println("a warning");
    context.out().print("no newline");
    return 0;
  }

  private static int fail(RankContext context) {
    context.job().activity("breaking step 7");
    throw new IllegalStateException("boom: step=7");
  }

  private static int await(RankContext context) {
    context.job().store().barrier("never", Integer.MAX_VALUE, PATIENCE);
    return 0;
  }

  private static int quit(int code) {
    Runtime.getRuntime().halt(code);
    return 0;
  }

  private static int hang() throws InterruptedException {
    while (true) {
      new CountDownLatch(1).await();
    }
  }

  /// Works until it is asked to stop, then leaves a file.
  private static int save(RankContext context, Path file) throws Exception {
    while (!context.stopRequested()) {
      Thread.onSpinWait();
    }
    Files.writeString(
        Path.of(file + "." + context.job().rank()), "saved by " + context.job().rank());
    return 0;
  }

  /// Works until it is asked to stop, and then does not.
  private static int keep(RankContext context) throws InterruptedException {
    while (!context.stopRequested()) {
      Thread.onSpinWait();
    }
    return hang();
  }

  private static int processors(RankContext context, Path file) throws Exception {
    Files.writeString(Path.of(file + "." + context.job().rank()), Processors.own().toString());
    return 0;
  }

  private static int environment(RankContext context, Path file) throws Exception {
    List<String> lines =
        System.getenv().entrySet().stream()
            .map(entry -> entry.getKey() + "=" + entry.getValue())
            .sorted()
            .toList();
    Files.write(Path.of(file + "." + context.job().rank()), lines);
    return 0;
  }
}
