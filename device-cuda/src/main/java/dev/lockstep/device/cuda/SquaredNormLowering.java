package dev.lockstep.device.cuda;

import dev.lockstep.graph.Blocks;
import dev.lockstep.graph.Composite.Split;
import dev.lockstep.graph.Composite.SquaredNorm;
import dev.lockstep.graph.Value;
import dev.lockstep.tensor.Shape;
import java.util.ArrayList;
import java.util.List;

/// The sum of the squares of several values: chunks of their blocks are leaves of one tree.
final class SquaredNormLowering {
  private static final int PARTS_OF_A_LAUNCH = 60;
  private static final int THREADS = 256;
  private static final int MOST_LEAVES = 1 << 20;

  private final Emission emit;
  private final List<Part> parts = new ArrayList<>();
  private int leaves;

  /// A block of an operand: runs of `run` elements, `outer` of them `outerStride` apart for each
  /// slice, the slices `preStride` apart.
  private record Part(
      Value value,
      long run,
      long outer,
      long outerStride,
      long preStride,
      long start,
      long elements,
      int firstLeaf) {}

  SquaredNormLowering(Emission emit, List<Value> in, List<Split> splits) {
    this.emit = emit;
    for (int i = 0; i < in.size(); i++) {
      Split split = splits.get(i);
      for (int block = 0; block < split.blocks().count(); block++) {
        add(in.get(i), split, block);
      }
    }
  }

  private void add(Value value, Split split, int block) {
    Shape shape = value.type().shape();
    if (split.equals(Split.NONE)) {
      add(new Part(value, shape.elements(), 1, 0, 0, 0, shape.elements(), leaves));
      return;
    }
    Blocks blocks = split.blocks();
    long extent = shape.dim(split.dim());
    long post = Sizes.product(shape, split.dim() + 1, shape.rank());
    long pre = Sizes.product(shape, 0, split.dim());
    long start = blocks.start(block, extent) * post;
    long run = blocks.start(block + 1, extent) * post - start;
    long elements = pre * blocks.outer() * run;
    add(
        new Part(
            value,
            run,
            blocks.outer(),
            extent / blocks.outer() * post,
            extent * post,
            start,
            elements,
            leaves));
  }

  private void add(Part part) {
    if (part.elements > 0) {
      parts.add(part);
      leaves = Sizes.of(leaves + Math.ceilDiv(part.elements, SquaredNorm.CHUNK));
    }
  }

  void lower(Value out) {
    if (leaves > MOST_LEAVES) {
      throw new IllegalArgumentException(
          "norm has too many leaves for the CUDA device: leaves=%d, most=%d"
              .formatted(leaves, MOST_LEAVES));
    }
    Ref memory = emit.scratch(4L * Math.max(1, leaves));
    for (int first = 0; first < parts.size(); first += PARTS_OF_A_LAUNCH) {
      int end = Math.min(parts.size(), first + PARTS_OF_A_LAUNCH);
      int endLeaf = end == parts.size() ? leaves : parts.get(end).firstLeaf;
      emit.add(launch(parts.subList(first, end), endLeaf, memory));
    }
    emit.joinLeaves(memory, Emission.at(out), leaves);
  }

  private static Action launch(List<Part> some, int endLeaf, Ref memory) {
    int firstLeaf = some.getFirst().firstLeaf;
    StructBuilder struct = new StructBuilder().words(some.size(), firstLeaf);
    for (Part part : some) {
      struct
          .at(Emission.at(part.value))
          .wide(
              part.run,
              part.outer,
              part.outerStride,
              part.preStride,
              part.start,
              part.elements,
              part.firstLeaf);
    }
    struct.wide(new long[(PARTS_OF_A_LAUNCH - some.size()) * 8]);
    return LaunchBuilder.of("squared_norm.cu", "squared_norm_f32")
        .struct(struct)
        .at(memory)
        .grid(endLeaf - firstLeaf, THREADS);
  }
}
