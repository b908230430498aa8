package dev.lockstep.train.parallel;

import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Shape;
import java.util.LinkedHashMap;
import java.util.Map;

/// Where named float32 tensors lie side by side in one buffer, each on a border of 64 bytes.
public final class FlatLayout {
  private static final long ALIGNMENT = 64;

  private final Map<String, Place> places;
  private final long bytes;

  private FlatLayout(Map<String, Place> places, long bytes) {
    this.places = places;
    this.bytes = bytes;
  }

  /// Place of one tensor.
  ///
  /// @param offset first byte
  /// @param shape extents
  record Place(long offset, Shape shape) {}

  /// Lays tensors out in the map's order.
  public static FlatLayout of(Map<String, Shape> tensors) {
    Map<String, Place> places = new LinkedHashMap<>();
    long offset = 0;
    for (Map.Entry<String, Shape> tensor : tensors.entrySet()) {
      places.put(tensor.getKey(), new Place(offset, tensor.getValue()));
      offset = aligned(Math.addExact(offset, tensor.getValue().bytes(DType.F32)));
    }
    return new FlatLayout(places, offset);
  }

  /// Returns where a tensor starts that follows one ending at `end`.
  static long aligned(long end) {
    return Math.ceilDiv(end, ALIGNMENT) * ALIGNMENT;
  }

  /// Returns the size of the buffer.
  public long bytes() {
    return bytes;
  }

  /// Returns the elements of the buffer, the gaps between tensors included.
  public long elements() {
    return bytes / DType.F32.bytes();
  }

  /// Returns the first byte of a tensor.
  ///
  /// @throws IllegalArgumentException if there is no such tensor
  public long offset(String name) {
    Place place = places.get(name);
    if (place == null) {
      throw new IllegalArgumentException("no such tensor: tensor=" + name);
    }
    return place.offset;
  }

  Map<String, Place> places() {
    return places;
  }
}
