package dev.lockstep.collective.execute;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lockstep.graph.ReduceOp;
import dev.lockstep.memory.MemoryPool;
import dev.lockstep.tensor.DType;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.function.IntPredicate;
import java.util.stream.Stream;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/// A peer that gives up while its memory is being written gets no more than the block that was on
/// its way.
@Timeout(30)
final class WritesTest {
  private static final int PEER = 1;
  private static final int BLOCKS = 4;
  private static final long BYTES = (long) BLOCKS * Writes.BLOCK_BYTES;

  /// A step that writes a peer's memory.
  ///
  /// @param make from this rank's memory, the peer's and what to ask
  record Kind(String name, Make make) {
    @Override
    public String toString() {
      return name;
    }
  }

  interface Make {
    Action of(Writes.Permission permission, MemorySegment own, MemorySegment theirs);
  }

  static Stream<Kind> kinds() {
    return Stream.of(
        new Kind(
            "copies",
            (permission, own, theirs) ->
                new Writes.Copies(PEER, permission, own, new MemorySegment[] {theirs})),
        new Kind(
            "join",
            (permission, own, theirs) ->
                new Writes.Join(
                    PEER,
                    permission,
                    new ReduceOp.Sum(),
                    DType.I8,
                    new MemorySegment[] {own, theirs},
                    own,
                    theirs)),
        new Kind(
            "swap",
            (permission, own, theirs) ->
                new Writes.Swap(PEER, permission, own, theirs, MemoryPool.root("test", 1L << 20))));
  }

  @ParameterizedTest
  @MethodSource("kinds")
  void endWithTheBlockInWhichThePeerGivesUp(Kind kind) {
    int[] asked = {0};
    IntPredicate givesUpInTheSecondBlock = rank -> rank == PEER && ++asked[0] > 2;

    assertThat(written(kind, givesUpInTheSecondBlock, true)).isEqualTo(2L * Writes.BLOCK_BYTES);
  }

  @ParameterizedTest
  @MethodSource("kinds")
  void writeAllOfItOtherwise(Kind kind) {
    assertThat(written(kind, _ -> false, false)).isEqualTo(BYTES);
  }

  /// Returns how many of the peer's bytes, from the first one on, have changed.
  private static long written(Kind kind, IntPredicate hasRevoked, boolean fails) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment own = arena.allocate(BYTES).fill((byte) 3);
      MemorySegment theirs = arena.allocate(BYTES).fill((byte) 5);
      Action step = kind.make.of(new Writes.Permission(hasRevoked, new int[] {PEER}), own, theirs);
      try {
        if (fails) {
          assertThatThrownBy(() -> step.run(1))
              .isInstanceOf(PeerFailure.class)
              .hasMessageContaining("given up");
        } else {
          assertThat(step.run(1)).isTrue();
        }
      } finally {
        step.close();
      }
      long changed = 0;
      while (changed < BYTES && theirs.get(ValueLayout.JAVA_BYTE, changed) != 5) {
        changed++;
      }
      return changed;
    }
  }
}
