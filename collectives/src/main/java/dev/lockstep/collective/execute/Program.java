package dev.lockstep.collective.execute;

import dev.lockstep.collective.request.StableHash;
import dev.lockstep.failure.TransportException;
import dev.lockstep.memory.Scope;
import dev.lockstep.transport.Transport;
import java.util.ArrayList;
import java.util.List;
import java.util.TreeSet;
import org.jspecify.annotations.Nullable;

/// One rank's steps, bound to memory and links; run again and again. Confined to whoever moves its
/// communicator; a run allocates nothing.
///
/// Steps are issued in order; a step waits for the messages that
/// [dev.lockstep.collective.schedule.Schedule] orders before it.
public final class Program implements AutoCloseable {
  /// A message that a step waits for.
  ///
  /// @param traffic its way
  /// @param number its number on that link
  record Hazard(Traffic traffic, int number) {
    boolean isOver() {
      return traffic.isComplete(number);
    }
  }

  private static final Hazard[] NONE = {};

  private final Action[] actions;
  private final Hazard[][] hazards;
  private final Traffic[] traffic;
  private final Transport transport;
  private final boolean overLinks;
  private final long fingerprint;
  private final boolean passesOn;
  private final @Nullable RunTimes times = RunTimes.ifWanted();
  private long operation;
  private int next;

  Program(
      List<Action> actions,
      List<List<Hazard>> hazards,
      List<Traffic> traffic,
      Transport transport,
      long fingerprint) {
    this.actions = actions.toArray(Action[]::new);
    this.hazards =
        hazards.stream()
            .map(waits -> waits.isEmpty() ? NONE : waits.toArray(Hazard[]::new))
            .toArray(Hazard[][]::new);
    this.traffic = traffic.toArray(Traffic[]::new);
    this.transport = transport;
    this.overLinks = traffic.stream().anyMatch(LinkTraffic.class::isInstance);
    this.fingerprint = fingerprint;
    this.passesOn = passesOn(this.actions, this.hazards);
  }

  /// Returns whether anything is said to peers that depends on what peers have said before.
  private static boolean passesOn(Action[] actions, Hazard[][] hazards) {
    boolean heard = false;
    for (int i = 0; i < actions.length; i++) {
      heard |= actions[i] instanceof Actions.Await;
      for (Hazard wait : hazards[i]) {
        heard |= !wait.traffic().sends();
      }
      if (heard && speaks(actions[i])) {
        return true;
      }
    }
    return false;
  }

  private static boolean speaks(Action action) {
    return action instanceof Actions.Signal
        || (action instanceof Actions.Issue issue && issue.sends());
  }

  /// Returns the hash that tells this collective from others.
  long fingerprint() {
    return fingerprint;
  }

  /// Returns how long the runs took, null if nobody wants to know.
  public @Nullable RunTimes times() {
    return times;
  }

  /// Makes ready for a run.
  void begin(long sequence) {
    next = 0;
    operation = StableHash.mix(fingerprint, sequence);
    for (Traffic link : traffic) {
      link.begin(sequence, operation);
    }
  }

  /// Does what can be done without waiting.
  ///
  /// @return whether anything was done
  boolean advance() {
    boolean moved = pollLinks();
    int at = next;
    try {
      while (at < actions.length && isClear(hazards[at]) && actions[at].run(operation)) {
        at++;
      }
    } catch (IllegalStateException | TransportException | InternalError failure) {
      // Memory that is closed, a way that is gone, a page that is no more: whatever else is thrown
      // is no peer's doing.
      if (actions[at].peer < 0) {
        throw failure;
      }
      throw new PeerFailure(actions[at].peer, PeerFailure.Kind.UNREACHABLE, failure);
    }
    moved |= at != next;
    next = at;
    if (!moved && overLinks) {
      moved = transport.poll() > 0;
    }
    return moved;
  }

  boolean isDone() {
    if (next < actions.length) {
      return false;
    }
    for (Traffic link : traffic) {
      if (!link.isIdle()) {
        return false;
      }
    }
    return true;
  }

  /// Returns whether peers wait in a run for words of this rank that depend on theirs: where it is
  /// late, all are.
  boolean passesOn() {
    return passesOn;
  }

  /// Returns whether a peer that this rank waits for may be waiting for this rank's core. Those
  /// whose signals are awaited later on are looked at too, as far as it is the same signal.
  boolean waitsForItsCore(Cores cores) {
    for (Traffic link : traffic) {
      if (!link.isIdle() && cores.mayBeHere(link.peer())) {
        return true;
      }
    }
    int from = next;
    if (from == actions.length || !(actions[from] instanceof Actions.Await first)) {
      return false;
    }
    for (int i = from; i < actions.length; i++) {
      if (actions[i] instanceof Actions.Await await
          && await.slot == first.slot
          && cores.mayBeHere(await.peer)
          && !await.isThere()) {
        return true;
      }
    }
    return false;
  }

  private boolean pollLinks() {
    boolean moved = false;
    for (Traffic link : traffic) {
      moved |= link.poll();
    }
    return moved;
  }

  private static boolean isClear(Hazard[] waits) {
    for (Hazard wait : waits) {
      if (!wait.isOver()) {
        return false;
      }
    }
    return true;
  }

  /// Returns the peers that this rank waits for: those it has not heard of in this run, or else
  /// those with which something is under way.
  List<Integer> missing() {
    TreeSet<Integer> silent = new TreeSet<>();
    TreeSet<Integer> heard = new TreeSet<>();
    TreeSet<Integer> busy = new TreeSet<>();
    for (int i = 0; i < actions.length; i++) {
      if (actions[i] instanceof Actions.Await await) {
        (i < next || await.isThere() ? heard : silent).add(await.peer);
      }
    }
    for (Traffic link : traffic) {
      if (!link.sends()) {
        (link.completed() > 0 ? heard : silent).add(link.peer());
      }
      if (!link.isIdle()) {
        busy.add(link.peer());
      }
    }
    if (next < actions.length && actions[next] instanceof Actions.Await await) {
      busy.add(await.peer);
    }
    silent.removeAll(heard);
    return new ArrayList<>(silent.isEmpty() ? busy : silent);
  }

  /// Frees what the program holds for itself.
  @Override
  public void close() {
    try (Scope all = new Scope()) {
      for (Action action : actions) {
        var _ = all.own(action, Action::close);
      }
    }
  }
}
