package dev.lockstep.collective.verify;

/// A range as memory sees it: in place, input 0 and output are one memory.
///
/// @param rank whose
/// @param memory which of the rank's memories
/// @param from first element
/// @param to index after the last
record Place(int rank, int memory, long from, long to) {
  boolean overlaps(Place other) {
    return rank == other.rank && memory == other.memory && from < other.to && other.from < to;
  }

  boolean isEmpty() {
    return from == to;
  }
}
