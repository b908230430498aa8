package dev.lockstep.job;

import java.security.MessageDigest;

/// An array as a value of a message; not copied.
final class Bytes {
  private final byte[] array;

  Bytes(byte[] array) {
    this.array = array;
  }

  byte[] array() {
    return array;
  }

  int length() {
    return array.length;
  }

  /// Compares in a time that does not depend on where the two differ.
  @Override
  public boolean equals(Object other) {
    return other instanceof Bytes bytes && MessageDigest.isEqual(array, bytes.array);
  }

  @Override
  public int hashCode() {
    return java.util.Arrays.hashCode(array);
  }

  /// Shows the length only: the content may be a proof.
  @Override
  public String toString() {
    return array.length + " bytes";
  }
}
