package dev.lockstep.device.cuda;

import dev.lockstep.device.DeviceCollective;
import dev.lockstep.device.DeviceCollectives.Membership;
import dev.lockstep.device.DeviceGroup;
import dev.lockstep.device.Stream;
import dev.lockstep.device.Support;
import dev.lockstep.device.cuda.ffi.Nccl;
import dev.lockstep.device.cuda.ffi.NcclConfig;
import dev.lockstep.failure.CollectiveTimeoutException;
import dev.lockstep.failure.ConfigurationException;
import dev.lockstep.failure.LockstepException;
import dev.lockstep.interrupt.Pause;
import dev.lockstep.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.HexFormat;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.ReentrantLock;

/// A communicator of NCCL's. Its functions do not wait: what they have begun is polled for, so that
/// a deadline, a failed job or another rank's death ends it. One lock keeps the thread that queues
/// and the one that aborts apart.
final class NcclGroup implements DeviceGroup {
  /// How long leaving may take; then the communicator is aborted.
  private static final long LEAVE_NANOS = TimeUnit.SECONDS.toNanos(10);

  private static final int SPINS = 100;
  private static final long PAUSE_NANOS = 100_000;
  private static final String JOIN = "join";

  private final CudaCollectives owner;
  private final Membership membership;
  private final Nccl nccl;
  private final ReentrantLock lock = new ReentrantLock();
  private final Arena arena;
  private final MemorySegment state; // guarded by the lock

  /// Where the library puts the communicator: it does so again when the ranks have met.
  private final MemorySegment made;

  private long communicator; // guarded by the lock; 0 once it is gone
  private boolean closed; // guarded by the lock
  private long sequence;
  private long lastTicket = -1;

  @SuppressWarnings("MustBeClosed") // closed with the group
  NcclGroup(CudaCollectives owner, Membership membership) {
    this.owner = owner;
    this.membership = membership;
    this.nccl = owner.library().functions();
    this.arena = Arena.ofShared();
    this.state = arena.allocate(ValueLayout.JAVA_INT);
    this.made = arena.allocate(ValueLayout.JAVA_LONG);
  }

  Membership membership() {
    return membership;
  }

  /// Returns what the plans of this rank have in common.
  NcclPlan.Place place() {
    return new NcclPlan.Place(
        membership.rank(),
        membership.ranks(),
        membership.sameBits(),
        owner.stream().handle(),
        NcclPlan.MOST_SCRATCH);
  }

  CudaCollectives owner() {
    return owner;
  }

  /// Meets the other ranks; the context is current.
  void join() {
    String blocking = System.getenv("NCCL_COMM_BLOCKING");
    if (blocking != null && NcclConfig.isOne(blocking)) {
      throw new ConfigurationException(
          "NCCL_COMM_BLOCKING",
          blocking,
          "with NCCL_COMM_BLOCKING=%s nothing could end a collective whose ranks do not come (unset it)"
              .formatted(blocking));
    }
    int status;
    try (Arena scratch = Arena.ofConfined()) {
      MemorySegment id = scratch.allocate(NcclConfig.ID_BYTES);
      id.copyFrom(MemorySegment.ofArray(HexFormat.of().parseHex(membership.group())));
      lock.lock();
      try {
        status =
            nccl.commInitRankConfig(
                made.address(),
                membership.ranks(),
                id.address(),
                membership.rank(),
                NcclConfig.nonBlocking(scratch).address());
        communicator = made.get(ValueLayout.JAVA_LONG, 0);
      } finally {
        lock.unlock();
      }
    }
    complete(status, "ncclCommInitRankConfig", JOIN);
  }

  @Override
  public Prepared prepare(
      DeviceCollective collective, Stream stream, List<Tensor> inputs, Tensor output) {
    owner.requireSound();
    if (owner.supports(collective) instanceof Support.No(String reason)) {
      throw new IllegalArgumentException(reason);
    }
    if (!(stream instanceof CudaStream compute) || !compute.belongsTo(owner.device())) {
      throw new IllegalArgumentException(
          "stream is of another device: device=" + owner.device().context().name());
    }
    owner.device().context().enter();
    return new NcclCollective(this, collective, compute, inputs, output);
  }

  /// Does what queues calls of the library, and waits until they are queued.
  ///
  /// @param function for errors
  void queue(String function, String op, Calls calls) {
    int status;
    lock.lock();
    try {
      requireCommunicator();
      status = calls.on(nccl, communicator);
    } finally {
      lock.unlock();
    }
    complete(status, function, op);
  }

  /// Calls of the library, none of which waits.
  interface Calls {
    /// Returns the first status that is neither success nor in progress, or one of these.
    int on(Nccl nccl, long communicator);
  }

  private void requireCommunicator() {
    if (communicator == 0) {
      owner.requireSound();
      throw new IllegalStateException(
          "group is closed: rank=%d, device=%s"
              .formatted(membership.rank(), owner.device().context().name()));
    }
  }

