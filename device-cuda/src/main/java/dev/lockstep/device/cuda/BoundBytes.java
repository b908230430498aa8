package dev.lockstep.device.cuda;

import dev.lockstep.device.plan.Binding;
import dev.lockstep.memory.Buffer;
import dev.lockstep.tensor.Tensor;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;

/// Which bytes of which buffers a program is bound to, or a collective. What lies side by side
/// counts as one range, the gaps that alignment leaves included.
final class BoundBytes {
  /// The alignment of tensors that share a buffer.
  private static final long GAP = 64;

  private final Buffer[] buffers;
  private final long[] starts;
  private final long[] ends;

  /// Bytes of a buffer.
  private record Range(Buffer buffer, long start, long end) {}

  private BoundBytes(List<Range> ranges) {
    buffers = ranges.stream().map(Range::buffer).toArray(Buffer[]::new);
    starts = ranges.stream().mapToLong(Range::start).toArray();
    ends = ranges.stream().mapToLong(Range::end).toArray();
  }

  static BoundBytes of(Binding binding) {
    return of(Stream.concat(binding.inputs().stream(), binding.outputs().stream()).toList());
  }

  static BoundBytes of(List<Tensor> tensors) {
    Map<Buffer, List<Range>> byBuffer = new HashMap<>();
    for (Tensor tensor : tensors) {
      byBuffer
          .computeIfAbsent(tensor.buffer(), _ -> new ArrayList<>())
          .add(new Range(tensor.buffer(), tensor.offset(), tensor.offset() + tensor.bytes()));
    }
    List<Range> all = new ArrayList<>();
    byBuffer.values().forEach(ranges -> all.addAll(merged(ranges)));
    return new BoundBytes(all);
  }

  private static List<Range> merged(List<Range> ranges) {
    ranges.sort(Comparator.comparingLong(Range::start));
    List<Range> merged = new ArrayList<>();
    for (Range next : ranges) {
      Range last = merged.isEmpty() ? null : merged.getLast();
      if (last != null && next.start - last.end < GAP) {
        merged.removeLast();
        merged.add(new Range(last.buffer, last.start, Math.max(last.end, next.end)));
      } else {
        merged.add(next);
      }
    }
    return merged;
  }

  /// Whether any of the bytes `[start, end)` of a buffer are among them. Allocates nothing.
  boolean touch(Buffer buffer, long start, long end) {
    for (int i = 0; i < buffers.length; i++) {
      if (starts[i] < end && start < ends[i] && buffers[i].equals(buffer)) {
        return true;
      }
    }
    return false;
  }
}
