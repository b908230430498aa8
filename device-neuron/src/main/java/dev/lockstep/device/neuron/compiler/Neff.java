package dev.lockstep.device.neuron.compiler;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;

/// A compiled program: the bytes of a NEFF file and what its header says (AWS Neuron documentation,
/// "Work with NEFF files").
///
/// @param bytes the file, header included; not to be changed
/// @param major version of the format
/// @param minor version of the format
/// @param name the program's name
/// @param logicalCoreSize physical cores that one logical core has; 0 where the compiler is too old
///   to say
@SuppressWarnings("ArrayRecordComponent") // never compared
public record Neff(byte[] bytes, long major, long minor, String name, int logicalCoreSize) {
  /// Bytes before the archive.
  public static final int HEADER_BYTES = 1024;

  private static final int HEADER_SIZE_AT = 8;
  private static final int DATA_SIZE_AT = 16;
  private static final int MAJOR_AT = 24;
  private static final int MINOR_AT = 32;
  private static final int NAME_AT = 220;
  private static final int NAME_BYTES = 256;
  private static final int LNC_SIZE_AT = 552;

  /// Reads the header.
  ///
  /// @throws IllegalArgumentException if the bytes are no NEFF; the sentence says why
  public static Neff parse(byte[] bytes) {
    if (bytes.length < HEADER_BYTES) {
      throw new IllegalArgumentException(
          "file is no NEFF: bytes=" + bytes.length + ", headerBytes=" + HEADER_BYTES);
    }
    ByteBuffer header = ByteBuffer.wrap(bytes, 0, HEADER_BYTES).order(ByteOrder.LITTLE_ENDIAN);
    long headerSize = header.getLong(HEADER_SIZE_AT);
    long dataSize = header.getLong(DATA_SIZE_AT);
    if (headerSize != HEADER_BYTES || headerSize + dataSize != bytes.length) {
      throw new IllegalArgumentException(
          "file is no NEFF, or a part of one: bytes=%d, headerBytes=%d, dataBytes=%d"
              .formatted(bytes.length, headerSize, dataSize));
    }
    int end = NAME_AT;
    while (end < NAME_AT + NAME_BYTES && bytes[end] != 0) {
      end++;
    }
    return new Neff(
        bytes,
        header.getLong(MAJOR_AT),
        header.getLong(MINOR_AT),
        new String(bytes, NAME_AT, end - NAME_AT, StandardCharsets.UTF_8),
        header.getInt(LNC_SIZE_AT));
  }
}
