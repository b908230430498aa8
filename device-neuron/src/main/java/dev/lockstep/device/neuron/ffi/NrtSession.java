package dev.lockstep.device.neuron.ffi;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.locks.ReentrantLock;

/// The runtime as this process uses it: initialised for the first who opens a core, closed with the
/// last. A library has one such state per process, whoever loads it, so it is static here too.
public final class NrtSession {
  /// Guards what follows, and is held while the runtime begins or ends: no monitor, since those
  /// calls take seconds.
  private static final ReentrantLock LOCK = new ReentrantLock();

  private static final Map<String, NrtSession> OPEN = new HashMap<>();

  private final String file;
  private final Nrt nrt;
  private final Map<String, String> variables;
  private int users;

  private NrtSession(NrtLookup.Found library, Map<String, String> variables) {
    this.file = library.file();
    this.nrt = library.library();
    this.variables = Map.copyOf(variables);
  }

  /// What came of opening.
  ///
  /// @param status of `nrt_init`; 0 if the runtime was initialised already
  /// @param variables what the environment of the runtime is; those that were asked for, unless the
  ///   runtime was initialised with others before
  public record Opened(int status, Map<String, String> variables) {}

  /// Joins the process's session, or begins it. Unless the status is 0 nothing is open.
  ///
  /// @param variables are set before the runtime is initialised, and are again what they were when
  ///   the session has ended
  public static Opened open(NrtLookup.Found library, Map<String, String> variables) {
    LOCK.lock();
    try {
      NrtSession session = OPEN.get(library.file());
      if (session == null) {
        session = new NrtSession(library, variables);
        int status = session.init();
        if (status != NrtStatus.SUCCESS.code()) {
          SessionVariables.restore(variables);
          return new Opened(status, variables);
        }
        OPEN.put(library.file(), session);
      }
      session.users++;
      return new Opened(NrtStatus.SUCCESS.code(), session.variables);
    } finally {
      LOCK.unlock();
    }
  }

  private int init() {
    SessionVariables.set(variables);
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment empty = arena.allocateFrom("");
      return nrt.init(Nrt.NO_FRAMEWORK, empty, empty);
    }
  }

  /// Leaves the session; the last one ends it.
  public static void close(NrtLookup.Found library) {
    LOCK.lock();
    try {
      NrtSession session = OPEN.get(library.file());
      if (session != null && --session.users == 0) {
        OPEN.remove(session.file);
        session.nrt.close();
        SessionVariables.restore(session.variables);
      }
    } finally {
      LOCK.unlock();
    }
  }
}
