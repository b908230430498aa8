package dev.lockstep.transport.efa.ffi;

import java.util.ArrayList;
import java.util.List;
import java.util.NoSuchElementException;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;

/// The search for libfabric on this machine: found, or a sentence that says what to install.
public sealed interface LibfabricLookup {
  /// The library is there.
  ///
  /// @param library its functions
  /// @param file what was opened
  record Found(Libfabric library, String file) implements LibfabricLookup {}

  /// The library is not there or cannot be used.
  ///
  /// @param reason one sentence
  record Absent(String reason) implements LibfabricLookup {}

  /// Environment variable that names the library's file.
  String VARIABLE = "LOCKSTEP_LIBFABRIC";

  /// Where libfabric lies if nobody names a file.
  List<String> USUAL =
      List.of(
          "libfabric.so.1",
          "/opt/amazon/efa/lib64/libfabric.so.1",
          "/opt/amazon/efa/lib/libfabric.so.1");

  /// Looks for the library: in the file that [#VARIABLE] names, else where the system's linker
  /// looks and where Amazon's EFA installer puts it. Never throws.
  static LibfabricLookup find() {
    String named = System.getenv(VARIABLE);
    return named == null || named.isEmpty() ? find(USUAL) : findNamed(named, NativeLibfabric::open);
  }

  /// Looks for the library in the file that [#VARIABLE] names. Never throws.
  ///
  /// @param open opens a file, as [NativeLibfabric#open]
  static LibfabricLookup findNamed(String file, Function<String, Libfabric> open) {
    try {
      var _ = open.apply(file);
    } catch (IllegalArgumentException notThere) {
      List<String> found =
          USUAL.stream().filter(usual -> find(List.of(usual), open) instanceof Found).toList();
      String remedy =
          found.isEmpty() ? "name libfabric's file" : "name one that is found, or unset it";
      return new Absent(
          "no library can be loaded there: %s=%s, found=%s (%s)"
              .formatted(VARIABLE, file, found, remedy));
    } catch (RuntimeException | LinkageError other) {
      // What it is, the look that follows says.
    }
    return find(List.of(file), open);
  }

  /// Looks for the library in these files, in this order. Never throws.
  static LibfabricLookup find(List<String> files) {
    return find(files, NativeLibfabric::open);
  }

  /// Looks for the library in these files, in this order: a system's may be too old where Amazon's
  /// is not. Never throws.
  ///
  /// @param open opens a file, as [NativeLibfabric#open]
  static LibfabricLookup find(List<String> files, Function<String, Libfabric> open) {
    List<String> tried = new ArrayList<>();
    @Nullable Absent unfit = null;
    for (String file : files) {
      try {
        Libfabric library = open.apply(file);
        if (Integer.compareUnsigned(library.version(), Fi.API_VERSION) >= 0) {
          return new Found(library, file);
        }
        unfit = unfit == null ? tooOld(library, file) : unfit;
      } catch (IllegalArgumentException notThere) {
        tried.add(file);
      } catch (NoSuchElementException incomplete) {
        unfit = unfit == null ? incomplete(incomplete, file) : unfit;
      } catch (LinkageError | UnsupportedOperationException | IllegalCallerException denied) {
        return new Absent(denied(denied));
      }
    }
    if (unfit != null) {
      return unfit;
    }
    return new Absent(
        "libfabric is not installed: tried=%s (apt-get install libfabric1, or Amazon's EFA installer; set %s to its file if it lies elsewhere)"
            .formatted(tried, VARIABLE));
  }

  private static Absent tooOld(Libfabric library, String file) {
    return new Absent(
        "libfabric is too old: file=%s, version=%s, needed=1.17 (install libfabric 1.17 or later: apt-get install libfabric1, or Amazon's EFA installer)"
            .formatted(file, version(library)));
  }

  private static Absent incomplete(NoSuchElementException cause, String file) {
    return new Absent(
        "library is not libfabric: file=%s, cause=%s (set %s to libfabric's file)"
            .formatted(file, cause.getMessage(), VARIABLE));
  }

  /// Returns a library's version as its users write it.
  static String version(Libfabric library) {
    int version = library.version();
    return (version >>> 16) + "." + (version & 0xffff);
  }

  private static String denied(Throwable failure) {
    Throwable cause = failure.getCause() == null ? failure : failure.getCause();
    return cause instanceof IllegalCallerException
        ? "the JVM denies native access: module=dev.lockstep.transport.efa (start java with"
            + " --enable-native-access=dev.lockstep.transport.efa, or =ALL-UNNAMED on the class"
            + " path)"
        : "this JVM calls no native functions: cause=" + cause;
  }
}
