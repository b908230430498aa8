package dev.lockstep.collective.execute;

import dev.lockstep.collective.schedule.Range;
import dev.lockstep.collective.schedule.Space;
import dev.lockstep.memory.Registration;
import java.lang.foreign.MemorySegment;
import java.util.Map;

/// Which memory a program's spaces are: this rank's own, and the peers' that it reads.
public interface Bindings {
  /// Returns this rank's memory of that name.
  Registration own(Space space);

  /// Returns a peer's memory of that name, mapped for what the schedule does with it.
  MemorySegment peer(int rank, Space space);

  /// Returns bindings of fixed memory.
  ///
  /// @param own this rank's spaces
  /// @param peers opens a peer's space
  static Bindings of(Map<Space, Registration> own, PeerMemory peers) {
    return new Bindings() {
      @Override
      public Registration own(Space space) {
        Registration found = own.get(space);
        if (found == null) {
          throw new IllegalArgumentException("schedule names memory that is not bound: " + space);
        }
        return found;
      }

      @Override
      public MemorySegment peer(int rank, Space space) {
        return peers.open(rank, space);
      }
    };
  }

  /// Opens peers' memory.
  @FunctionalInterface
  interface PeerMemory {
    /// Returns a peer's memory of that name, mapped for what the schedule does with it.
    MemorySegment open(int rank, Space space);
  }

  /// Returns the bytes of a range.
  default MemorySegment segment(int rank, Range range, int elementBytes) {
    MemorySegment whole =
        range.rank() == rank ? own(range.space()).segment() : peer(range.rank(), range.space());
    return whole.asSlice(range.offset() * elementBytes, range.elements() * elementBytes);
  }
}
