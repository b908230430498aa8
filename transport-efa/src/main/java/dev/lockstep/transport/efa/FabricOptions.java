package dev.lockstep.transport.efa;

/// The numbers of a transport over libfabric. Both ends of a link use the receiver's.
///
/// @param rails most domains that segments are striped over
/// @param eagerBytes longest message that goes in frames without being asked for, or -1 for what is
///   fastest with the provider's frames
/// @param segmentBytes longest segment of a larger one
/// @param copies whether each rail gets the first domain again, where a host has only one
/// @param registersLocal whether memory that is sent from is registered even where the provider
///   does not ask for it, as EFA does
/// @param budgetBytes most bytes of registered memory, or -1 for what the system allows
record FabricOptions(
    int rails,
    long eagerBytes,
    int segmentBytes,
    boolean copies,
    boolean registersLocal,
    long budgetBytes) {
  /// Amazon's largest instances have 4 cards per accelerator.
  static final int MOST_RAILS = 4;

  FabricOptions {
    if (rails < 1 || rails > MOST_RAILS) {
      throw new IllegalArgumentException(
          "rails out of range: rails=%d, most=%d".formatted(rails, MOST_RAILS));
    }
    if (segmentBytes < FrameShape.CUT_BYTES
        || segmentBytes > Wire.LARGEST_SEGMENT
        || segmentBytes % FrameShape.CUT_BYTES != 0) {
      throw new IllegalArgumentException("segment is impossible: segmentBytes=" + segmentBytes);
    }
  }

  /// Returns the longest message that goes in such frames.
  long eagerBytes(FrameShape frames) {
    return eagerBytes < 0 ? frames.eagerBytes() : eagerBytes;
  }

  /// Returns the same with another budget.
  FabricOptions withBudget(long bytes) {
    return new FabricOptions(rails, eagerBytes, segmentBytes, copies, registersLocal, bytes);
  }

  static FabricOptions defaults() {
    return new FabricOptions(MOST_RAILS, -1, 256 << 10, false, false, -1);
  }
}
