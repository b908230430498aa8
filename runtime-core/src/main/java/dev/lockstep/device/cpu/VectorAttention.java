package dev.lockstep.device.cpu;

import static dev.lockstep.device.cpu.Memory.ALL;
import static dev.lockstep.device.cpu.Memory.at;
import static java.nio.ByteOrder.LITTLE_ENDIAN;

import java.lang.invoke.MethodHandles;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorSpecies;

/// [AttentionKernels] on the Vector API, one hidden class per width (see [KernelSet]).
///
/// Four queries are handled at a time; their scores against all keys so far are a strip of four
/// rows in scratch, so the score matrix never exists. What a head reads is first packed into
/// scratch, rows padded with zeros to pairs of vectors, keys (backward: values too) also
/// transposed. The keys that all four queries see go through register tiles, the last three, which
/// only some see, one by one.
final class VectorAttention implements AttentionKernels {
  private static final VectorSpecies<Float> S = KernelSet.species(MethodHandles.lookup());
  private static final int LANES = S.length();
  private static final long VECTOR = S.vectorByteSize();
  private static final int PAIR = 2 * LANES;
  private static final int ROWS = 4;

  /// Rows over keys are whole pairs of vectors and whole sets of partial sums.
  private static final int KEYS = Math.max(PAIR, 16);

  private final RowKernels rows;

  VectorAttention(RowKernels rows) {
    this.rows = rows;
  }

  /// Bytes of a padded row of one head.
  private static long headBytes(Attention call) {
    return 4L * PAIR * Math.ceilDiv(call.size, PAIR);
  }

  /// Bytes of a padded row over all keys.
  private static long keyBytes(Attention call) {
    return paddedKeys(call) * 4L;
  }

  private static int paddedKeys(Attention call) {
    return Math.ceilDiv(call.tokens, KEYS) * KEYS;
  }

  /// Bytes of all packed rows; some more, as the last four queries may be fewer.
  private static long packedBytes(Attention call) {
    return (call.tokens + ROWS) * headBytes(call);
  }

  private static long transposedBytes(Attention call) {
    return call.size * keyBytes(call);
  }

  @Override
  public long forwardScratchBytes(Attention call) {
    return 2 * packedBytes(call)
        + transposedBytes(call)
        + ROWS * (keyBytes(call) + headBytes(call));
  }

  @Override
  public long backwardScratchBytes(Attention call) {
    return 3 * packedBytes(call)
        + 2 * transposedBytes(call)
        + ROWS * (2 * keyBytes(call) + headBytes(call))
        + 2L * Tree.depth(call.queryBlocks) * call.tokens * headBytes(call);
  }

  @Override
  public void forward(Attention call, int index, long scratch) {
    long query = call.qkv + call.offset(index, 0);
    long queries = scratch;
    long values = queries + packedBytes(call);
    long keys = values + packedBytes(call);
    long strip = keys + transposedBytes(call);
    long tile = strip + ROWS * keyBytes(call);
    pack(call, query, call.qkvStride, queries);
    pack(call, query + 2 * call.outStride, call.qkvStride, values);
    transpose(call, query + call.outStride, keys);
    for (int i = 0; i < call.tokens; i += ROWS) {
      int count = Math.min(ROWS, call.tokens - i);
      products(call, queries + i * headBytes(call), keys, i + count, call.scale, strip);
      overKeys(call, index, i, count, strip, values, tile);
    }
  }

  /// Softmax of a strip of scores, then its sums over the values.
  private void overKeys(
      Attention call, int index, int i, int count, long strip, long values, long tile) {
    long lse = call.logSumExpAt(index) + i * 4L;
    long inverse = tile + RowKernels.PARTIAL_BYTES;
    for (int r = 0; r < count; r++) {
      long row = strip + r * keyBytes(call);
      int keys = wholeRow(row, i + r + 1);
      float greatest = rows.max(row, keys, tile);
      float sum = rows.exp(row, greatest, row, keys, tile);
      Memory.f32(lse + r * 4L, greatest + FloatMath.log(sum));
      Memory.f32(inverse + r * 4L, 1f / sum);
    }
    float inverse0 = Memory.f32(inverse);
    float inverse1 = Memory.f32(inverse + 4);
    float inverse2 = Memory.f32(inverse + 8);
    float inverse3 = Memory.f32(inverse + 12);
    weigh(call, i, count, strip, values, tile);
    long out = call.out + call.outOffset(index) + i * call.outStride;
    long step = headBytes(call);
    write(tile, inverse0, call.size, out);
    if (count > 1) {
      write(tile + step, inverse1, call.size, out + call.outStride);
    }
    if (count > 2) {
      write(tile + 2 * step, inverse2, call.size, out + 2 * call.outStride);
    }
    if (count > 3) {
      write(tile + 3 * step, inverse3, call.size, out + 3 * call.outStride);
    }
  }

