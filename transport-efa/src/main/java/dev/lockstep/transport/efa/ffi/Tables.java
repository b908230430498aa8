package dev.lockstep.transport.efa.ffi;

import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.StructLayout;

/// The tables of functions that libfabric's objects carry.
@SuppressWarnings("restricted") // reads the library's memory
final class Tables {
  private Tables() {}

  static MemorySegment memory(long address, long bytes) {
    return MemorySegment.ofAddress(address).reinterpret(bytes);
  }

  /// Returns a member of an object, or of a table.
  static long read(long object, StructLayout layout, String member) {
    long offset = Layouts.offset(layout, member);
    return memory(object + offset, Long.BYTES).get(JAVA_LONG, 0);
  }

  /// Returns a function of an object's table; the object has the table's address in `member`.
  ///
  /// @throws UnsupportedOperationException if the provider lacks it
  static MemorySegment function(
      long object, StructLayout layout, String member, StructLayout table, String function) {
    long functions = read(object, layout, member);
    // A table says how long it is: an older library's may end before the function.
    if (functions == 0
        || read(functions, table, "size") < Layouts.offset(table, function) + Long.BYTES) {
      throw absent(table, function);
    }
    long address = read(functions, table, function);
    if (address == 0) {
      throw absent(table, function);
    }
    return MemorySegment.ofAddress(address);
  }

  private static UnsupportedOperationException absent(StructLayout table, String function) {
    return new UnsupportedOperationException(
        "provider lacks a function: table=%s, function=%s"
            .formatted(table.name().orElse(""), function));
  }
}
