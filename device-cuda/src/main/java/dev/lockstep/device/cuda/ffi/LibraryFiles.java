package dev.lockstep.device.cuda.ffi;

import java.util.List;
import java.util.concurrent.atomic.AtomicBoolean;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/// Files in which CUDA's libraries are looked for: each is a path, or a name that the system's
/// linker looks for; the first that is there is taken.
///
/// @param driver candidates for libcuda
/// @param nvrtc candidates for libnvrtc
/// @param cublasLt candidates for libcublasLt; empty to do without it
/// @param nccl candidates for libnccl; empty to do without it
/// @param needsCublasLt whether libcublasLt must be there; otherwise the device warns and goes on
/// @param needsNccl whether libnccl must be there
public record LibraryFiles(
    List<String> driver,
    List<String> nvrtc,
    List<String> cublasLt,
    List<String> nccl,
    boolean needsCublasLt,
    boolean needsNccl) {
  /// Names the file of libcuda; a system property `lockstep.libcuda` wins.
  public static final String DRIVER = "LOCKSTEP_LIBCUDA";

  /// Names the file of libnvrtc; a system property `lockstep.libnvrtc` wins.
  public static final String NVRTC = "LOCKSTEP_LIBNVRTC";

  /// Names the file of libcublasLt; a system property `lockstep.libcublaslt` wins. `none` does
  /// without it.
  public static final String CUBLAS_LT = "LOCKSTEP_LIBCUBLASLT";

  /// Names the file of libnccl; a system property `lockstep.libnccl` wins. `none` does without it.
  public static final String NCCL = "LOCKSTEP_LIBNCCL";

  private static final String NONE = "none";
  private static final Logger LOG = LoggerFactory.getLogger(LibraryFiles.class);
  private static final AtomicBoolean WARNED = new AtomicBoolean();
  private static final AtomicBoolean WARNED_OF_NCCL = new AtomicBoolean();
  private static final String TOOLKIT = "/usr/local/cuda/lib64/";

  /// Copies the lists.
  public LibraryFiles {
    driver = List.copyOf(driver);
    nvrtc = List.copyOf(nvrtc);
    cublasLt = List.copyOf(cublasLt);
    nccl = List.copyOf(nccl);
  }

  /// Files all of which must be there, without NCCL.
  public LibraryFiles(List<String> driver, List<String> nvrtc, List<String> cublasLt) {
    this(driver, nvrtc, cublasLt, List.of(), !cublasLt.isEmpty(), false);
  }

  /// Returns the files that the user names, else where NVIDIA's installers put them.
  public static LibraryFiles standard() {
    String products = named("lockstep.libcublaslt", CUBLAS_LT);
    String collectives = named("lockstep.libnccl", NCCL);
    return new LibraryFiles(
        files(named("lockstep.libcuda", DRIVER), List.of("libcuda.so.1")),
        files(
            named("lockstep.libnvrtc", NVRTC),
            List.of(
                "libnvrtc.so.13",
                "libnvrtc.so.12",
                TOOLKIT + "libnvrtc.so.13",
                TOOLKIT + "libnvrtc.so.12")),
        NONE.equals(products)
            ? List.of()
            : files(
                products,
                List.of(
                    "libcublasLt.so.13",
                    "libcublasLt.so.12",
                    TOOLKIT + "libcublasLt.so.13",
                    TOOLKIT + "libcublasLt.so.12")),
        NONE.equals(collectives)
            ? List.of()
            : files(collectives, List.of("libnccl.so.2", TOOLKIT + "libnccl.so.2")),
        isNamed(products),
        isNamed(collectives));
  }

  private static @Nullable String named(String property, String variable) {
    String value = System.getProperty(property);
    return value == null ? System.getenv(variable) : value;
  }

  private static boolean isNamed(@Nullable String file) {
    return file != null && !file.isEmpty() && !file.equals(NONE);
  }

  private static List<String> files(@Nullable String named, List<String> usual) {
    return named == null || named.isEmpty() ? usual : List.of(named);
  }

  /// Says once in this process that collectives of GPUs take the long way, unless the user wants
  /// that.
  public static void warnWithoutNccl() {
    if (!NONE.equals(named("lockstep.libnccl", NCCL)) && !WARNED_OF_NCCL.getAndSet(true)) {
      LOG.warn(
          "NCCL 2.14 or later is not installed, so collectives pass through host memory (install"
              + " libnccl2, or set {} to the file of libnccl, or to {} to do without it)",
          NCCL,
          NONE);
    }
  }

  /// Says once in this process that products will be slow.
  void warnWithoutCublasLt() {
    if (!WARNED.getAndSet(true)) {
      LOG.warn(
          "cuBLASLt is not installed, so products are slow: tried={} (install the CUDA toolkit, or"
              + " set {} to the file of libcublasLt, or to {} to do without it)",
          cublasLt,
          CUBLAS_LT,
          NONE);
    }
  }
}
