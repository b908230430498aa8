package dev.lockstep.transport;

import dev.lockstep.graph.ReduceOp;
import dev.lockstep.memory.Registration;
import dev.lockstep.tensor.DType;

/// What is done with arriving bytes: a transport applies it straight from its receive buffer, piece
/// by piece in order.
public sealed interface Sink {
  /// Returns the range that is filled or reduced into; its length is the message's.
  Registration target();

  /// Stores the bytes.
  ///
  /// @param target range to fill
  record Copy(Registration target) implements Sink {}

  /// Joins the arriving elements into the stored ones, `target = target (op) arriving`, element by
  /// element. Pieces may be cut anywhere; the transport holds back the bytes of an unfinished
  /// element.
  ///
  /// @param target range to reduce into
  /// @param dtype element type
  /// @param op how to join
  record Reduce(Registration target, DType dtype, ReduceOp op) implements Sink {}
}
