package dev.lockstep.collective.execute;

import dev.lockstep.collective.request.CollectiveKind;
import dev.lockstep.failure.CollectiveException;
import dev.lockstep.memory.Region;
import dev.lockstep.memory.Scope;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.util.List;
import org.jspecify.annotations.Nullable;

/// A collective over fixed tensors, to be run again and again: the program, what is copied before
/// and after it, and where it stands. State is written by whoever moves the communicator and read
/// by anybody.
public final class Operation {
  /// Bytes to copy beside the program: memory that peers cannot read is staged.
  ///
  /// @param from source
  /// @param to target, as long
  public record Staging(MemorySegment from, MemorySegment to) {}

  private enum State {
    IDLE,
    STARTED,
    DONE,
    FAILED
  }

  /// State is written with release: a full fence would wait for the words to the peers.
  private static final VarHandle STATE;

  static {
    try {
      STATE = MethodHandles.lookup().findVarHandle(Operation.class, "state", State.class);
    } catch (ReflectiveOperationException impossible) {
      throw new ExceptionInInitializerError(impossible);
    }
  }

  private final CollectiveKind kind;
  private final Asked asked;
  private final boolean isNamedByWaiter;
  private final Program program;
  private final @Nullable RunTimes times;
  private final Staging[] before;
  private final Staging[] after;
  private final Region[] tensors;
  private final Region[] readable;
  private volatile State state = State.IDLE;
  private @Nullable CollectiveException failure;
  private int leased; // tensors, from the first
  private long sequence;
  private long startNanos;
  private boolean hasClock;
  private long timeoutNanos;
  private @Nullable Thread waiter; // for messages: threads race for it, which does no harm

  /// Makes an operation that has not been started.
  ///
  /// @param kind what it is
  /// @param words the request, for messages
  /// @param callSite where it was prepared; empty to look at who waits for it when it fails
  /// @param program borrowed; may serve several operations of one communicator
  /// @param before copied when its turn comes
  /// @param after copied when the program is through
  /// @param tensors memory of others, to be leased during a run
  /// @param readable memory that peers may touch during a run
  public Operation(
      CollectiveKind kind,
      String words,
      String callSite,
      Program program,
      List<Staging> before,
      List<Staging> after,
      List<Region> tensors,
      List<Region> readable) {
    this.kind = kind;
    this.asked = new Asked(words, callSite, program.fingerprint());
    this.isNamedByWaiter = callSite.isEmpty();
    this.program = program;
    this.times = program.times();
    this.before = before.toArray(Staging[]::new);
    this.after = after.toArray(Staging[]::new);
    this.tensors = tensors.toArray(Region[]::new);
    this.readable = readable.toArray(Region[]::new);
  }

  /// Returns whether a run is under way.
  public boolean isUnderWay() {
    return state == State.STARTED;
  }

  /// Returns whether the last run is complete.
  ///
  /// @throws CollectiveException if it failed
  public boolean isDone() {
    State now = state;
    if (now == State.FAILED && failure != null) {
      throw failure;
    }
    return now == State.DONE;
  }

  /// Returns the collective and its place in the communicator: `all_reduce#12`.
  String name() {
    return kind.label() + "#" + sequence;
  }

  /// Returns everything that is known of it, for messages.
  String description() {
    return Asked.describe(asked.words(), sequence, site());
  }

  /// Returns where it was called: where it was prepared, or else where it is waited for.
  private String site() {
    Thread waits = waiter;
    if (!asked.callSite().isEmpty() || waits == null) {
      return asked.callSite();
    }
    return waits.equals(Thread.currentThread()) ? CallSite.here() : CallSite.of(waits);
  }

  /// Notes who waits for it, if anybody does.
  void waitedForBy(@Nullable Thread thread) {
    if (isNamedByWaiter) {
      waiter = thread;
    }
  }

  /// Returns what it is, without when.
  Asked asked() {
    return asked;
  }

  CollectiveKind kind() {
    return kind;
  }

  long sequence() {
    return sequence;
  }

  long timeoutNanos() {
    return timeoutNanos;
  }

  long elapsedNanos() {
    if (!hasClock) {
      startNanos = System.nanoTime();
      hasClock = true;
    }
    return System.nanoTime() - startNanos;
  }

  Program program() {
    return program;
  }

  Region[] readable() {
    return readable;
  }

  /// Takes the leases. On failure none is held.
  ///
  /// @throws IllegalStateException if a tensor is closed
  void lease() {
    try {
      while (leased < tensors.length) {
        tensors[leased].acquire();
        leased++;
      }
    } catch (RuntimeException | Error failure) {
      Scope.afterFailure(failure, this::release);
      throw failure;
    }
  }

  /// Gives the leases back, each once and all whatever fails.
  void release() {
    while (leased > 0) {
      leased--;
      try {
        tensors[leased].release();
      } catch (RuntimeException | Error failure) {
        Scope.afterFailure(failure, this::release);
        throw failure;
      }
    }
  }

  /// It is under way. Its clock starts when it is first looked at, within microseconds of its turn:
  /// a deadline is for one collective, not for those before it.
  void started(long asSequence, long timeout) {
    sequence = asSequence;
    timeoutNanos = timeout;
    hasClock = false;
    failure = null;
    STATE.setRelease(this, State.STARTED);
  }

  /// Its turn has come.
  void begin() {
    if (times != null) {
      times.start();
    }
    for (Staging staging : before) {
      MemorySegment.copy(staging.from(), 0, staging.to(), 0, staging.to().byteSize());
    }
    program.begin(sequence);
  }

  /// The program is through.
  void finish() {
    for (Staging staging : after) {
      MemorySegment.copy(staging.from(), 0, staging.to(), 0, staging.to().byteSize());
    }
    if (times != null) {
      times.end();
    }
    release();
    STATE.setRelease(this, State.DONE);
  }

  void fail(CollectiveException cause) {
    try {
      release();
    } finally {
      failure = cause;
      state = State.FAILED;
    }
  }
}
