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

  /// Four sets of partial sums, then two numbers for each of four rows.
  private static final long SUMS_BYTES = ROWS * RowKernels.PARTIAL_BYTES + 64;

  private final SoftmaxKernels softmax;
  private final RowKernels rows;

  VectorAttention(RowKernels rows, SoftmaxKernels softmax) {
    this.rows = rows;
    this.softmax = softmax;
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
    return Math.ceilDiv(call.keys, KEYS) * KEYS;
  }

  /// Bytes of all packed rows of a head; some more, as the last four queries may be fewer.
  private static long packedBytes(Attention call) {
    return (Math.max(call.queries, call.keys) + ROWS) * headBytes(call);
  }

  private static long transposedBytes(Attention call) {
    return call.size * keyBytes(call);
  }

  @Override
  public long forwardScratchBytes(Attention call) {
    return 2 * packedBytes(call)
        + transposedBytes(call)
        + ROWS * (keyBytes(call) + headBytes(call))
        + SUMS_BYTES;
  }

  @Override
  public long backwardScratchBytes(Attention call) {
    return 3 * packedBytes(call)
        + 2 * transposedBytes(call)
        + ROWS * (2 * keyBytes(call) + headBytes(call))
        + SUMS_BYTES
        + 2L * Tree.depth(call.queryBlocks) * call.keys * headBytes(call);
  }

  @Override
  public void forward(Attention call, int group, long scratch) {
    long queries = scratch;
    long values = queries + packedBytes(call);
    long keys = values + packedBytes(call);
    long strip = keys + transposedBytes(call);
    long tile = strip + ROWS * keyBytes(call);
    pack(call, call.v + call.keyOffset(group), call.keyStride, call.keys, values);
    transpose(call, call.k + call.keyOffset(group), keys);
    for (int head = 0; head < call.share(); head++) {
      long query = call.q + call.queryOffset(group, head);
      long out = call.out + call.outOffset(group, head);
      long lse = call.logSumExpAt(group, head);
      pack(call, query, call.queryStride, call.queries, queries);
      for (int i = 0; i < call.queries; i += ROWS) {
        int count = Math.min(ROWS, call.queries - i);
        int seen = call.seen(i + count - 1);
        products(call, queries + i * headBytes(call), keys, seen, call.scale, strip);
        long to = out + i * call.outStride;
        overKeys(call, call.seen(i), count, strip, values, tile, to, lse + i * 4L);
      }
    }
  }

  /// Softmax of a strip of scores, then its sums over the values. All four rows go through each
  /// pass together, so that they wait for each other's latencies; rows past `count` are made and
  /// not used.
  private void overKeys(
      Attention call, int seen, int count, long strip, long values, long tile, long out, long lse) {
    long row = keyBytes(call);
    long step = headBytes(call);
    long sums = tile + ROWS * step;
    int keys = wholeRows(strip, row, seen, count);
    softmax.greatest(strip, row, keys, sums);
    float max0 = ScalarRows.greatest(sums);
    float max1 = ScalarRows.greatest(sums + RowKernels.PARTIAL_BYTES);
    float max2 = ScalarRows.greatest(sums + 2 * RowKernels.PARTIAL_BYTES);
    float max3 = ScalarRows.greatest(sums + 3 * RowKernels.PARTIAL_BYTES);
    softmax.exponentials(strip, row, keys, max0, max1, max2, max3, sums);
    float sum0 = ScalarRows.join(sums);
    float sum1 = ScalarRows.join(sums + RowKernels.PARTIAL_BYTES);
    float sum2 = ScalarRows.join(sums + 2 * RowKernels.PARTIAL_BYTES);
    float sum3 = ScalarRows.join(sums + 3 * RowKernels.PARTIAL_BYTES);
    weigh(call, seen, count, strip, values, tile);
    Memory.f32(lse, max0 + FloatMath.log(sum0));
    write(tile, 1f / sum0, call.size, out);
    if (count > 1) {
      Memory.f32(lse + 4, max1 + FloatMath.log(sum1));
      write(tile + step, 1f / sum1, call.size, out + call.outStride);
    }
    if (count > 2) {
      Memory.f32(lse + 8, max2 + FloatMath.log(sum2));
      write(tile + 2 * step, 1f / sum2, call.size, out + 2 * call.outStride);
    }
    if (count > 3) {
      Memory.f32(lse + 12, max3 + FloatMath.log(sum3));
      write(tile + 3 * step, 1f / sum3, call.size, out + 3 * call.outStride);
    }
  }

  /// Extends four rows of scores, the first of which sees `seen` keys, to one length, a multiple of
  /// 16, by scores that add 0; returns it.
  private static int wholeRows(long strip, long row, int seen, int count) {
    int keys = Math.ceilDiv(seen + count - 1, 16) * 16;
    for (int r = 0; r < ROWS; r++) {
      for (int key = seen + r; key < keys; key++) {
        Memory.f32(strip + r * row + key * 4L, Float.NEGATIVE_INFINITY);
      }
    }
    return keys;
  }

  /// `tile = strip · packed` for `count` queries, each over the keys that it sees: the first
  /// `seen`, each next one more.
  private static void weigh(
      Attention call, int seen, int count, long strip, long packed, long tile) {
    long step = headBytes(call);
    for (long c = 0; c < step; c += 2 * VECTOR) {
      tile4(strip, keyBytes(call), seen, packed + c, step, 1f, tile + c, step);
    }
    for (int r = 1; r < count; r++) {
      for (int j = seen; j < seen + r; j++) {
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
  public void backward(Attention call, int group, long scratch) {
    long keys = scratch + 2 * packedBytes(call);
    long keysAcross = keys + packedBytes(call);
    long valuesAcross = keysAcross + transposedBytes(call);
    long strips = valuesAcross + transposedBytes(call);
    pack(call, call.k + call.keyOffset(group), call.keyStride, call.keys, keys);
    transpose(call, call.k + call.keyOffset(group), keysAcross);
    transpose(call, call.v + call.keyOffset(group), valuesAcross);
    long grads = strips + ROWS * (2 * keyBytes(call) + headBytes(call)) + SUMS_BYTES;
    long bytes = 2L * call.keys * headBytes(call);
    long top = grads;
    for (int block = 0; block < call.queryBlocks; block++) {
      Memory.zero(top, bytes);
      for (int head = 0; head < call.share(); head++) {
        if (block == 0 || call.share() > 1) {
          packQueries(call, group, head, scratch);
        }
        queries(call, group, head, block, scratch, top);
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
    long to = call.keyOffset(group);
    for (int j = 0; j < call.keys; j++) {
      long at = grads + j * headBytes(call);
      write(at, 1f, call.size, call.dk + to + j * call.keyStride);
      write(at + bytes / 2, 1f, call.size, call.dv + to + j * call.keyStride);
    }
  }

  /// Packs queries and `dout` of a head.
  private static void packQueries(Attention call, int group, int head, long scratch) {
    long douts = scratch + packedBytes(call);
    long from = call.q + call.queryOffset(group, head);
    pack(call, from, call.queryStride, call.queries, scratch);
    pack(call, call.dout + call.outOffset(group, head), call.outStride, call.queries, douts);
  }

  /// Goes through the queries of a block of a head.
  private void queries(Attention call, int group, int head, int block, long scratch, long grads) {
    long keysAcross = scratch + 3 * packedBytes(call);
    long valuesAcross = keysAcross + transposedBytes(call);
    long strips = valuesAcross + transposedBytes(call);
    int end = Cuts.start(block + 1, call.queries, call.queryBlocks);
    for (int i = Cuts.start(block, call.queries, call.queryBlocks); i < end; i += ROWS) {
      int count = Math.min(ROWS, end - i);
      int seen = call.seen(i + count - 1);
      long four = scratch + i * headBytes(call);
      products(call, four, keysAcross, seen, call.scale, strips);
      four += packedBytes(call);
      products(call, four, valuesAcross, seen, 1f, strips + ROWS * keyBytes(call));
      long outAt = call.outOffset(group, head) + i * call.outStride;
      deltas(call, outAt, call.logSumExpAt(group, head) + i * 4L, count, strips);
      long dq = call.dq + call.queryOffset(group, head) + i * call.queryStride;
      fourQueries(call, i, count, scratch, grads, dq);
    }
  }

  /// Leaves log-sum-exp and `dout · out` of up to four queries behind the partial sums.
  private void deltas(Attention call, long outAt, long logSumExp, int count, long strips) {
    long sums = strips + ROWS * (2 * keyBytes(call) + headBytes(call));
    long shifts = sums + ROWS * RowKernels.PARTIAL_BYTES;
    for (int r = 0; r < count; r++) {
      long at = outAt + r * call.outStride;
      float delta = rows.dot(call.dout + at, call.out + at, call.size, sums);
      Memory.f32(shifts + (ROWS + r) * 4L, delta);
      Memory.f32(shifts + r * 4L, Memory.f32(logSumExp + r * 4L));
    }
  }

  /// From scores and products with the values: dq of up to four queries, and their part of dk and
  /// dv.
  private void fourQueries(Attention call, int i, int count, long packed, long grads, long dq) {
    long queries = packed + i * headBytes(call);
    long douts = queries + packedBytes(call);
    long keys = packed + 2 * packedBytes(call);
    long p = keys + packedBytes(call) + 2 * transposedBytes(call);
    long ds = p + ROWS * keyBytes(call);
    long tile = ds + ROWS * keyBytes(call);
    long row = keyBytes(call);
    long sums = tile + ROWS * headBytes(call);
    long shifts = sums + ROWS * RowKernels.PARTIAL_BYTES;
    long deltas = shifts + ROWS * 4L;
    int seen = call.seen(i);
    int whole = wholeRows(p, row, seen, count);
    float shift0 = Memory.f32(shifts);
    float shift1 = Memory.f32(shifts + 4);
    float shift2 = Memory.f32(shifts + 8);
    float shift3 = Memory.f32(shifts + 12);
    softmax.exponentials(p, row, whole, shift0, shift1, shift2, shift3, sums);
    for (int r = 0; r < count; r++) {
      float delta = Memory.f32(deltas + r * 4L);
      softmaxGrad(p + r * row, ds + r * row, delta, call.scale, seen + r);
    }
    weigh(call, seen, count, ds, keys, tile);
    for (int r = 0; r < count; r++) {
      write(tile + r * headBytes(call), 1f, call.size, dq + r * call.queryStride);
    }
    outer(call, seen, count, ds, queries, grads);
    outer(call, seen, count, p, douts, grads + call.keys * headBytes(call));
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
  private static void outer(
      Attention call, int seen, int count, long weights, long four, long grads) {
    long step = headBytes(call);
    int shared = count == ROWS ? seen : 0;
    for (long c = 0; shared > 0 && c < step; c += 2 * VECTOR) {
      outer4(weights, keyBytes(call), four + c, step, shared, grads + c);
    }
    for (int j = shared; j < seen + count - 1; j++) {
      for (int r = Math.max(0, j - seen + 1); r < count; r++) {
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
  private static void pack(Attention call, long from, long stride, int count, long to) {
    long step = headBytes(call);
    Memory.zero(to + count * step, ROWS * step);
    for (int t = 0; t < count; t++) {
      long row = to + t * step;
      Memory.zero(row + call.size * 4L, step - call.size * 4L);
      write(from + t * stride, 1f, call.size, row);
    }
  }

  private static void transpose(Attention call, long from, long to) {
    int keys = paddedKeys(call);
    if (LANES == 16 && call.keys == keys && call.size % LANES == 0) {
      VectorTranspose.panel(from, call.keyStride, call.size, keys, to);
    } else {
      Packing.along(from, call.keyStride, call.size, call.keys, keys, to);
    }
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
