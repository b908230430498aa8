package dev.lockstep.train.parallel;

import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Shape;
import dev.lockstep.tensor.Tensor;
import java.util.ArrayList;
import java.util.List;

/// Neighbouring tensors of a [FlatLayout], the gaps between them included.
///
/// @param first first element of the buffer
/// @param end the element after the last
public record FlatRange(long first, long end) {
  /// Cuts a layout into ranges, one after another.
  ///
  /// @param firsts name of the first tensor of each range, that of the layout first
  public static List<FlatRange> cut(FlatLayout layout, List<String> firsts) {
    List<FlatRange> ranges = new ArrayList<>();
    for (int i = 0; i < firsts.size(); i++) {
      long first = i == 0 ? 0 : layout.offset(firsts.get(i)) / DType.F32.bytes();
      long end =
          i + 1 < firsts.size()
              ? layout.offset(firsts.get(i + 1)) / DType.F32.bytes()
              : layout.elements();
      ranges.add(new FlatRange(first, end));
    }
    return ranges;
  }

  /// Returns the number of elements.
  public long elements() {
    return end - first;
  }

  /// Returns the elements of a buffer as one vector.
  public Tensor of(FlatTensors tensors) {
    long offset = first * DType.F32.bytes();
    return new Tensor(tensors.whole().buffer(), offset, DType.F32, Shape.of(elements()));
  }
}
