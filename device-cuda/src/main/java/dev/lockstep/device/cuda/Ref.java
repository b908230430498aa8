package dev.lockstep.device.cuda;

/// An address that is known once a program is bound.
///
/// @param base what it counts from
/// @param value number of the value, if it counts from one
/// @param offset bytes from the base
record Ref(Base base, int value, long offset) {
  /// What an address counts from.
  enum Base {
    /// Nothing: the address is null.
    NOTHING,
    /// A value of the graph.
    VALUE,
    /// Working memory of one step.
    SCRATCH,
    /// Where kernels say that an id lay outside its table.
    FAULT
  }

  static final Ref NOTHING = new Ref(Base.NOTHING, 0, 0);
  static final Ref FAULT = new Ref(Base.FAULT, 0, 0);

  static Ref value(int id) {
    return new Ref(Base.VALUE, id, 0);
  }

  static Ref scratch(long offset) {
    return new Ref(Base.SCRATCH, 0, offset);
  }

  /// Returns the address `bytes` further on.
  Ref plus(long bytes) {
    return new Ref(base, value, offset + bytes);
  }
}
