package dev.lockstep.launcher.process;

import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/// Starts the ranks of one node and waits until all have ended. When one fails, or when told to
/// stop, it ends the others: first by asking, then by force.
///
/// One thread calls [#start] and [#await]; [#stop], [#force], [#fail] and [#awaitClosed] are for
/// any thread.
public final class Supervisor implements AutoCloseable {
  /// How much time ranks get to end by themselves.
  ///
  /// @param toNotice from a failure until the others are asked to end; they learn of it themselves
  /// @param toEnd from a failure until force
  /// @param toSave from a stop until force
  /// @param toVanish from force until those that the kernel still holds are left to it
  public record Patience(Duration toNotice, Duration toEnd, Duration toSave, Duration toVanish) {
    /// How long ranks have from a failure until force, by default.
    public static final Duration TO_END = Duration.ofSeconds(1);

    // A process that has hundreds of GiB or a device to give back needs seconds after its end.
    private static final Duration TO_VANISH = Duration.ofSeconds(5);

    /// After a failure everything has ended within two seconds, with time left to clean up.
    public static Patience standard(Duration toSave) {
      return new Patience(Duration.ofMillis(300), TO_END, toSave, TO_VANISH);
    }

    /// Returns the longest that [#await] takes from a stop on.
    public Duration longestStop() {
      return toSave.plus(toVanish);
    }
  }

  private sealed interface Event {
    record Exited(int rank, int code) implements Event {}

    record Failed() implements Event {}

    record Stop() implements Event {}

    record Force() implements Event {}
  }

  // A process in the kernel's hands may take longer; nobody can wait for that.
  private static final Duration LONGEST_KILL = Duration.ofSeconds(1);

  private final Console console;
  private final Patience patience;
  private final LinkedBlockingQueue<Event> events = new LinkedBlockingQueue<>();
  private final List<RankProcess> processes = new ArrayList<>();
  private final Map<Integer, RankExit> exits = new TreeMap<>();
  private final CountDownLatch closed = new CountDownLatch(1);
  private volatile long stopMillis = Long.MAX_VALUE;
  private boolean failed;
  private boolean ending;
  private boolean asked;
  private long askAt = Long.MAX_VALUE;
  private long killAt = Long.MAX_VALUE;
  private long leaveAt = Long.MAX_VALUE;

  /// Makes a supervisor of no ranks.
  public Supervisor(Console console, Patience patience) {
    this.console = console;
    this.patience = patience;
  }

  /// Starts a rank.
  ///
  /// @param prefix what its lines begin with
  /// @param live whether its standard output goes to a terminal as it is
  public void start(RankCommand command, String prefix, boolean live) throws IOException {
    watch(RankProcess.start(command, console, prefix, live));
  }

  /// Watches a rank that has been started.
  void watch(RankProcess process) {
    processes.add(process);
    var _ = process.exit().thenAccept(code -> events.add(new Event.Exited(process.rank(), code)));
  }

  /// Tells that the job has failed, wherever that was.
  public void fail() {
    events.add(new Event.Failed());
  }

  /// Asks all ranks to save and end.
  public void stop() {
    stopMillis = System.currentTimeMillis();
    events.add(new Event.Stop());
  }

  /// Ends all ranks by force.
  public void force() {
    events.add(new Event.Force());
  }

  /// Waits until the ranks have ended and been cleaned up after, and returns whether that is so.
  public boolean awaitClosed(Duration timeout) {
    try {
      return closed.await(timeout.toNanos(), TimeUnit.NANOSECONDS);
    } catch (InterruptedException _) {
      Thread.currentThread().interrupt();
      return false;
    }
  }

  /// Returns whether the ranks were told to stop from outside.
  public boolean isStopping() {
    return stopMillis != Long.MAX_VALUE;
  }

  /// Returns when the ranks were told to stop from outside, in milliseconds since the epoch.
  public long stopMillis() {
    return stopMillis;
  }

