package dev.lockstep.transport.efa.ffi;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.ByteArrayOutputStream;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandles;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
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
  void aFileThatIsNotThereIsASentenceWithThoseThatAre() {
    try (Arena arena = Arena.ofConfined()) {
      var absent =
          (LibfabricLookup.Absent)
              LibfabricLookup.findNamed(
                  "/opt/typo/libfabric.so",
                  file -> {
                    if (!file.equals("libfabric.so.1")) {
                      throw new IllegalArgumentException(file);
                    }
                    return standIn(arena, Fi.API_VERSION);
                  });
      assertThat(absent.reason())
          .isEqualTo(
              "no library can be loaded there: LOCKSTEP_LIBFABRIC=/opt/typo/libfabric.so,"
                  + " found=[libfabric.so.1] (name one that is found, or unset it)");
    }
  }

  @Test
  void anotherLibraryIsNotTakenForLibfabric() {
    var absent = (LibfabricLookup.Absent) LibfabricLookup.find(List.of("libc.so.6"));
    assertThat(absent.reason()).startsWith("library is not libfabric: file=libc.so.6");
  }

  @Test
  void tooOldLibraryIsASentenceWithBothVersions() {
    try (Arena arena = Arena.ofConfined()) {
      var absent =
          (LibfabricLookup.Absent)
              LibfabricLookup.find(List.of("libfabric.so.1"), _ -> standIn(arena, 1 << 16 | 16));
      assertThat(absent.reason())
          .startsWith("libfabric is too old: file=libfabric.so.1, version=1.16, needed=1.17")
          .contains("apt-get install libfabric1");
    }
  }

  @Test
  void oldestVersionThatIsEnoughIsTaken() {
    try (Arena arena = Arena.ofConfined()) {
      assertThat(LibfabricLookup.find(List.of("it"), _ -> standIn(arena, 1 << 16 | 17)))
          .isInstanceOf(LibfabricLookup.Found.class);
    }
  }

  @Test
  void newerLibraryBehindATooOldOneIsTaken() {
    Map<String, Integer> versions = Map.of("system's", 1 << 16 | 11, "Amazon's", 2 << 16);
    try (Arena arena = Arena.ofConfined()) {
      var found =
          (LibfabricLookup.Found)
              LibfabricLookup.find(
                  List.of("system's", "Amazon's"),
                  file -> standIn(arena, Objects.requireNonNull(versions.get(file))));
      assertThat(found.file()).isEqualTo("Amazon's");
      assertThat(LibfabricLookup.version(found.library())).isEqualTo("2.0");
    }
  }

  /// A library all of whose functions answer a version.
  @SuppressWarnings("restricted") // makes a function of the C library's kind
  private static Libfabric standIn(Arena arena, int version) {
    MemorySegment function =
        Linker.nativeLinker()
            .upcallStub(
                MethodHandles.constant(int.class, version),
                FunctionDescriptor.of(ValueLayout.JAVA_INT),
                arena);
    return new NativeLibfabric(_ -> Optional.of(function));
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