  /// Waits for what a function has begun.
  private void complete(int status, String function, String op) {
    if (status == NcclConfig.SUCCESS) {
      return;
    }
    long start = System.nanoTime();
    int now = status;
    try (Pause pause = new Pause()) {
      for (int polls = 0; now == NcclConfig.IN_PROGRESS; polls++) {
        checkWait(op, sequence, System.nanoTime() - start);
        owner.requireSound();
        await(polls, pause);
        now = state();
      }
    }
    if (now != NcclConfig.SUCCESS) {
      throw owner.fail(failure(now, function, op + '#' + sequence));
    }
  }

  /// Waits a little, after so many looks.
  private static void await(int polls, Pause pause) {
    if (polls < SPINS) {
      Thread.onSpinWait();
    } else {
      pause.park(PAUSE_NANOS);
    }
  }

  /// Returns what the communicator reports; of one that is gone, success.
  private int state() {
    lock.lock();
    try {
      if (communicator == 0) {
        return NcclConfig.SUCCESS;
      }
      int status = nccl.commGetAsyncError(communicator, state.address());
      return status == NcclConfig.SUCCESS ? state.get(ValueLayout.JAVA_INT, 0) : status;
    } finally {
      lock.unlock();
    }
  }

  /// Makes the exception of a status.
  ///
  /// @param op with its number, if that is known
  private LockstepException failure(int status, String function, String op) {
    lock.lock();
    try {
      return owner
          .library()
          .failure(
              status,
              function,
              communicator,
              "op=%s, rank=%d, ranks=%d".formatted(op, membership.rank(), membership.ranks()));
    } finally {
      lock.unlock();
    }
  }

  /// Ends all if this waits in vain, or too long.
  ///
  /// @param waited nanoseconds
  void checkWait(String op, long number, long waited) {
    LockstepException why = membership.interruption().why(op, membership.rank(), number);
    if (why != null) {
      throw owner.fail(why);
    }
    if (waited > membership.timeout().toNanos()) {
      throw owner.fail(
          new CollectiveTimeoutException(
              op,
              membership.rank(),
              number,
              waited,
              membership.timeout().toNanos(),
              List.of(),
              "collective on the GPU timed out: op=%s#%d, rank=%d, ranks=%d, waitedMillis=%d, timeoutMillis=%d, device=%s (a rank has not started it: see what each was doing)"
                  .formatted(
                      op,
                      number,
                      membership.rank(),
                      membership.ranks(),
                      TimeUnit.NANOSECONDS.toMillis(waited),
                      membership.timeout().toMillis(),
                      owner.device().context().name()),
              null));
    }
  }

  /// Ends all if the library reports an error; called by the watch.
  void lookForErrors() {
    int now = state();
    if (now != NcclConfig.SUCCESS && now != NcclConfig.IN_PROGRESS) {
      throw owner.fail(failure(now, "ncclCommGetAsyncError", owner.watch().oldestOf(this)));
    }
  }

  /// Counts a collective that was queued.
  ///
  /// @param ready ticket of the owner's stream, right before it
  /// @param ticket of the owner's stream, right behind it
  void queued(NcclCollective collective, long ready, long ticket) {
    lastTicket = ticket;
    owner.watch().add(collective, sequence++, ready, ticket);
  }

  /// Ends what is under way; whoever waits goes on. Any thread.
  void abort() {
    lock.lock();
    try {
      if (communicator != 0) {
        long gone = communicator;
        communicator = 0;
        nccl.commAbort(gone); // whatever it says, nothing more can be done with it
      }
    } finally {
      lock.unlock();
    }
  }

  /// Leaves once what this rank has queued is over; its peers may still need it.
  @Override
  public void close() {
    lock.lock();
    try {
      if (closed) {
        return;
      }
      closed = true;
    } finally {
      lock.unlock();
    }
    if (lastTicket >= 0) {
      owner.awaitPassed(lastTicket);
    }
    if (!owner.hasFailed()) {
      leave();
    }
    abort();
    owner.forget(this);
    lock.lock();
    try {
      arena.close();
    } finally {
      lock.unlock();
    }
  }

  private void leave() {
    long start = System.nanoTime();
    int now;
    lock.lock();
    try {
      now = communicator == 0 ? NcclConfig.SUCCESS : nccl.commFinalize(communicator);
    } finally {
      lock.unlock();
    }
    try (Pause pause = new Pause()) {
      for (int polls = 0; now == NcclConfig.IN_PROGRESS; polls++) {
        if (System.nanoTime() - start > LEAVE_NANOS) {
          return;
        }
        await(polls, pause);
        now = state();
      }
    }
    lock.lock();
    try {
      if (now == NcclConfig.SUCCESS && communicator != 0) {
        nccl.commDestroy(communicator);
        communicator = 0;
      }
    } finally {
      lock.unlock();
    }
  }
}