  /// Waits until all ranks have ended and returns how, in the order of their ends. One that even
  /// force does not end, as where it waits for a disk or a device that does not answer, is named
  /// and counts as ended by force.
  ///
  /// @param beforeAsking called with the first process that ended badly by itself, if there is one,
  ///   when the others have had their time to notice
  public List<RankExit> await(Consumer<RankExit> beforeAsking) throws InterruptedException {
    while (exits.size() < processes.size()) {
      handle(events.poll(nextDeadline(), TimeUnit.NANOSECONDS));
      enforce(beforeAsking);
    }
    processes.forEach(RankProcess::drain);
    console.endLive();
    return exits.values().stream().sorted(Comparator.comparingInt(RankExit::order)).toList();
  }

  private long nextDeadline() {
    long next = Math.min(leaveAt, Math.min(askAt, killAt));
    return next == Long.MAX_VALUE ? Long.MAX_VALUE : Math.max(0, next - System.nanoTime());
  }

  private void handle(@Nullable Event event) {
    switch (event) {
      case null -> {}
      case Event.Exited(int rank, int code) -> {
        RankExit exit = new RankExit(rank, code, exits.size(), asked);
        exits.put(rank, exit);
        if (code != 0) {
          failed |= !exit.isByStop();
          endAfterFailure();
        }
      }
      case Event.Failed _ -> {
        failed = true;
        endAfterFailure();
      }
      case Event.Stop _ -> {
        // Also where a signal to the whole process group has ended a rank already. A job that has
        // failed has nothing to save.
        ending &= failed;
        end(Duration.ZERO, patience.toSave());
      }
      case Event.Force _ -> {
        ending = true;
        killAt = System.nanoTime();
      }
    }
  }

  private void endAfterFailure() {
    if (failed && isStopping()) {
      killAt = Math.min(killAt, System.nanoTime() + patience.toEnd().toNanos());
    }
    end(patience.toNotice(), patience.toEnd());
  }

  /// Sets the deadlines once: the first reason to end is the reason.
  private void end(Duration untilAsked, Duration untilKilled) {
    if (ending) {
      return;
    }
    ending = true;
    long now = System.nanoTime();
    askAt = now + untilAsked.toNanos();
    killAt = now + untilKilled.toNanos();
  }

  private void enforce(Consumer<RankExit> beforeAsking) {
    long now = System.nanoTime();
    if (now >= askAt) {
      askAt = Long.MAX_VALUE;
      asked = true;
      exits.values().stream()
          .filter(RankExit::failed)
          .min(Comparator.comparingInt(RankExit::order))
          .ifPresent(beforeAsking);
      alive().forEach(RankProcess::terminate);
    }
    if (now >= killAt) {
      killAt = Long.MAX_VALUE;
      asked = true;
      alive().forEach(RankProcess::kill);
      leaveAt = Math.min(leaveAt, now + patience.toVanish().toNanos());
    }
    if (now >= leaveAt) {
      leaveAt = Long.MAX_VALUE;
      // Those that have ended, while this process stood still perhaps, are yet to be counted.
      alive().stream().filter(process -> !process.exit().isDone()).forEach(this::leave);
    }
  }

  private void leave(RankProcess process) {
    console.say(
        "lockstep: process cannot be ended: rank=%d, pid=%d, waitedMillis=%d (the kernel holds it, for a disk or device that does not answer perhaps: see ps -o stat,wchan -p %d)"
            .formatted(
                process.rank(), process.pid(), patience.toVanish().toMillis(), process.pid()));
    exits.put(process.rank(), RankExit.byForce(process.rank(), exits.size()));
  }

  private Collection<RankProcess> alive() {
    return processes.stream().filter(process -> !exits.containsKey(process.rank())).toList();
  }

  /// Ends by force whatever still runs and waits until it has ended, whether it was started or
  /// watched to the end or not. An interrupt does not end the wait.
  public void endAll() {
    Collection<RankProcess> left = alive();
    left.forEach(RankProcess::kill);
    CompletableFuture.allOf(
            left.stream().map(RankProcess::exit).toArray(CompletableFuture<?>[]::new))
        .completeOnTimeout(null, LONGEST_KILL.toMillis(), TimeUnit.MILLISECONDS)
        .join();
  }

  /// Ends by force whatever still runs, and lets [#awaitClosed] return. To be called when all is
  /// cleaned up.
  @Override
  public void close() {
    alive().forEach(RankProcess::kill);
    closed.countDown();
  }
}
