package dev.lockstep.device.neuron.hlo;

import dev.lockstep.graph.Primitive.Part;
import dev.lockstep.graph.Primitive.Uniform;
import dev.lockstep.graph.ValueType;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Shape;
import java.util.List;

/// Random numbers by counter ([dev.lockstep.tensor.Philox#element]) in signed 32-bit arithmetic,
/// which wraps: Neuron's 64-bit integers are slow or not there, and unsigned ones add nothing but
/// the comparison.
///
/// Each element makes its whole block of four words and keeps one: four times the arithmetic that
/// is needed, with nothing moved.
final class Philox32 {
  private static final int MULTIPLIER_0 = 0xD2511F53;
  private static final int MULTIPLIER_1 = 0xCD9E8D57;
  private static final int WEYL_0 = 0x9E3779B9;
  private static final int WEYL_1 = 0xBB67AE85;
  private static final int ROUNDS = 10;

  private final Computation emit;
  private final ValueType type;

  private Philox32(Computation emit, Shape shape) {
    this.emit = emit;
    this.type = new ValueType(DType.I32, shape);
  }

  /// A 64-bit number in two words.
  private record Wide(Hlo low, Hlo high) {}

  /// @param step I32 `[]`, not negative
  /// @param lane I32 `[]`, not negative
  static Hlo uniform(Computation emit, Uniform op, Hlo step, Hlo lane) {
    List<Hlo> starts =
        op.part().starts().stream().map(start -> emit.scalar(DType.I32, (double) start)).toList();
    return uniform(emit, op, starts, step, lane);
  }

  /// The part of the tensor begins where the program says.
  ///
  /// @param starts each I32 `[]`; those of `op` do not count
  static Hlo uniform(Computation emit, Uniform op, List<Hlo> starts, Hlo step, Hlo lane) {
    return new Philox32(emit, op.part().shape()).uniform(op, starts, step, lane);
  }

  private Hlo uniform(Uniform op, List<Hlo> starts, Hlo step, Hlo lane) {
    Wide index = index(op.part(), starts, spread(lane));
    // Block 16 (index / 64) + index mod 16, word index / 16 mod 4.
    Hlo quotient = or(right(index.low, 6), left(index.high, 26));
    Hlo c0 = or(left(quotient, 4), and(index.low, 15));
    Hlo c1 = or(left(right(index.high, 6), 4), right(quotient, 28));
    Hlo[] words = block(op.seed(), new Hlo[] {c0, c1, spread(step), emit.fill(type, op.tensor())});
    Hlo word = and(right(index.low, 4), 3);
    Hlo chosen = words[0];
    for (int i = 1; i < words.length; i++) {
      chosen = emit.select(emit.compare("EQ", word, emit.fill(type, i)), words[i], chosen);
    }
    return emit.binary("multiply", emit.convert(right(chosen, 8), DType.F32), 0x1.0p-24);
  }

  /// The element's index among all lanes: `lane · elements + flat`.
  private Wide index(Part part, List<Hlo> starts, Hlo lane) {
    long elements = part.whole().elements();
    if (elements > Integer.MAX_VALUE) {
      throw new IllegalArgumentException(
          "tensor of random numbers has too many elements: whole=%s, elements=%d, most=%d (a module's indices have 32 bits)"
              .formatted(part.whole(), elements, Integer.MAX_VALUE));
    }
    Hlo flat = emit.fill(type, 0);
    for (int dim = 0; dim < type.shape().rank(); dim++) {
      Hlo at = emit.iota(type, dim);
      Hlo start = starts.get(dim);
      boolean isZero = start.equals(emit.scalar(DType.I32, 0));
      Hlo moved = isZero ? at : emit.binary("add", at, spread(start));
      Hlo before = emit.binary("multiply", flat, (double) part.whole().dim(dim));
      flat = emit.binary("add", before, moved);
    }
    Wide base = product(lane, (int) elements);
    Hlo low = emit.binary("add", base.low, flat);
    Hlo carry = emit.convert(below(low, flat), DType.I32);
    return new Wide(low, emit.binary("add", base.high, carry));
  }

  private Hlo[] block(long seed, Hlo[] counter) {
    Hlo[] c = counter.clone();
    int k0 = (int) seed;
    int k1 = (int) (seed >>> 32);
    for (int round = 0; round < ROUNDS; round++) {
      Wide product0 = product(c[0], MULTIPLIER_0);
      Wide product1 = product(c[2], MULTIPLIER_1);
      c =
          new Hlo[] {
            xor(xor(product1.high, c[1]), k0),
            product1.low,
            xor(xor(product0.high, c[3]), k1),
            product0.low
          };
      k0 += WEYL_0;
      k1 += WEYL_1;
    }
    return c;
  }

  /// The unsigned product of 64 bits, from products of halves that do not overflow.
  private Wide product(Hlo x, int factor) {
    Hlo xLow = and(x, 0xFFFF);
    Hlo xHigh = right(x, 16);
    int low = factor & 0xFFFF;
    int high = factor >>> 16;
    Hlo lowLow = emit.binary("multiply", xLow, low);
    Hlo highLow = emit.binary("multiply", xHigh, low);
    Hlo lowHigh = emit.binary("multiply", xLow, high);
    Hlo highHigh = emit.binary("multiply", xHigh, high);
    Hlo middle =
        emit.binary(
            "add",
            emit.binary("add", right(lowLow, 16), and(highLow, 0xFFFF)),
            and(lowHigh, 0xFFFF));
    Hlo carried = emit.binary("add", right(highLow, 16), right(lowHigh, 16));
    Hlo upper = emit.binary("add", emit.binary("add", highHigh, carried), right(middle, 16));
    return new Wide(emit.binary("multiply", x, factor), upper);
  }

  /// `a < b` of unsigned numbers.
  private Hlo below(Hlo a, Hlo b) {
    return emit.compare("LT", xor(a, Integer.MIN_VALUE), xor(b, Integer.MIN_VALUE));
  }

  private Hlo spread(Hlo scalar) {
    return type.shape().rank() == 0 ? scalar : emit.broadcast(scalar, type.shape());
  }

  private Hlo and(Hlo x, int bits) {
    return emit.binary("and", x, bits);
  }

  private Hlo or(Hlo a, Hlo b) {
    return emit.binary("or", a, b);
  }

  private Hlo xor(Hlo a, Hlo b) {
    return emit.binary("xor", a, b);
  }

  private Hlo xor(Hlo x, int bits) {
    return emit.binary("xor", x, bits);
  }

  private Hlo left(Hlo x, int bits) {
    return emit.binary("shift-left", x, bits);
  }

  private Hlo right(Hlo x, int bits) {
    return emit.binary("shift-right-logical", x, bits);
  }
}
