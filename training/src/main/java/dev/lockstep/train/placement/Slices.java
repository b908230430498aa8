package dev.lockstep.train.placement;

import dev.lockstep.graph.Primitive;
import dev.lockstep.tensor.Shape;
import java.util.ArrayList;
import java.util.List;

/// Slices along one dimension.
public final class Slices {
  private Slices() {}

  /// Returns the op that takes indices `[start, limit)` of dimension `dim` and all of the others.
  public static Primitive.Slice along(Shape shape, int dim, long start, long limit) {
    List<Long> starts = new ArrayList<>();
    List<Long> limits = new ArrayList<>();
    for (int i = 0; i < shape.rank(); i++) {
      starts.add(i == dim ? start : 0);
      limits.add(i == dim ? limit : shape.dim(i));
    }
    return new Primitive.Slice(starts, limits);
  }
}
