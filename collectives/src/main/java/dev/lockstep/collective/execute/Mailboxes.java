package dev.lockstep.collective.execute;

import dev.lockstep.collective.request.StableHash;
import dev.lockstep.collective.schedule.Schedule;
import dev.lockstep.graph.ReduceOp;
import dev.lockstep.memory.Buffer;
import dev.lockstep.memory.Scope;
import dev.lockstep.tensor.DType;
import dev.lockstep.transport.PeerAccess;
import dev.lockstep.transport.Reducer;
import dev.lockstep.transport.Sink;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.VarHandle;
import org.jspecify.annotations.Nullable;

/// Small messages in memory that all ranks share: what is too short to be worth two signals travels
/// beside one. Confined to whoever moves the communicator; allocates nothing.
///
/// A rank writes what it sends into memory of its own, which the receiver reads: one queue of slots
/// per receiver. A slot is a word and the message behind it, in the same cache line if it fits in
/// there. The word is that of [Signals]: it counts the messages of the queue and carries a hash
/// over the collectives of all of them. The receiver says by a signal, now and then, how many it
/// has taken; a queue that is full is back pressure.
final class Mailboxes implements AutoCloseable {
  /// Messages of a queue. A rank is at most one collective ahead of one that answers it.
  private static final int DEPTH = 16;

  private static final int LINE_BYTES = 64;

  /// Longest message that lies in the line of its word.
  private static final int BESIDE_BYTES = LINE_BYTES - Long.BYTES;

  /// Whole pairs of cache lines: processors fetch them in pairs.
  private static final long SLOT_BYTES = Schedule.SHORT_BYTES + 2 * LINE_BYTES;

  /// Bytes of a message whose lines are claimed ahead; more of them make no difference.
  private static final long CLAIMED_BYTES = 512;

  private static final long QUEUE_BYTES = DEPTH * SLOT_BYTES;

  /// How often a look is repeated at once where nobody waits for the core: an answer of a rank in
  /// step is a hop away.
  private static final int LOOKS = 16;

  private static final int HASH_BITS = 24;
  private static final long HASH_MASK = (1L << HASH_BITS) - 1;
  private static final VarHandle WORD = ValueLayout.JAVA_LONG.varHandle();

  private final PeerAccess access;
  private final int communicator;
  private final int rank;
  private final Idle idle;
  private final int[] jobRanks;
  private final Buffer buffer;
  private final MemorySegment outgoing;
  private final byte[][] descriptors;
  private final @Nullable MemorySegment[] incoming;
  private final long[] sent;
  private final long[] sentHash;
  private final long[] taken; // of what was sent, as far as this rank has looked
  private final long[] usual; // about the longest of the last messages
  private final long[] received;
  private final long[] receivedHash;

  /// What [#arrived] has looked at, lest a compiler finds that it need not look.
  @SuppressWarnings("unused") // written is enough
  private long seen;

  /// Makes the mailboxes of one rank.
  ///
  /// @param outgoing [#bytes] zeroed bytes that peers can read; owned from here on
  /// @param descriptors by which to open each rank's memory
  /// @param idle how whoever moves the communicator waits
  Mailboxes(
      PeerAccess access,
      int communicator,
      Members members,
      Buffer outgoing,
      byte[][] descriptors,
      Idle idle) {
    int ranks = members.size();
    this.access = access;
    this.communicator = communicator;
    this.rank = members.rank();
    this.idle = idle;
    this.jobRanks = members.toArray();
    this.buffer = outgoing;
    this.outgoing = outgoing.segment();
    this.descriptors = descriptors;
    this.incoming = new @Nullable MemorySegment[ranks];
    this.sent = new long[ranks];
    this.sentHash = new long[ranks];
    this.taken = new long[ranks];
    this.usual = new long[ranks];
    this.received = new long[ranks];
    this.receivedHash = new long[ranks];
  }

