package dev.lockstep.device.neuron.hlo;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/// A message of protocol buffers, field by field, without its schema.
final class ProtoFields {
  private final byte[] bytes;
  private final int start;
  private final int end;
  private final Map<Integer, List<Long>> numbers = new HashMap<>();
  private final Map<Integer, List<ProtoFields>> nested = new HashMap<>();
  private int at;
  private boolean parsed;

  ProtoFields(byte[] bytes) {
    this(bytes, 0, bytes.length);
  }

  private ProtoFields(byte[] bytes, int start, int end) {
    this.bytes = bytes;
    this.start = start;
    this.end = end;
    this.at = start;
  }

  /// Reads the fields, once it is known that this is a message and not a string.
  private void open() {
    if (parsed) {
      return;
    }
    parsed = true;
    while (at < end) {
      long tag = varint();
      int field = (int) (tag >>> 3);
      switch ((int) tag & 7) {
        case 0 -> numbers.computeIfAbsent(field, _ -> new ArrayList<>()).add(varint());
        case 2 -> {
          int length = (int) varint();
          nested
              .computeIfAbsent(field, _ -> new ArrayList<>())
              .add(new ProtoFields(bytes, at, at + length));
          at += length;
        }
        default -> throw new IllegalStateException("wire type is not written: tag=" + tag);
      }
    }
  }

  private long varint() {
    long value = 0;
    for (int shift = 0; ; shift += 7) {
      byte next = bytes[at++];
      value |= (next & 0x7FL) << shift;
      if (next >= 0) {
        return value;
      }
    }
  }

  long number(int field) {
    open();
    List<Long> found = numbers.get(field);
    return found == null ? 0 : found.getLast();
  }

  List<ProtoFields> messages(int field) {
    open();
    return nested.getOrDefault(field, List.of());
  }

  ProtoFields message(int field) {
    List<ProtoFields> found = messages(field);
    return found.isEmpty() ? new ProtoFields(new byte[0]) : found.getLast();
  }

  String text(int field) {
    return messages(field).isEmpty() ? "" : message(field).text();
  }

  String text() {
    return new String(bytes, start, end - start, StandardCharsets.UTF_8);
  }

  /// A repeated field of integers, packed.
  long[] packed(int field) {
    List<Long> values = new ArrayList<>();
    for (ProtoFields list : messages(field)) {
      list.at = list.start;
      while (list.at < list.end) {
        values.add(list.varint());
      }
    }
    return values.stream().mapToLong(Long::longValue).toArray();
  }

  /// A repeated field of `float`s, packed.
  double[] packedFloats(int field) {
    ProtoFields list = message(field);
    double[] floats = new double[(list.end - list.start) / Float.BYTES];
    for (int i = 0; i < floats.length; i++) {
      int bits = 0;
      for (int b = 0; b < Float.BYTES; b++) {
        bits |= (bytes[list.start + i * Float.BYTES + b] & 0xFF) << (8 * b);
      }
      floats[i] = Float.intBitsToFloat(bits);
    }
    return floats;
  }
}
