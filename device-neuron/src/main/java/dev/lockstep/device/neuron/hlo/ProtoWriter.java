package dev.lockstep.device.neuron.hlo;

import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/// Writes a message in the wire format of protocol buffers: varints, length-delimited fields and
/// packed repeated fields are all that HLO needs. A field of value 0 is left out, as proto3 does.
final class ProtoWriter {
  private static final int VARINT = 0;
  private static final int LENGTH_DELIMITED = 2;

  private byte[] bytes = new byte[128];
  private int size;

  /// Writes an integer, a truth value or an enum.
  ProtoWriter number(int field, long value) {
    if (value != 0) {
      tag(field, VARINT);
      varint(value);
    }
    return this;
  }

  /// Writes a string; an empty one is left out.
  ProtoWriter text(int field, String value) {
    return value.isEmpty() ? this : bytes(field, value.getBytes(StandardCharsets.UTF_8));
  }

  /// Writes a nested message, an empty one too.
  ProtoWriter message(int field, ProtoWriter nested) {
    delimited(field, nested.size);
    append(nested.bytes, nested.size);
    return this;
  }

  /// Writes bytes, none too.
  ProtoWriter bytes(int field, byte[] value) {
    delimited(field, value.length);
    append(value, value.length);
    return this;
  }

  /// Writes repeated integers; none is left out.
  ProtoWriter packed(int field, long... values) {
    ProtoWriter list = new ProtoWriter();
    for (long value : values) {
      list.varint(value);
    }
    return values.length == 0 ? this : message(field, list);
  }

  /// Writes repeated `float`s.
  ProtoWriter packedFloats(int field, double... values) {
    ProtoWriter list = new ProtoWriter();
    for (double value : values) {
      list.fixed(Float.floatToRawIntBits((float) value), Float.BYTES);
    }
    return message(field, list);
  }

  byte[] toBytes() {
    return Arrays.copyOf(bytes, size);
  }

  private void delimited(int field, int length) {
    tag(field, LENGTH_DELIMITED);
    varint(length);
  }

  private void tag(int field, int wireType) {
    varint((long) field << 3 | wireType);
  }

  private void varint(long value) {
    long rest = value;
    while ((rest & ~0x7FL) != 0) {
      append((byte) (rest | 0x80));
      rest >>>= 7;
    }
    append((byte) rest);
  }

  private void fixed(long bits, int count) {
    for (int i = 0; i < count; i++) {
      append((byte) (bits >>> (8 * i)));
    }
  }

  private void append(byte value) {
    if (size == bytes.length) {
      bytes = Arrays.copyOf(bytes, 2 * size);
    }
    bytes[size++] = value;
  }

  private void append(byte[] source, int length) {
    if (length > bytes.length - size) {
      bytes = Arrays.copyOf(bytes, Math.max(2 * bytes.length, size + length));
    }
    System.arraycopy(source, 0, bytes, size, length);
    size += length;
  }
}
