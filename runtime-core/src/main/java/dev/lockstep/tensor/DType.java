package dev.lockstep.tensor;

/// Element types. Little-endian in memory, everywhere.
public enum DType {
  /// IEEE binary64.
  F64(8, Kind.FLOAT, "F64"),
  /// IEEE binary32.
  F32(4, Kind.FLOAT, "F32"),
  /// bfloat16: binary32 with 7 bits of fraction.
  BF16(2, Kind.FLOAT, "BF16"),
  /// IEEE binary16.
  F16(2, Kind.FLOAT, "F16"),
  /// OCP 8-bit float, 4 exponent bits, finite only (largest 448), NaN, no infinity.
  F8_E4M3FN(1, Kind.FLOAT, "F8_E4M3"),
  /// IEEE-like 8-bit float, 4 exponent bits, with infinity (largest 240).
  F8_E4M3(1, Kind.FLOAT, "F8_E4M3_IEEE"),
  /// OCP 8-bit float, 5 exponent bits, with infinity (largest 57344).
  F8_E5M2(1, Kind.FLOAT, "F8_E5M2"),
  /// Signed 64-bit integer.
  I64(8, Kind.SIGNED, "I64"),
  /// Signed 32-bit integer.
  I32(4, Kind.SIGNED, "I32"),
  /// Signed 16-bit integer.
  I16(2, Kind.SIGNED, "I16"),
  /// Signed 8-bit integer.
  I8(1, Kind.SIGNED, "I8"),
  /// Unsigned 8-bit integer.
  U8(1, Kind.UNSIGNED, "U8"),
  /// Truth value in a byte: 0 or 1.
  BOOL(1, Kind.BOOLEAN, "BOOL");

  private enum Kind {
    FLOAT,
    SIGNED,
    UNSIGNED,
    BOOLEAN
  }

  private final int bytes;
  private final Kind kind;
  private final String safetensorsName;

  DType(int bytes, Kind kind, String safetensorsName) {
    this.bytes = bytes;
    this.kind = kind;
    this.safetensorsName = safetensorsName;
  }

  /// Returns the size of one element in bytes.
  public int bytes() {
    return bytes;
  }

  /// Returns whether this is a floating-point type.
  public boolean isFloat() {
    return kind == Kind.FLOAT;
  }

  /// Returns whether this is an integer type, signed or not; `BOOL` is not one.
  public boolean isInteger() {
    return kind == Kind.SIGNED || kind == Kind.UNSIGNED;
  }

  /// Returns the name in a safetensors header, for example `F32`.
  public String safetensorsName() {
    return safetensorsName;
  }
}
