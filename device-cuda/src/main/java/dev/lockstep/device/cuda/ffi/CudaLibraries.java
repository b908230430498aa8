package dev.lockstep.device.cuda.ffi;

import java.io.IOException;
import java.lang.foreign.SymbolLookup;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.NoSuchElementException;
import java.util.Optional;
import java.util.function.Function;

/// The search for CUDA's libraries on this machine: found, or a sentence that says what to install.
public sealed interface CudaLibraries {
  /// What the device needs is there.
  ///
  /// @param driver libcuda
  /// @param nvrtc libnvrtc
  /// @param cublasLt libcublasLt; empty if it is not there or not wanted
  /// @param nccl libnccl; empty if it is not there or not wanted
  record Found(CudaDriver driver, Nvrtc nvrtc, Optional<CublasLt> cublasLt, Optional<Nccl> nccl)
      implements CudaLibraries {}

  /// Something is not there or cannot be used.
  ///
  /// @param reason one sentence
  record Absent(String reason) implements CudaLibraries {}

  /// Looks for the libraries. Never throws.
  static CudaLibraries find(LibraryFiles files) {
    try {
      Optional<CudaDriver> driver = first(files.driver(), NativeCudaDriver::new);
      if (driver.isEmpty()) {
        return new Absent(
            "NVIDIA's driver is not installed: tried=%s (install it, or set %s to the file of libcuda)"
                .formatted(files.driver(), LibraryFiles.DRIVER));
      }
      Optional<Nvrtc> nvrtc = nvrtc(files);
      if (nvrtc.isEmpty()) {
        return new Absent(
            "NVRTC is not installed: tried=%s (install the CUDA toolkit, or set %s to the file of libnvrtc)"
                .formatted(files.nvrtc(), LibraryFiles.NVRTC));
      }
      Optional<CublasLt> cublasLt = first(files.cublasLt(), NativeCublasLt::new);
      if (cublasLt.isEmpty() && files.needsCublasLt()) {
        return new Absent(
            "cuBLASLt cannot be opened where it was said to be: tried=%s (set %s to the file of libcublasLt, or to none to do without it)"
                .formatted(files.cublasLt(), LibraryFiles.CUBLAS_LT));
      }
      if (cublasLt.isEmpty() && !files.cublasLt().isEmpty()) {
        files.warnWithoutCublasLt();
      }
      Optional<Nccl> nccl = nccl(files);
      if (nccl.isEmpty() && files.needsNccl()) {
        return new Absent(
            "NCCL cannot be opened where it was said to be: tried=%s (set %s to the file of libnccl, or to none to do without it)"
                .formatted(files.nccl(), LibraryFiles.NCCL));
      }
      return new Found(driver.get(), nvrtc.get(), cublasLt, nccl);
    } catch (NoSuchElementException incomplete) {
      return new Absent(
          "a library of CUDA is too old or another one: cause=%s (install CUDA 12.8 or later)"
              .formatted(incomplete.getMessage()));
    } catch (LinkageError | UnsupportedOperationException | IllegalCallerException denied) {
      return new Absent(denied(denied));
    }
  }

  /// Looks for NVRTC alone, which compiles where there is no GPU.
  ///
  /// @throws NoSuchElementException if a library lacks a function
  static Optional<Nvrtc> nvrtc(LibraryFiles files) {
    files.nvrtc().forEach(CudaLibraries::openBuiltins);
    return first(files.nvrtc(), NativeNvrtc::new);
  }

  /// Looks for NCCL; one of before 2.14 counts as none, unless it was named.
  private static Optional<Nccl> nccl(LibraryFiles files) {
    try {
      return first(files.nccl(), NativeNccl::new);
    } catch (NoSuchElementException tooOld) {
      if (files.needsNccl()) {
        throw tooOld;
      }
      return Optional.empty();
    }
  }

  private static <T> Optional<T> first(List<String> files, Function<SymbolLookup, T> make) {
    for (String file : files) {
      SymbolLookup library;
      try {
        library = NativeCalls.open(file);
      } catch (IllegalArgumentException notThere) {
        continue;
      }
      return Optional.of(make.apply(library));
    }
    return Optional.empty();
  }

  /// NVRTC opens its built-in functions by bare name, which the linker finds in NVRTC's own folder
  /// only if they were opened from there before.
  private static void openBuiltins(String nvrtc) {
    Path folder = Path.of(nvrtc).getParent();
    if (folder == null || !Files.isDirectory(folder)) {
      return;
    }
    List<Path> found = new ArrayList<>();
    try (DirectoryStream<Path> files = Files.newDirectoryStream(folder, "libnvrtc-builtins.so.*")) {
      files.forEach(found::add);
    } catch (IOException unreadable) {
      return; // then NVRTC says what it misses
    }
    for (Path file : found) {
      try {
        NativeCalls.open(file.toString());
      } catch (IllegalArgumentException damaged) {
        // As above.
      }
    }
  }

  private static String denied(Throwable failure) {
    Throwable cause = failure.getCause() == null ? failure : failure.getCause();
    return cause instanceof IllegalCallerException
        ? "the JVM denies native access: module=dev.lockstep.device.cuda (start java with"
            + " --enable-native-access=dev.lockstep.device.cuda, or =ALL-UNNAMED on the class path)"
        : "this JVM calls no native functions: cause=" + cause;
  }
}
