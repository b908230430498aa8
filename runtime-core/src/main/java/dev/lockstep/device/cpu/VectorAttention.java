package dev.lockstep.device.cpu;

import static dev.lockstep.device.cpu.Memory.ALL;
import static dev.lockstep.device.cpu.Memory.at;
import static java.nio.ByteOrder.LITTLE_ENDIAN;

import java.lang.invoke.MethodHandles;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorOperators;
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

  private static final FloatVector EXP_MAX = FloatVector.broadcast(S, FloatMath.EXP_MAX);
  private static final FloatVector EXP_MIN = FloatVector.broadcast(S, FloatMath.EXP_MIN);
  private static final FloatVector LOG2_E = FloatVector.broadcast(S, FloatMath.LOG2_E);
  private static final FloatVector ROUND = FloatVector.broadcast(S, FloatMath.ROUND);
  private static final FloatVector LN2_HIGH = FloatVector.broadcast(S, -FloatMath.LN2_HIGH);
  private static final FloatVector LN2_LOW = FloatVector.broadcast(S, -FloatMath.LN2_LOW);
  private static final FloatVector E0 = FloatVector.broadcast(S, FloatMath.E0);
  private static final FloatVector E1 = FloatVector.broadcast(S, FloatMath.E1);
  private static final FloatVector E2 = FloatVector.broadcast(S, FloatMath.E2);
  private static final FloatVector E3 = FloatVector.broadcast(S, FloatMath.E3);
  private static final FloatVector E4 = FloatVector.broadcast(S, FloatMath.E4);
  private static final FloatVector E5 = FloatVector.broadcast(S, FloatMath.E5);
  private static final FloatVector ONE = FloatVector.broadcast(S, 1f);
  private static final IntVector ROUND_BITS = ROUND.reinterpretAsInts();
  private static final IntVector BIAS = ONE.reinterpretAsInts().lanewise(VectorOperators.LSHR, 23);

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
        + ROWS * (keyBytes(call) + headBytes(call))
        + SUMS_BYTES;
  }

  @Override
  public long backwardScratchBytes(Attention call) {
    return 3 * packedBytes(call)
        + 2 * transposedBytes(call)
        + ROWS * (2 * keyBytes(call) + headBytes(call))
        + SUMS_BYTES
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

  /// Softmax of a strip of scores, then its sums over the values. All four rows go through each
  /// pass together, so that they wait for each other's latencies; rows past `count` are made and
  /// not used.
  private static void overKeys(
      Attention call, int index, int i, int count, long strip, long values, long tile) {
    long lse = call.logSumExpAt(index) + i * 4L;
    long row = keyBytes(call);
    long step = headBytes(call);
    long sums = tile + ROWS * step;
    int keys = wholeRows(strip, row, i, count);
    greatest(strip, row, keys, sums);
    float max0 = ScalarRows.greatest(sums);
    float max1 = ScalarRows.greatest(sums + RowKernels.PARTIAL_BYTES);
    float max2 = ScalarRows.greatest(sums + 2 * RowKernels.PARTIAL_BYTES);
    float max3 = ScalarRows.greatest(sums + 3 * RowKernels.PARTIAL_BYTES);
    exponentials(strip, row, keys, max0, max1, max2, max3, sums);
    float sum0 = ScalarRows.join(sums);
    float sum1 = ScalarRows.join(sums + RowKernels.PARTIAL_BYTES);
    float sum2 = ScalarRows.join(sums + 2 * RowKernels.PARTIAL_BYTES);
    float sum3 = ScalarRows.join(sums + 3 * RowKernels.PARTIAL_BYTES);
    weigh(call, i, count, strip, values, tile);
    long out = call.out + call.outOffset(index) + i * call.outStride;
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

  /// Extends four rows of scores to one length, a multiple of 16, by scores that add 0; returns it.
  private static int wholeRows(long strip, long row, int i, int count) {
    int keys = Math.ceilDiv(i + count, 16) * 16;
    for (int r = 0; r < ROWS; r++) {
      for (int key = i + r + 1; key < keys; key++) {
        Memory.f32(strip + r * row + key * 4L, Float.NEGATIVE_INFINITY);
      }
    }
    return keys;
  }

  /// Leaves 16 partial maxima of each of four rows in `sums`.
  private static void greatest(long strip, long row, int keys, long sums) {
    for (int part = 0; part < 16; part += LANES) {
      FloatVector m0 = FloatVector.broadcast(S, Float.NEGATIVE_INFINITY);
      FloatVector m1 = m0;
      FloatVector m2 = m0;
      FloatVector m3 = m0;
      for (int key = part; key < keys; key += 16) {
        long from = strip + key * 4L;
        m0 = m0.max(FloatVector.fromMemorySegment(S, ALL, at(from), LITTLE_ENDIAN));
        m1 = m1.max(FloatVector.fromMemorySegment(S, ALL, at(from + row), LITTLE_ENDIAN));
        m2 = m2.max(FloatVector.fromMemorySegment(S, ALL, at(from + 2 * row), LITTLE_ENDIAN));
        m3 = m3.max(FloatVector.fromMemorySegment(S, ALL, at(from + 3 * row), LITTLE_ENDIAN));
      }
      long to = at(sums + part * 4L);
      m0.intoMemorySegment(ALL, to, LITTLE_ENDIAN);
      m1.intoMemorySegment(ALL, to + RowKernels.PARTIAL_BYTES, LITTLE_ENDIAN);
      m2.intoMemorySegment(ALL, to + 2 * RowKernels.PARTIAL_BYTES, LITTLE_ENDIAN);
      m3.intoMemorySegment(ALL, to + 3 * RowKernels.PARTIAL_BYTES, LITTLE_ENDIAN);
    }
  }

  /// Turns four rows `x` into `e^(x - shift)` and leaves 16 partial sums of each in `sums`.
  private static void exponentials(
      long strip,
      long row,
      int keys,
      float shift0,
      float shift1,
      float shift2,
      float shift3,
      long sums) {
    for (int part = 0; part < 16; part += LANES) {
      FloatVector s0 = FloatVector.zero(S);
      FloatVector s1 = s0;
      FloatVector s2 = s0;
      FloatVector s3 = s0;
      for (int key = part; key < keys; key += 16) {
        long from = strip + key * 4L;
        long a0 = at(from);
        FloatVector c0 = FloatVector.fromMemorySegment(S, ALL, a0, LITTLE_ENDIAN).sub(shift0);
        c0 = c0.blend(EXP_MAX, c0.compare(VectorOperators.GT, EXP_MAX));
        c0 = c0.blend(EXP_MIN, c0.compare(VectorOperators.LT, EXP_MIN));
        FloatVector t0 = c0.fma(LOG2_E, ROUND);
        FloatVector n0 = t0.sub(ROUND);
        FloatVector r0 = n0.fma(LN2_LOW, n0.fma(LN2_HIGH, c0));
        FloatVector q0 = r0.fma(E0, E1).fma(r0, E2).fma(r0, E3).fma(r0, E4).fma(r0, E5);
        q0 = q0.fma(r0.mul(r0), r0).add(ONE);
        IntVector w0 = t0.reinterpretAsInts().sub(ROUND_BITS);
        IntVector h0 = w0.lanewise(VectorOperators.ASHR, 1);
        q0 = q0.mul(h0.add(BIAS).lanewise(VectorOperators.LSHL, 23).reinterpretAsFloats());
        h0 = w0.sub(h0).add(BIAS).lanewise(VectorOperators.LSHL, 23);
        q0 = q0.mul(h0.reinterpretAsFloats());
        q0.intoMemorySegment(ALL, a0, LITTLE_ENDIAN);
        s0 = s0.add(q0);
        long a1 = at(from + row);
        FloatVector c1 = FloatVector.fromMemorySegment(S, ALL, a1, LITTLE_ENDIAN).sub(shift1);
        c1 = c1.blend(EXP_MAX, c1.compare(VectorOperators.GT, EXP_MAX));
        c1 = c1.blend(EXP_MIN, c1.compare(VectorOperators.LT, EXP_MIN));
        FloatVector t1 = c1.fma(LOG2_E, ROUND);
        FloatVector n1 = t1.sub(ROUND);
        FloatVector r1 = n1.fma(LN2_LOW, n1.fma(LN2_HIGH, c1));
        FloatVector q1 = r1.fma(E0, E1).fma(r1, E2).fma(r1, E3).fma(r1, E4).fma(r1, E5);
        q1 = q1.fma(r1.mul(r1), r1).add(ONE);
        IntVector w1 = t1.reinterpretAsInts().sub(ROUND_BITS);
        IntVector h1 = w1.lanewise(VectorOperators.ASHR, 1);
        q1 = q1.mul(h1.add(BIAS).lanewise(VectorOperators.LSHL, 23).reinterpretAsFloats());
        h1 = w1.sub(h1).add(BIAS).lanewise(VectorOperators.LSHL, 23);
        q1 = q1.mul(h1.reinterpretAsFloats());
        q1.intoMemorySegment(ALL, a1, LITTLE_ENDIAN);
        s1 = s1.add(q1);
        long a2 = at(from + 2 * row);
        FloatVector c2 = FloatVector.fromMemorySegment(S, ALL, a2, LITTLE_ENDIAN).sub(shift2);
        c2 = c2.blend(EXP_MAX, c2.compare(VectorOperators.GT, EXP_MAX));
        c2 = c2.blend(EXP_MIN, c2.compare(VectorOperators.LT, EXP_MIN));
        FloatVector t2 = c2.fma(LOG2_E, ROUND);
        FloatVector n2 = t2.sub(ROUND);
        FloatVector r2 = n2.fma(LN2_LOW, n2.fma(LN2_HIGH, c2));
        FloatVector q2 = r2.fma(E0, E1).fma(r2, E2).fma(r2, E3).fma(r2, E4).fma(r2, E5);
        q2 = q2.fma(r2.mul(r2), r2).add(ONE);
        IntVector w2 = t2.reinterpretAsInts().sub(ROUND_BITS);
        IntVector h2 = w2.lanewise(VectorOperators.ASHR, 1);
        q2 = q2.mul(h2.add(BIAS).lanewise(VectorOperators.LSHL, 23).reinterpretAsFloats());
        h2 = w2.sub(h2).add(BIAS).lanewise(VectorOperators.LSHL, 23);
        q2 = q2.mul(h2.reinterpretAsFloats());
        q2.intoMemorySegment(ALL, a2, LITTLE_ENDIAN);
        s2 = s2.add(q2);
        long a3 = at(from + 3 * row);
        FloatVector c3 = FloatVector.fromMemorySegment(S, ALL, a3, LITTLE_ENDIAN).sub(shift3);
        c3 = c3.blend(EXP_MAX, c3.compare(VectorOperators.GT, EXP_MAX));
        c3 = c3.blend(EXP_MIN, c3.compare(VectorOperators.LT, EXP_MIN));
        FloatVector t3 = c3.fma(LOG2_E, ROUND);
        FloatVector n3 = t3.sub(ROUND);
        FloatVector r3 = n3.fma(LN2_LOW, n3.fma(LN2_HIGH, c3));
        FloatVector q3 = r3.fma(E0, E1).fma(r3, E2).fma(r3, E3).fma(r3, E4).fma(r3, E5);
        q3 = q3.fma(r3.mul(r3), r3).add(ONE);
        IntVector w3 = t3.reinterpretAsInts().sub(ROUND_BITS);
        IntVector h3 = w3.lanewise(VectorOperators.ASHR, 1);
        q3 = q3.mul(h3.add(BIAS).lanewise(VectorOperators.LSHL, 23).reinterpretAsFloats());
        h3 = w3.sub(h3).add(BIAS).lanewise(VectorOperators.LSHL, 23);
        q3 = q3.mul(h3.reinterpretAsFloats());
        q3.intoMemorySegment(ALL, a3, LITTLE_ENDIAN);
        s3 = s3.add(q3);
      }
      long to = at(sums + part * 4L);
      s0.intoMemorySegment(ALL, to, LITTLE_ENDIAN);
      s1.intoMemorySegment(ALL, to + RowKernels.PARTIAL_BYTES, LITTLE_ENDIAN);
      s2.intoMemorySegment(ALL, to + 2 * RowKernels.PARTIAL_BYTES, LITTLE_ENDIAN);
      s3.intoMemorySegment(ALL, to + 3 * RowKernels.PARTIAL_BYTES, LITTLE_ENDIAN);
    }
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
    long grads = strips + ROWS * (2 * keyBytes(call) + headBytes(call)) + SUMS_BYTES;
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
    long row = keyBytes(call);
    long sums = tile + ROWS * headBytes(call);
    long shifts = sums + ROWS * RowKernels.PARTIAL_BYTES;
    long deltas = shifts + ROWS * 4L;
    for (int r = 0; r < count; r++) {
      long at = call.outOffset(index) + (i + r) * call.outStride;
      Memory.f32(deltas + r * 4L, rows.dot(call.dout + at, call.out + at, call.size, sums));
      Memory.f32(shifts + r * 4L, Memory.f32(call.logSumExpAt(index) + (i + r) * 4L));
    }
    int whole = wholeRows(p, row, i, count);
    float shift0 = Memory.f32(shifts);
    float shift1 = Memory.f32(shifts + 4);
    float shift2 = Memory.f32(shifts + 8);
    float shift3 = Memory.f32(shifts + 12);
    exponentials(p, row, whole, shift0, shift1, shift2, shift3, sums);
    for (int r = 0; r < count; r++) {
      float delta = Memory.f32(deltas + r * 4L);
      softmaxGrad(p + r * row, ds + r * row, delta, call.scale, i + r + 1);
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
    int keys = paddedKeys(call);
    if (LANES == 16 && call.tokens == keys && call.size % LANES == 0) {
      VectorTranspose.panel(from, call.qkvStride, call.size, keys, to);
    } else {
      Packing.along(from, call.qkvStride, call.size, call.tokens, keys, to);
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
