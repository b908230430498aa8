package dev.lockstep.device.cuda;

import dev.lockstep.device.cuda.ffi.CudaDriver.Geometry;
import java.util.ArrayList;
import java.util.List;

/// A copy between strided layouts: element `i` of the extents, row-major, from one place to
/// another. Dimensions that lie alike on both sides are merged.
///
/// @param dims outermost first
/// @param fromStart first element that is read
/// @param toStart first element that is written
record StridedCopy(List<Dim> dims, long fromStart, long toStart) {
  /// What a kernel takes.
  static final int MOST_DIMENSIONS = 8;

  /// A dimension.
  ///
  /// @param extent how many
  /// @param from distance between what is read, in elements; 0 repeats
  /// @param to distance between what is written
  record Dim(long extent, long from, long to) {}

  StridedCopy {
    dims = merged(dims);
  }

  /// Makes a copy of extents with the strides of both sides.
  static StridedCopy of(long[] extents, long[] from, long[] to, long fromStart, long toStart) {
    List<Dim> dims = new ArrayList<>();
    for (int i = 0; i < extents.length; i++) {
      dims.add(new Dim(extents[i], from[i], to[i]));
    }
    return new StridedCopy(dims, fromStart, toStart);
  }

  private static List<Dim> merged(List<Dim> dims) {
    List<Dim> found = new ArrayList<>();
    for (Dim dim : dims) {
      if (dim.extent == 1) {
        continue;
      }
      Dim outer = found.isEmpty() ? null : found.getLast();
      if (outer != null && outer.from == dim.extent * dim.from && outer.to == dim.extent * dim.to) {
        found.set(found.size() - 1, new Dim(outer.extent * dim.extent, dim.from, dim.to));
      } else {
        found.add(dim);
      }
    }
    return found.isEmpty() ? List.of(new Dim(1, 1, 1)) : List.copyOf(found);
  }

  long elements() {
    return dims.stream().mapToLong(Dim::extent).reduce(1, (a, b) -> a * b);
  }

  /// Whether all elements lie side by side on both sides.
  boolean isPlain() {
    return dims.size() == 1 && dims.getFirst().from == 1 && dims.getFirst().to == 1;
  }

  /// Appends the copy.
  ///
  /// @param itemBytes 1, 2, 4 or 8
  void emit(Emission emit, Ref from, Ref to, int itemBytes) {
    long n = elements();
    if (n == 0) {
      return;
    }
    if (isPlain()) {
      emit.add(
          new Action.Copy(
              from.plus(fromStart * itemBytes), to.plus(toStart * itemBytes), n * itemBytes));
      return;
    }
    if (isTranspose(itemBytes)) {
      transpose(emit, from, to, itemBytes);
      return;
    }
    StructBuilder layout = new StructBuilder().words(dims.size(), 0);
    layout.array(MOST_DIMENSIONS, dims.stream().mapToLong(Dim::extent).toArray());
    layout.array(MOST_DIMENSIONS, dims.stream().mapToLong(Dim::from).toArray());
    layout.array(MOST_DIMENSIONS, dims.stream().mapToLong(Dim::to).toArray());
    emit.elements(
        LaunchBuilder.of("copy.cu", "copy_" + itemBytes)
            .at(from)
            .at(to)
            .wide(fromStart)
            .wide(toStart)
            .struct(layout)
            .wide(n),
        n);
  }

  /// Whether this swaps the last two dimensions of a dense matrix, or of a batch of them.
  private boolean isTranspose(int itemBytes) {
    int rank = dims.size();
    if ((itemBytes != 2 && itemBytes != 4) || (rank != 2 && rank != 3)) {
      return false;
    }
    // As it is written: columns of the source are rows of the result.
    Dim columns = dims.get(rank - 2);
    Dim rows = dims.get(rank - 1);
    long matrix = columns.extent * rows.extent;
    return columns.from == 1
        && rows.from == columns.extent
        && rows.to == 1
        && columns.to == rows.extent
        && matrix <= Integer.MAX_VALUE
        && rows.extent <= 32L * 65_535
        && (rank == 2 || (dims.getFirst().from == matrix && dims.getFirst().to == matrix));
  }

  private void transpose(Emission emit, Ref from, Ref to, int itemBytes) {
    int rank = dims.size();
    int columns = Sizes.of(dims.get(rank - 2).extent);
    int rows = Sizes.of(dims.get(rank - 1).extent);
    int batch = rank == 2 ? 1 : Sizes.of(dims.getFirst().extent);
    emit.add(
        LaunchBuilder.of("copy.cu", "transpose_" + itemBytes)
            .at(from.plus(fromStart * itemBytes))
            .at(to.plus(toStart * itemBytes))
            .word(rows)
            .word(columns)
            .word(batch)
            .grid(
                new Geometry(
                    Math.ceilDiv(columns, 32),
                    Math.ceilDiv(rows, 32),
                    Math.min(batch, 65_535),
                    32,
                    8,
                    1,
                    0)));
  }
}
