package dev.lockstep.device.cpu;

import dev.lockstep.graph.Composite;
import dev.lockstep.graph.Primitive;
import dev.lockstep.tensor.Shape;

/// Which random numbers belong to the elements of a tensor, which may be a part of a larger one,
/// and what is done with them. Elements that lie side by side in both are a **run**.
final class Counters {
  private final Primitive.Part part;
  private final long seed;
  private final int tensor;
  private final float rate;
  private final float scale;
  private final long run;
  private final int outerDims;
  private long stream;
  private long base;
  long x;
  long out;

  /// The numbers themselves.
  Counters(Primitive.Uniform random) {
    this(random, 0f, 1f);
  }

  /// What drops by them.
  Counters(Composite.Dropout dropout) {
    this(dropout.random(), dropout.rate(), dropout.scale());
  }

  private Counters(Primitive.Uniform random, float rate, float scale) {
    this.part = random.part();
    this.seed = random.seed();
    this.tensor = random.tensor();
    this.rate = rate;
    this.scale = scale;
    Shape shape = part.shape();
    int dim = shape.rank();
    long length = 1;
    boolean whole = true;
    while (dim > 0 && whole) {
      dim--;
      length *= shape.dim(dim);
      whole = shape.dim(dim) == part.whole().dim(dim);
    }
    run = length;
    outerDims = dim;
  }

  long elements() {
    return part.shape().elements();
  }

  /// Says which step and which lane the numbers are of.
  void at(int step, int lane) {
    stream = (step & 0xFFFF_FFFFL) | ((long) tensor << 32);
    base = lane * part.whole().elements();
  }

  /// Where run `number` begins in the row of numbers.
  private long first(long number) {
    Shape whole = part.whole();
    long index = 0;
    long stride = 1;
    long rest = number;
    for (int dim = whole.rank() - 1; dim >= 0; dim--) {
      long at = part.starts().get(dim);
      if (dim < outerDims) {
        at += rest % part.shape().dim(dim);
        rest /= part.shape().dim(dim);
      }
      index += at * stride;
      stride *= whole.dim(dim);
    }
    return base + index;
  }

  /// Drops by the numbers of `n` elements from number `from` on; `from` lies at `in` and goes to
  /// `to`, `scratch` has room for `n` numbers.
  void drop(RandomKernels kernels, long from, int n, long in, long to, long scratch) {
    for (int done = 0; done < n; ) {
      long at = from + done;
      long number = at / run;
      int length = (int) Math.min(n - done, (number + 1) * run - at);
      kernels.uniform(seed, stream, first(number) + at % run, scratch, length);
      kernels.drop(scratch, rate, in + done * 4L, scale, to + done * 4L, length);
      done += length;
    }
  }

  /// Makes the numbers of elements `[from, to)` in `scratch` and drops by them, or where `x` is 0
  /// writes them.
  void make(RandomKernels kernels, long from, long to, long scratch) {
    for (long at = from; at < to; ) {
      long number = at / run;
      int n = (int) Math.min(to - at, (number + 1) * run - at);
      long numbers = x == 0 ? out + at * 4 : scratch;
      kernels.uniform(seed, stream, first(number) + at % run, numbers, n);
      if (x != 0) {
        kernels.drop(numbers, rate, x + at * 4, scale, out + at * 4, n);
      }
      at += n;
    }
  }
}