  /// Extends a row of scores to a multiple of 16 by scores that add 0, and returns its length.
  private static int wholeRow(long row, int keys) {
    int whole = Math.ceilDiv(keys, 16) * 16;
    ScalarElements.fillRange(Float.NEGATIVE_INFINITY, row, keys, whole);
    return whole;
  }

  /// `tile = strip · packed` for queries `[i, i + count)`, each over the keys that it sees.
  private static void weigh(Attention call, int i, int count, long strip, long packed, long tile) {
    long step = headBytes(call);
    for (long c = 0; c < step; c += 2 * VECTOR) {
      tile4(strip, keyBytes(call), i + 1, packed + c, step, 1f, tile + c, step);
    }
    for (int r = 1; r < count; r++) {
      for (int j = i + 1; j <= i + r; j++) {
        addScaled(strip + r * keyBytes(call) + j * 4L, packed + j * step, step, tile + r * step);
      }
    }
  }

  /// Four rows times the first `keys` columns of a transposed matrix, into a strip.
  private static void products(
      Attention call, long four, long transposed, int keys, float scale, long strip) {
    long step = keyBytes(call);
    for (long c = 0; c < keys * 4L; c += 2 * VECTOR) {
      tile4(four, headBytes(call), call.size, transposed + c, step, scale, strip + c, step);
    }
  }

  @Override
  public void backward(Attention call, int index, long scratch) {
    long query = call.qkv + call.offset(index, 0);
    long queries = scratch;
    long douts = queries + packedBytes(call);
    long keys = douts + packedBytes(call);
    long keysAcross = keys + packedBytes(call);
    long valuesAcross = keysAcross + transposedBytes(call);
    long strips = valuesAcross + transposedBytes(call);
    pack(call, query, call.qkvStride, queries);
    pack(call, call.dout + call.outOffset(index), call.outStride, douts);
    pack(call, query + call.outStride, call.qkvStride, keys);
    transpose(call, query + call.outStride, keysAcross);
    transpose(call, query + 2 * call.outStride, valuesAcross);
    long grads = strips + ROWS * (2 * keyBytes(call) + headBytes(call));
    long bytes = 2L * call.tokens * headBytes(call);
    long top = grads;
    for (int block = 0; block < call.queryBlocks; block++) {
      Memory.zero(top, bytes);
      int end = Cuts.start(block + 1, call.tokens, call.queryBlocks);
      for (int i = Cuts.start(block, call.tokens, call.queryBlocks); i < end; i += ROWS) {
        int count = Math.min(ROWS, end - i);
        long at = i * headBytes(call);
        products(call, queries + at, keysAcross, i + count, call.scale, strips);
        products(call, douts + at, valuesAcross, i + count, 1f, strips + ROWS * keyBytes(call));
        fourQueries(call, index, i, count, queries, top);
      }
      for (int joins = Tree.joinsAfter(block); joins > 0; joins--) {
        top -= bytes;
        join(top, bytes);
      }
      top += bytes;
    }
    for (top -= bytes; top > grads; ) {
      top -= bytes;
      join(top, bytes);
    }
    long dkeys = call.dqkv + call.offset(index, 1);
    for (int j = 0; j < call.tokens; j++) {
      long at = grads + j * headBytes(call);
      write(at, 1f, call.size, dkeys + j * call.qkvStride);
      write(at + bytes / 2, 1f, call.size, dkeys + j * call.qkvStride + call.outStride);
    }
  }

  /// From scores and products with the values: dq of up to four queries, and their part of dk and
  /// dv.
  private void fourQueries(Attention call, int index, int i, int count, long packed, long grads) {
    long queries = packed + i * headBytes(call);
    long douts = queries + packedBytes(call);
    long keys = packed + 2 * packedBytes(call);
    long p = keys + packedBytes(call) + 2 * transposedBytes(call);
    long ds = p + ROWS * keyBytes(call);
    long tile = ds + ROWS * keyBytes(call);
    for (int r = 0; r < count; r++) {
      long at = call.outOffset(index) + (i + r) * call.outStride;
      float delta = rows.dot(call.dout + at, call.out + at, call.size, tile);
      float shift = Memory.f32(call.logSumExpAt(index) + (i + r) * 4L);
      long row = r * keyBytes(call);
      int whole = wholeRow(p + row, i + r + 1);
      rows.exp(p + row, shift, p + row, whole, tile);
      softmaxGrad(p + row, ds + row, delta, call.scale, i + r + 1);
    }
    weigh(call, i, count, ds, keys, tile);
    long dq = call.dqkv + call.offset(index, 0) + i * call.qkvStride;
    for (int r = 0; r < count; r++) {
      write(tile + r * headBytes(call), 1f, call.size, dq + r * call.qkvStride);
    }
    outer(call, i, count, ds, queries, grads);
    outer(call, i, count, p, douts, grads + call.tokens * headBytes(call));
  }

