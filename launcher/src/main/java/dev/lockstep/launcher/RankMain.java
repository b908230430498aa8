package dev.lockstep.launcher;

import dev.lockstep.failure.ConfigurationException;
import dev.lockstep.job.JobVariables;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/// The process of one rank that the launcher started: `RankMain JOB [job options]`.
final class RankMain {
  private static final int WRONG_INPUT = 2;
  // The store's connection and the watched stream end within microseconds of each other.
  private static final int NEWS_MILLIS = 100;

  private RankMain() {}

  /// Runs the rank and ends the process with its exit code.
  public static void main(String[] args) {
    List<String> arguments = Arrays.asList(args);
    JobProvider provider;
    try {
      provider = Jobs.installed().named(arguments.getFirst());
    } catch (ConfigurationException e) {
      System.err.println("lockstep: " + e.getMessage());
      System.exit(WRONG_INPUT);
      return;
    }
    RankRun run =
        new RankRun(provider, arguments.subList(1, arguments.size()), System.getenv(), System.out);
    CountDownLatch launcherGone = new CountDownLatch(1);
    Thread watch =
        Thread.ofPlatform()
            .daemon()
            .name("lockstep-launcher-watch")
            .start(() -> endWithLauncher(launcherGone, run.stopSignal()));
    int code = run.supervised();
    leave(code, launcherGone, watch);
  }

  /// Ends the process. A rank that fails may do so because the launcher is gone: then it is the
  /// watch that ends the process, after it has cleaned up.
  private static void leave(int code, CountDownLatch launcherGone, Thread watch) {
    try {
      if (launcherGone.await(code == 0 ? 0 : NEWS_MILLIS, TimeUnit.MILLISECONDS)) {
        watch.join();
      }
    } catch (InterruptedException _) {
      Thread.currentThread().interrupt();
    }
    System.exit(code);
  }

  /// The launcher holds the other end of standard input and never writes: its end is the launcher's
  /// death. Nobody watches this rank or cleans up after it any more.
  private static void endWithLauncher(CountDownLatch launcherGone, StopSignal signal) {
    try (InputStream launcher = System.in) {
      while (launcher.read() >= 0) {
        // Nothing is said there.
      }
    } catch (IOException _) {
      // As good as its end.
    }
    launcherGone.countDown();
    signal.request();
    removeFolder(System.getenv(JobVariables.JOB_DIRECTORY));
    // No hook may hold this up: nobody is there to use force.
    Runtime.getRuntime().halt(1);
  }

  private static void removeFolder(@Nullable String folder) {
    if (folder != null && !folder.isBlank()) {
      JobFolder.remove(Path.of(folder));
    }
  }
}
