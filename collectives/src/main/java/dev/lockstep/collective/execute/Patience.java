package dev.lockstep.collective.execute;

import org.jspecify.annotations.Nullable;

/// How long a rank looks for the words of others before it is idle. Allocates nothing; threads race
/// for what it knows, which does no harm.
///
/// Where ranks share cores a rank yields after one look ([Idle]). But if whom it waits for runs on
/// another core and is a little late, its own core comes back two hand-overs later, and all that
/// wait for what it passes on are that late too. So in a program that passes on what it has heard a
/// rank looks for about as long as that takes, if all that it waits for run on other cores, and so
/// it does in the next one: ranks come out of such a program one after another.
///
/// That holds where two ranks share each core. Where one core has more of them than another, the
/// others wait for it, and a look there delays everybody; where all have more than two, somebody
/// has something to do more often than not.
final class Patience {
  /// How often a rank looks before it yields, while all that it waits for run on other cores: some
  /// 60 ns each, together about as long as a yield and the way back.
  private static final int LOOKS = 20;

  private final Idle idle;
  private final @Nullable Cores cores;
  private boolean passedOn;

  /// Makes the patience of one rank of a communicator.
  ///
  /// @param cores where the ranks run, null where they share no memory
  Patience(Idle idle, @Nullable Cores cores) {
    this.idle = idle;
    this.cores = cores;
  }

  /// A program has ended; the next one begins where it left off.
  void completed(Program program) {
    passedOn = program.passesOn();
  }

  /// Waits a little, or not at all if it is worth looking again at once.
  ///
  /// @param times how often in a row there was nothing to do
  /// @param moving what is under way, if anything is
  /// @return as [Idle#idle]
  boolean idle(int times, @Nullable Operation moving) {
    return (moving == null || !isWorthAnotherLook(times, moving.program())) && idle.idle(times);
  }

  /// Returns whether to look again before anything else.
  boolean isWorthAnotherLook(int times, Program program) {
    Cores known = cores;
    if (times >= LOOKS || known == null || !idle.isShared() || !(program.passesOn() || passedOn)) {
      return false;
    }
    try {
      if (times == 0) {
        known.update();
      }
      return known.areRanksInPairs() && !program.waitsForItsCore(known);
    } catch (IllegalStateException _) {
      return false; // another thread has closed the communicator: the operation has ended
    }
  }
}
