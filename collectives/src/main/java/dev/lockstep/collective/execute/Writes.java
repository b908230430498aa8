package dev.lockstep.collective.execute;

import dev.lockstep.graph.ReduceOp;
import dev.lockstep.memory.Buffer;
import dev.lockstep.memory.HostMemory;
import dev.lockstep.memory.MemoryPool;
import dev.lockstep.tensor.DType;
import dev.lockstep.transport.Reducer;
import java.lang.foreign.MemorySegment;
import java.util.function.IntPredicate;

/// The steps that write peers' memory, in place: block by block, so that what has just been read or
/// joined is written from the first-level cache.
final class Writes {
  /// Three blocks fit the smallest usual first-level cache, 32 KiB.
  static final int BLOCK_BYTES = 8 << 10;

  private Writes() {}

  /// That peers' memory may be written, which is asked before every block: none of them has given
  /// up. Once a rank has, its memory is its owner's again.
  static final class Permission {
    /// For steps that write this rank's memory alone.
    static final Permission OWN = new Permission(_ -> false, new int[0]);

    private final IntPredicate hasRevoked;
    private final int[] written;

    /// @param hasRevoked whether a rank has said that its memory may not be written any more
    /// @param written whose memory the step writes
    Permission(IntPredicate hasRevoked, int[] written) {
      this.hasRevoked = hasRevoked;
      this.written = written;
    }

    /// @throws PeerFailure if a rank has given up
    void check() {
      for (int rank : written) {
        if (hasRevoked.test(rank)) {
          throw new PeerFailure(rank, PeerFailure.Kind.UNREACHABLE, "peer has given up");
        }
      }
    }
  }

  /// Copies bytes to several ranks.
  static final class Copies extends Action {
    private final Permission permission;
    private final MemorySegment from;
    private final MemorySegment[] to;

    Copies(int peer, Permission permission, MemorySegment from, MemorySegment[] to) {
      super(peer);
      this.permission = permission;
      this.from = from;
      this.to = to;
    }

    @Override
    boolean run(long operation) {
      long bytes = from.byteSize();
      for (long at = 0; at < bytes; at += BLOCK_BYTES) {
        permission.check();
        long block = Math.min(BLOCK_BYTES, bytes - at);
        for (MemorySegment target : to) {
          MemorySegment.copy(from, at, target, at, block);
        }
      }
      return true;
    }
  }

  /// Joins two sources and writes the result to several ranks.
  static final class Join extends Action {
    private final Permission permission;
    private final ReduceOp op;
    private final DType dtype;
    private final MemorySegment[] to;
    private final MemorySegment left;
    private final MemorySegment right;

    Join(
        int peer,
        Permission permission,
        ReduceOp op,
        DType dtype,
        MemorySegment[] to,
        MemorySegment left,
        MemorySegment right) {
      super(peer);
      this.permission = permission;
      this.op = op;
      this.dtype = dtype;
      this.to = to;
      this.left = left;
      this.right = right;
    }

    @Override
    boolean run(long operation) {
      MemorySegment first = to[0];
      long bytes = first.byteSize();
      for (long at = 0; at < bytes; at += BLOCK_BYTES) {
        permission.check();
        long block = Math.min(BLOCK_BYTES, bytes - at);
        Reducer.join(op, dtype, first, at, left, at, right, at, block / dtype.bytes());
        for (int i = 1; i < to.length; i++) {
          MemorySegment.copy(first, at, to[i], at, block);
        }
      }
      return true;
    }
  }

  /// Exchanges memory of this rank with a peer's. Owns the block that is on its way.
  static final class Swap extends Action {
    private final Permission permission;
    private final MemorySegment own;
    private final MemorySegment theirs;
    private final Buffer onItsWay;
    private final MemorySegment block;

    Swap(
        int peer, Permission permission, MemorySegment own, MemorySegment theirs, MemoryPool pool) {
      super(peer);
      this.permission = permission;
      this.own = own;
      this.theirs = theirs;
      this.onItsWay = HostMemory.allocate(pool, "collective registers", BLOCK_BYTES);
      this.block = onItsWay.segment();
    }

    @Override
    boolean run(long operation) {
      long bytes = own.byteSize();
      for (long at = 0; at < bytes; at += BLOCK_BYTES) {
        permission.check();
        long length = Math.min(BLOCK_BYTES, bytes - at);
        MemorySegment.copy(theirs, at, block, 0, length);
        MemorySegment.copy(own, at, theirs, at, length);
        MemorySegment.copy(block, 0, own, at, length);
      }
      return true;
    }

    @Override
    void close() {
      onItsWay.close();
    }
  }
}