  /// Turns products `ds` into gradients of the scores, by the probabilities `p`.
  private static void softmaxGrad(long p, long ds, float delta, float scale, int keys) {
    for (long o = 0; o < keys * 4L; o += VECTOR) {
      FloatVector probability = FloatVector.fromMemorySegment(S, ALL, at(p + o), LITTLE_ENDIAN);
      FloatVector product = FloatVector.fromMemorySegment(S, ALL, at(ds + o), LITTLE_ENDIAN);
      FloatVector grad = probability.mul(product.sub(delta)).mul(scale);
      grad.intoMemorySegment(ALL, at(ds + o), LITTLE_ENDIAN);
    }
  }

  /// Adds `weights · rows` into `grads`, queries ascending, each for the keys that it sees.
  private static void outer(Attention call, int i, int count, long weights, long four, long grads) {
    long step = headBytes(call);
    int shared = count == ROWS ? i + 1 : 0;
    for (long c = 0; shared > 0 && c < step; c += 2 * VECTOR) {
      outer4(weights, keyBytes(call), four + c, step, shared, grads + c);
    }
    for (int j = shared; j < i + count; j++) {
      for (int r = Math.max(0, j - i); r < count; r++) {
        addScaled(weights + r * keyBytes(call) + j * 4L, four + r * step, step, grads + j * step);
      }
    }
  }

  /// `out += weight · row` over `bytes` bytes.
  private static void addScaled(long weight, long row, long bytes, long out) {
    FloatVector w = FloatVector.broadcast(S, ALL.get(Memory.F32, at(weight)));
    for (long o = 0; o < bytes; o += VECTOR) {
      w.fma(
              FloatVector.fromMemorySegment(S, ALL, at(row + o), LITTLE_ENDIAN),
              FloatVector.fromMemorySegment(S, ALL, at(out + o), LITTLE_ENDIAN))
          .intoMemorySegment(ALL, at(out + o), LITTLE_ENDIAN);
    }
  }

  /// Adds the subtree above `top` into it.
  private static void join(long top, long bytes) {
    for (long o = 0; o < bytes; o += VECTOR) {
      FloatVector.fromMemorySegment(S, ALL, at(top + o), LITTLE_ENDIAN)
          .add(FloatVector.fromMemorySegment(S, ALL, at(top + bytes + o), LITTLE_ENDIAN))
          .intoMemorySegment(ALL, at(top + o), LITTLE_ENDIAN);
    }
  }

  private static void write(long from, float scale, int n, long to) {
    int c = 0;
    for (; c <= n - LANES; c += LANES) {
      FloatVector.fromMemorySegment(S, ALL, at(from + c * 4L), LITTLE_ENDIAN)
          .mul(scale)
          .intoMemorySegment(ALL, at(to + c * 4L), LITTLE_ENDIAN);
    }
    for (; c < n; c++) {
      Memory.f32(to + c * 4L, Memory.f32(from + c * 4L) * scale);
    }
  }

  /// Packs one head's rows, the rest of each and the rows past the last filled with zeros.
  private static void pack(Attention call, long from, long stride, long to) {
    long step = headBytes(call);
    Memory.zero(to + call.tokens * step, ROWS * step);
    for (int t = 0; t < call.tokens; t++) {
      long row = to + t * step;
      Memory.zero(row + call.size * 4L, step - call.size * 4L);
      write(from + t * stride, 1f, call.size, row);
    }
  }

  private static void transpose(Attention call, long from, long to) {
    Packing.along(from, call.qkvStride, call.size, call.tokens, paddedKeys(call), to);
  }

