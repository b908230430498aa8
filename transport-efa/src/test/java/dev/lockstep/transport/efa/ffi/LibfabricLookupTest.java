package dev.lockstep.transport.efa.ffi;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.ByteArrayOutputStream;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.List;
import org.junit.jupiter.api.Test;

final class LibfabricLookupTest {
  @Test
  void missingLibraryIsASentenceThatNamesThePackage() {
    var absent = (LibfabricLookup.Absent) LibfabricLookup.find(List.of("libnosuchfabric.so.1"));
    assertThat(absent.reason())
        .startsWith("libfabric is not installed: tried=[libnosuchfabric.so.1]")
        .contains("apt-get install libfabric1", "LOCKSTEP_LIBFABRIC");
  }

  @Test
  void anotherLibraryIsNotTakenForLibfabric() {
    var absent = (LibfabricLookup.Absent) LibfabricLookup.find(List.of("libc.so.6"));
    assertThat(absent.reason()).startsWith("library is not libfabric: file=libc.so.6");
  }

  @Test
  void loadingLeavesTheHandlersOfSignalsAsTheyAre() {
    try (Arena arena = Arena.ofConfined()) {
      byte[] before = seen(LibC.handlers(arena));
      LibfabricLookup found = LibfabricLookup.find();
      assumeTrue(
          found instanceof LibfabricLookup.Found,
          "judge libfabric: not installed (apt-get install libfabric1)");
      Libfabric library = ((LibfabricLookup.Found) found).library();
      MemorySegment info = arena.allocate(Long.BYTES);
      library.getinfo(
          Fi.API_VERSION, MemorySegment.NULL, MemorySegment.NULL, 0, MemorySegment.NULL, info);
      assertThat(seen(LibC.handlers(arena))).isEqualTo(before);
    }
  }

  /// Handlers and their first 64 masked signals: the rest of a mask is not the kernel's.
  private static byte[] seen(MemorySegment handlers) {
    ByteArrayOutputStream seen = new ByteArrayOutputStream();
    for (long at = 0; at < handlers.byteSize(); at += LibC.SIGACTION_BYTES) {
      seen.writeBytes(handlers.asSlice(at, 16).toArray(ValueLayout.JAVA_BYTE));
    }
    return seen.toByteArray();
  }
}
