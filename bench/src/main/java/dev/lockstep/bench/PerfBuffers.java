package dev.lockstep.bench;

import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.job.Job;
import dev.lockstep.memory.Buffer;
import dev.lockstep.memory.HostMemory;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Shape;
import dev.lockstep.tensor.Tensor;
import java.lang.foreign.MemorySegment;
import java.util.List;
import org.jspecify.annotations.Nullable;

/// The memory of one rank's benchmark: what it brings, what it gets and what it should get.
final class PerfBuffers implements AutoCloseable {
  /// What memory holds that an operation is to write: no part of an earlier result.
  private static final byte STALE = 0x5A;

  /// What a rank brings and gets in one size.
  ///
  /// @param in what it brings, or null
  /// @param out what it gets, or null
  record Pair(@Nullable Tensor in, @Nullable Tensor out) {
    List<Tensor> inputs() {
      return in == null ? List.of() : List.of(in);
    }
  }

  private final TestPattern pattern;
  private final int rank;
  private final Buffer input;
  private final Buffer output;
  private final Buffer expected;

  /// Allocates the memory.
  ///
  /// @param bytes of the largest size
  PerfBuffers(Job job, TestPattern pattern, long bytes) {
    this.pattern = pattern;
    this.rank = job.rank();
    this.input = HostMemory.allocateShared(job.memory(), "perf input", bytes, job.directory());
    this.output = HostMemory.allocateShared(job.memory(), "perf output", bytes, job.directory());
    this.expected = HostMemory.allocate(job.memory(), "perf expected", bytes);
  }

  /// Returns what a rank brings and gets. In place both lie in one buffer, the smaller one at its
  /// place in the larger one.
  Pair pair(CollectiveRequest request) {
    long outElements = request.outputElements(rank);
    Tensor in =
        request.inputs(rank) == 0
            ? null
            : tensor(
                input,
                request.inPlace() ? request.inputStart(rank) : 0,
                request.inputElements(rank),
                request.dtype());
    Tensor out =
        outElements == 0
            ? null
            : tensor(
                request.inPlace() ? input : output,
                request.inPlace() ? request.outputStart(rank) : 0,
                outElements,
                request.dtype());
    return new Pair(in, out);
  }

  private static Tensor tensor(Buffer buffer, long start, long elements, DType dtype) {
    return new Tensor(buffer, start * dtype.bytes(), dtype, Shape.of(elements));
  }

  /// Writes what the rank brings.
  void fill(Pair pair) {
    if (pair.in() != null) {
      pattern.fill(rank, pair.in().segment(), pair.in().shape().elements());
    }
  }

  /// Writes what the rank brings, and over everything else, in place too: what an operation does
  /// not write is wrong after it, whatever was there before.
  void fillAnew(Pair pair) {
    input.segment().fill(STALE);
    output.segment().fill(STALE);
    fill(pair);
  }

  /// Counts the wrong elements of a slice of what the rank got.
  ///
  /// @param count elements of a rank's buffer, or of a part
  /// @param from first element of the slice
  /// @param most elements of the slice, as far as the rank got as many
  long wrong(Pair pair, long count, long from, long most) {
    if (pair.out() == null) {
      return 0;
    }
    MemorySegment result = pair.out().segment();
    long to = Math.min(from + most, pair.out().shape().elements());
    return pattern.wrong(rank, result, expected.segment(), count, from, to);
  }

  @Override
  public void close() {
    expected.close();
    output.close();
    input.close();
  }
}