  /// Returns the bytes of one rank's outgoing queues.
  static long bytes(int ranks) {
    return ranks * QUEUE_BYTES;
  }

  /// Maps a peer's queues; once, before messages from it are received.
  void open(int peer) {
    if (incoming[peer] == null) {
      incoming[peer] =
          access.open(jobRanks[peer], descriptors[peer]).asSlice(rank * QUEUE_BYTES, QUEUE_BYTES);
    }
  }

  /// Sends a message if the queue has room.
  ///
  /// @param operation hash of the collective and its sequence
  boolean send(int peer, MemorySegment message, long operation) {
    if (!hasRoom(peer)) {
      return false;
    }
    long number = sent[peer];
    long at = slot(peer, number);
    long bytes = message.byteSize();
    copy(message, 0, outgoing, at + offset(bytes), bytes);
    long hash = StableHash.mix(sentHash[peer], operation);
    sentHash[peer] = hash;
    sent[peer] = number + 1;
    WORD.setRelease(outgoing, at, ((number + 1) << HASH_BITS) | (hash & HASH_MASK));
    claimNext(peer, bytes);
    return true;
  }

  private boolean hasRoom(int peer) {
    long number = sent[peer];
    if (number - taken[peer] < DEPTH) {
      return true;
    }
    taken[peer] = access.signalled(jobRanks[peer], communicator, Endpoint.TAKEN_SLOT);
    return number - taken[peer] < DEPTH;
  }

  private static long slot(int peer, long number) {
    return peer * QUEUE_BYTES + number % DEPTH * SLOT_BYTES;
  }

  /// Writes into the lines of the next slot, which the peer has read last, so that this core has
  /// them by the time of the next message: to fetch them then would take as long as the message
  /// (record 0129). What is written there is no message's word. Where the core is shared the peer's
  /// turn is what takes long, and whoever waits for this core would wait for the lines too.
  private void claimNext(int peer, long bytes) {
    if (idle.isShared() || !hasRoom(peer)) {
      return;
    }
    long at = slot(peer, sent[peer]);
    WORD.setOpaque(outgoing, at, 0L);
    long expected = Math.max(bytes, usual[peer] - usual[peer] / DEPTH);
    usual[peer] = expected;
    if (expected > BESIDE_BYTES) {
      long end = at + LINE_BYTES + Math.min(expected, CLAIMED_BYTES);
      for (long line = at + LINE_BYTES; line < end; line += LINE_BYTES) {
        WORD.setOpaque(outgoing, line, 0L);
      }
    }
  }

  /// Takes a peer's next message if it is there.
  ///
  /// @param into as long as the message
  /// @param join how the message is joined into what is there; null to overwrite it
  /// @throws PeerFailure if the peer sends from another collective
  boolean receive(int peer, MemorySegment into, Sink.@Nullable Reduce join, long operation) {
    MemorySegment queue = queue(peer);
    long bytes = into.byteSize();
    long at = arrived(peer, queue, offset(bytes), operation);
    if (at < 0) {
      return false;
    }
    if (join == null) {
      copy(queue, at, into, 0, bytes);
    } else {
      long elements = bytes / join.dtype().bytes();
      Reducer.reduce(join.op(), join.dtype(), into, 0, queue, at, elements);
    }
    take(peer, operation);
    return true;
  }

  /// Takes a peer's next message if it is there, and joins it with memory of this rank on its way.
  ///
  /// @param with the other operand, as long as the message
  /// @param first whether the message is the left operand
  /// @param into where the result goes; may be `with`
  /// @throws PeerFailure as [#receive]
  boolean receiveJoin(
      int peer,
      MemorySegment with,
      boolean first,
      MemorySegment into,
      ReduceOp op,
      DType dtype,
      long operation) {
    MemorySegment queue = queue(peer);
    long bytes = into.byteSize();
    long at = arrived(peer, queue, offset(bytes), operation);
    if (at < 0) {
      return false;
    }
    long elements = bytes / dtype.bytes();
    if (first) {
      Reducer.join(op, dtype, into, 0, queue, at, with, 0, elements);
    } else {
      Reducer.join(op, dtype, into, 0, with, 0, queue, at, elements);
    }
    take(peer, operation);
    return true;
  }

