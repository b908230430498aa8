package dev.lockstep.collective.execute;

import dev.lockstep.graph.ReduceOp;
import dev.lockstep.tensor.DType;
import dev.lockstep.transport.Reducer;
import java.lang.foreign.MemorySegment;

/// The steps that are done at once.
final class Actions {
  private Actions() {}

  /// Copies bytes.
  static final class Copy extends Action {
    private final MemorySegment from;
    private final MemorySegment to;

    Copy(int peer, MemorySegment from, MemorySegment to) {
      super(peer);
      this.from = from;
      this.to = to;
    }

    @Override
    boolean run(long operation) {
      MemorySegment.copy(from, 0, to, 0, to.byteSize());
      return true;
    }
  }

  /// Joins two sources.
  static final class Join extends Action {
    private final ReduceOp op;
    private final DType dtype;
    private final MemorySegment to;
    private final MemorySegment left;
    private final MemorySegment right;
    private final long elements;

    Join(
        int peer,
        ReduceOp op,
        DType dtype,
        MemorySegment to,
        MemorySegment left,
        MemorySegment right) {
      super(peer);
      this.op = op;
      this.dtype = dtype;
      this.to = to;
      this.left = left;
      this.right = right;
      this.elements = to.byteSize() / dtype.bytes();
    }

    @Override
    boolean run(long operation) {
      Reducer.join(op, dtype, to, 0, left, 0, right, 0, elements);
      return true;
    }
  }

  /// Multiplies elements of this rank by a factor.
  static final class Scale extends Action {
    private final DType dtype;
    private final double factor;
    private final MemorySegment from;
    private final MemorySegment to;
    private final long elements;

    Scale(DType dtype, double factor, MemorySegment from, MemorySegment to) {
      super(-1);
      this.dtype = dtype;
      this.factor = factor;
      this.from = from;
      this.to = to;
      this.elements = to.byteSize() / dtype.bytes();
    }

    @Override
    boolean run(long operation) {
      Reducer.scale(dtype, factor, to, 0, from, 0, elements);
      return true;
    }
  }

  /// Divides a sum by the number of lanes.
  static final class Divide extends Action {
    private final DType dtype;
    private final MemorySegment target;
    private final int lanes;

    Divide(DType dtype, MemorySegment target, int lanes) {
      super(-1);
      this.dtype = dtype;
      this.target = target;
      this.lanes = lanes;
    }

    @Override
    boolean run(long operation) {
      Quotients.divide(dtype, target, lanes);
      return true;
    }
  }

  /// Tells a peer.
  static final class Signal extends Action {
    private final Signals signals;
    private final int slot;

    Signal(Signals signals, int peer, int slot) {
      super(peer);
      this.signals = signals;
      this.slot = slot;
    }

    @Override
    boolean run(long operation) {
      signals.signal(peer, slot, operation);
      return true;
    }
  }

  /// Waits for a peer's word.
  abstract static class Await extends Action {
    /// The signal's slot, or -1 for a message.
    final int slot;

    Await(int peer, int slot) {
      super(peer);
      this.slot = slot;
    }

    /// Returns whether the word is there to be taken.
    abstract boolean isThere();
  }

  /// Waits for a peer's signal.
  static final class AwaitSignal extends Await {
    private final Signals signals;

    AwaitSignal(Signals signals, int peer, int slot) {
      super(peer, slot);
      this.signals = signals;
    }

    @Override
    boolean run(long operation) {
      return signals.takeSignal(peer, slot, operation);
    }

    @Override
    boolean isThere() {
      return signals.isSignalled(peer, slot);
    }
  }

  /// Waits for a short message and joins it with memory of this rank where it lies.
  static final class AwaitJoin extends Await {
    private final Mailboxes mail;
    private final ReduceOp op;
    private final DType dtype;
    private final MemorySegment to;
    private final MemorySegment with;
    private final boolean first;

    /// @param with the other operand
    /// @param first whether the message is the left operand
    AwaitJoin(
        Mailboxes mail,
        int peer,
        ReduceOp op,
        DType dtype,
        MemorySegment to,
        MemorySegment with,
        boolean first) {
      super(peer, -1);
      this.mail = mail;
      this.op = op;
      this.dtype = dtype;
      this.to = to;
      this.with = with;
      this.first = first;
    }

    @Override
    boolean run(long operation) {
      return mail.receiveJoin(peer, with, first, to, op, dtype, operation);
    }

    @Override
    boolean isThere() {
      return mail.isThere(peer);
    }
  }

  /// Hands a message over.
  static final class Issue extends Action {
    private final Traffic traffic;

    Issue(Traffic traffic) {
      super(-1);
      this.traffic = traffic;
    }

    boolean sends() {
      return traffic.sends();
    }

    @Override
    boolean run(long operation) {
      traffic.issue();
      return true;
    }
  }
}