  /// Four rows of `a` (numbers side by side) times two vectors of columns of `b`.
  private static void tile4(
      long a,
      long aStride,
      int depth,
      long b,
      long bStride,
      float scale,
      long out,
      long outStride) {
    FloatVector c0 = FloatVector.zero(S);
    FloatVector d0 = FloatVector.zero(S);
    FloatVector c1 = FloatVector.zero(S);
    FloatVector d1 = FloatVector.zero(S);
    FloatVector c2 = FloatVector.zero(S);
    FloatVector d2 = FloatVector.zero(S);
    FloatVector c3 = FloatVector.zero(S);
    FloatVector d3 = FloatVector.zero(S);
    for (int k = 0; k < depth; k++) {
      long ap = a + k * 4L;
      long bp = b + k * bStride;
      FloatVector x = FloatVector.fromMemorySegment(S, ALL, at(bp), LITTLE_ENDIAN);
      FloatVector y = FloatVector.fromMemorySegment(S, ALL, at(bp + VECTOR), LITTLE_ENDIAN);
      FloatVector s = FloatVector.broadcast(S, ALL.get(Memory.F32, at(ap)));
      c0 = s.fma(x, c0);
      d0 = s.fma(y, d0);
      s = FloatVector.broadcast(S, ALL.get(Memory.F32, at(ap + aStride)));
      c1 = s.fma(x, c1);
      d1 = s.fma(y, d1);
      s = FloatVector.broadcast(S, ALL.get(Memory.F32, at(ap + 2 * aStride)));
      c2 = s.fma(x, c2);
      d2 = s.fma(y, d2);
      s = FloatVector.broadcast(S, ALL.get(Memory.F32, at(ap + 3 * aStride)));
      c3 = s.fma(x, c3);
      d3 = s.fma(y, d3);
    }
    c0.mul(scale).intoMemorySegment(ALL, at(out), LITTLE_ENDIAN);
    d0.mul(scale).intoMemorySegment(ALL, at(out + VECTOR), LITTLE_ENDIAN);
    c1.mul(scale).intoMemorySegment(ALL, at(out + outStride), LITTLE_ENDIAN);
    d1.mul(scale).intoMemorySegment(ALL, at(out + outStride + VECTOR), LITTLE_ENDIAN);
    c2.mul(scale).intoMemorySegment(ALL, at(out + 2 * outStride), LITTLE_ENDIAN);
    d2.mul(scale).intoMemorySegment(ALL, at(out + 2 * outStride + VECTOR), LITTLE_ENDIAN);
    c3.mul(scale).intoMemorySegment(ALL, at(out + 3 * outStride), LITTLE_ENDIAN);
    d3.mul(scale).intoMemorySegment(ALL, at(out + 3 * outStride + VECTOR), LITTLE_ENDIAN);
  }

  /// Adds four queries' weighted rows into the gradients of the first `keys` keys.
  private static void outer4(
      long weights, long stride, long row, long rowStride, int keys, long out) {
    FloatVector x0 = FloatVector.fromMemorySegment(S, ALL, at(row), LITTLE_ENDIAN);
    FloatVector y0 = FloatVector.fromMemorySegment(S, ALL, at(row + VECTOR), LITTLE_ENDIAN);
    FloatVector x1 = FloatVector.fromMemorySegment(S, ALL, at(row + rowStride), LITTLE_ENDIAN);
    FloatVector y1 =
        FloatVector.fromMemorySegment(S, ALL, at(row + rowStride + VECTOR), LITTLE_ENDIAN);
    FloatVector x2 = FloatVector.fromMemorySegment(S, ALL, at(row + 2 * rowStride), LITTLE_ENDIAN);
    FloatVector y2 =
        FloatVector.fromMemorySegment(S, ALL, at(row + 2 * rowStride + VECTOR), LITTLE_ENDIAN);
    FloatVector x3 = FloatVector.fromMemorySegment(S, ALL, at(row + 3 * rowStride), LITTLE_ENDIAN);
    FloatVector y3 =
        FloatVector.fromMemorySegment(S, ALL, at(row + 3 * rowStride + VECTOR), LITTLE_ENDIAN);
    for (int j = 0; j < keys; j++) {
      long w = weights + j * 4L;
      long at = out + j * rowStride;
      FloatVector x = FloatVector.fromMemorySegment(S, ALL, at(at), LITTLE_ENDIAN);
      FloatVector y = FloatVector.fromMemorySegment(S, ALL, at(at + VECTOR), LITTLE_ENDIAN);
      FloatVector s = FloatVector.broadcast(S, ALL.get(Memory.F32, at(w)));
      x = s.fma(x0, x);
      y = s.fma(y0, y);
      s = FloatVector.broadcast(S, ALL.get(Memory.F32, at(w + stride)));
      x = s.fma(x1, x);
      y = s.fma(y1, y);
      s = FloatVector.broadcast(S, ALL.get(Memory.F32, at(w + 2 * stride)));
      x = s.fma(x2, x);
      y = s.fma(y2, y);
      s = FloatVector.broadcast(S, ALL.get(Memory.F32, at(w + 3 * stride)));
      x = s.fma(x3, x);
      y = s.fma(y3, y);
      x.intoMemorySegment(ALL, at(at), LITTLE_ENDIAN);
      y.intoMemorySegment(ALL, at(at + VECTOR), LITTLE_ENDIAN);
    }
  }
}