  /// Returns where in its slot a message starts. A longer one has lines of its own, aligned, so
  /// that the receiver, which looks at the word, takes no line away that is still being written but
  /// the first (see [#arrived]).
  private static long offset(long bytes) {
    return bytes <= BESIDE_BYTES ? Long.BYTES : LINE_BYTES;
  }

  /// Returns whether a message of a peer waits to be taken.
  boolean isThere(int peer) {
    long number = received[peer];
    long word = (long) WORD.getAcquire(queue(peer), number % DEPTH * SLOT_BYTES);
    return word >>> HASH_BITS == number + 1;
  }

  private MemorySegment queue(int peer) {
    MemorySegment queue = incoming[peer];
    if (queue == null) {
      throw new IllegalStateException("mailbox is not open: peer=" + peer);
    }
    return queue;
  }

  /// Returns where in the queue a peer's next message starts, or -1 if it is not there.
  ///
  /// Each look is at the word and at where the message starts, so that on x86 a line of its own is
  /// on its way here together with that of the word, not after it: of two ranks that are in step it
  /// comes sooner by more than its sender loses by it (record 102). Elsewhere it does no harm.
  private long arrived(int peer, MemorySegment queue, long offset, long operation) {
    long number = received[peer];
    long at = number % DEPTH * SLOT_BYTES;
    long word = (long) WORD.getAcquire(queue, at);
    long start = (long) WORD.getOpaque(queue, at + offset);
    for (int looks = 1; word >>> HASH_BITS != number + 1; looks++) {
      if (looks == LOOKS || idle.isShared()) {
        seen = start;
        return -1;
      }
      word = (long) WORD.getAcquire(queue, at);
      start ^= (long) WORD.getOpaque(queue, at + offset);
    }
    seen = start;
    long hash = StableHash.mix(receivedHash[peer], operation);
    if ((word & HASH_MASK) != (hash & HASH_MASK)) {
      throw new PeerFailure(peer, PeerFailure.Kind.DISAGREES, "message of another collective");
    }
    return at + offset;
  }

  /// Frees the slot of the message that has been read.
  private void take(int peer, long operation) {
    long number = received[peer];
    receivedHash[peer] = StableHash.mix(receivedHash[peer], operation);
    received[peer] = number + 1;
    if ((number + 1) % (DEPTH / 2) == 0) {
      access.signal(jobRanks[peer], communicator, Endpoint.TAKEN_SLOT, number + 1);
    }
  }

  /// A call of the general copy takes longer than the few words that most messages have.
  private static void copy(
      MemorySegment from, long fromAt, MemorySegment to, long toAt, long bytes) {
    if (bytes == Integer.BYTES) {
      to.set(
          ValueLayout.JAVA_INT_UNALIGNED, toAt, from.get(ValueLayout.JAVA_INT_UNALIGNED, fromAt));
    } else if (bytes == Long.BYTES) {
      to.set(
          ValueLayout.JAVA_LONG_UNALIGNED, toAt, from.get(ValueLayout.JAVA_LONG_UNALIGNED, fromAt));
    } else {
      MemorySegment.copy(from, fromAt, to, toAt, bytes);
    }
  }

  @Override
  public void close() {
    try (Scope parts = new Scope()) { // closed from the last
      var _ = parts.own(buffer, Buffer::close);
      for (int peer = 0; peer < incoming.length; peer++) {
        if (incoming[peer] != null) {
          var _ = parts.own(peer, from -> access.forget(jobRanks[from], descriptors[from]));
        }
      }
    }
  }
}
