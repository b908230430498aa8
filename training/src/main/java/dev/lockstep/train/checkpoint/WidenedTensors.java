package dev.lockstep.train.checkpoint;

import dev.lockstep.tensor.DType;
import dev.lockstep.train.checkpoint.Safetensors.TensorData;
import java.lang.foreign.MemorySegment;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.Map;

/// Tensors in memory as float32, of which one piece at a time is there.
final class WidenedTensors implements TensorSource {
  private static final long PIECE_ELEMENTS = 1 << 18;

  private final MemorySegment piece =
      MemorySegment.ofArray(new byte[Math.toIntExact(PIECE_ELEMENTS * DType.F32.bytes())]);
  private final Map<String, TensorInfo> infos = new LinkedHashMap<>();
  private final Iterator<TensorData> rest;
  private TensorData current;
  private long done;

  /// Reads tensors in the map's order; there is at least one.
  ///
  /// @param tensors of types that [TensorData#copyAsF32] reads; borrowed
  WidenedTensors(Map<String, TensorData> tensors) {
    tensors.forEach((name, data) -> infos.put(name, new TensorInfo(DType.F32, data.shape())));
    rest = tensors.values().iterator();
    current = rest.next();
  }

  @Override
  public Map<String, TensorInfo> tensors() {
    return infos;
  }

  @Override
  public MemorySegment next() {
    while (done == current.shape().elements()) {
      current = rest.next();
      done = 0;
    }
    long count = Math.min(PIECE_ELEMENTS, current.shape().elements() - done);
    MemorySegment elements = piece.asSlice(0, count * DType.F32.bytes());
    current.copyAsF32(done, elements);
    done += count;
    return elements;
  }
}
