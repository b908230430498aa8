package dev.lockstep.train;

import dev.lockstep.collective.Communicator;
import dev.lockstep.memory.Buffer;
import dev.lockstep.memory.HostMemory;
import dev.lockstep.memory.MemoryPool;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Shape;
import dev.lockstep.tensor.Tensor;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/// What ranks say to each other in words: a gathering of a fixed size, and another one where words
/// are longer.
///
/// @param memory what it is charged to
record RankWords(MemoryPool memory) {
  /// What most words fit into, so that they are told at once: their length, then the words.
  private static final int FIRST_BYTES = 1024;

  /// Far more than any rank says: what is longer is no length.
  private static final int MOST_BYTES = 1 << 20;

  /// Returns what every rank of a communicator says, in its order; all of them call this together.
  List<String> ofAll(Communicator all, String mine) {
    byte[] text = mine.getBytes(StandardCharsets.UTF_8);
    byte[] said = new byte[Integer.BYTES + text.length];
    ByteBuffer.wrap(said).putInt(text.length).put(text);
    List<byte[]> heard = gathered(all, said, FIRST_BYTES);
    int longest = heard.stream().mapToInt(RankWords::length).max().orElse(0);
    if (Integer.BYTES + longest > FIRST_BYTES) { // seen by all ranks alike
      heard = gathered(all, said, Integer.BYTES + longest);
    }
    return heard.stream()
        .map(each -> new String(each, Integer.BYTES, length(each), StandardCharsets.UTF_8))
        .toList();
  }

  private static int length(byte[] words) {
    int length = ByteBuffer.wrap(words).getInt();
    if (length < 0 || length > MOST_BYTES) {
      throw new IllegalStateException(
          "a rank says something unknown: lengthBytes=%d, most=%d (run one version of Lockstep on all ranks)"
              .formatted(length, MOST_BYTES));
    }
    return length;
  }

  /// Returns the first `length` bytes of what each rank says, filled up with zeros.
  private List<byte[]> gathered(Communicator all, byte[] said, int length) {
    long total = (long) all.size() * length;
    try (Buffer own = HostMemory.allocate(memory, "words", length);
        Buffer everyones = HostMemory.allocate(memory, "words of all", total)) {
      own.segment().copyFrom(MemorySegment.ofArray(Arrays.copyOf(said, length)));
      all.allGather(
          Tensor.of(own, DType.U8, Shape.of(length)),
          Tensor.of(everyones, DType.U8, Shape.of(total)));
      List<byte[]> heard = new ArrayList<>();
      for (int rank = 0; rank < all.size(); rank++) {
        MemorySegment its = everyones.segment().asSlice((long) rank * length, length);
        heard.add(its.toArray(ValueLayout.JAVA_BYTE));
      }
      return heard;
    }
  }
}
