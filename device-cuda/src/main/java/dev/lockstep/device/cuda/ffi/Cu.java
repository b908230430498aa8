package dev.lockstep.device.cuda.ffi;

/// Constants of `cuda.h` 13.0, `nvrtc.h` 13.0, `cublasLt.h` 13.0 and `library_types.h` 13.0.
public final class Cu {
  /// `CUDA_SUCCESS`.
  public static final int SUCCESS = 0;

  /// `CUDA_ERROR_OUT_OF_MEMORY`.
  public static final int ERROR_OUT_OF_MEMORY = 2;

  /// `CUDA_ERROR_STUB_LIBRARY`.
  public static final int ERROR_STUB_LIBRARY = 34;

  /// `CUDA_ERROR_NO_DEVICE`.
  public static final int ERROR_NO_DEVICE = 100;

  /// `CUDA_ERROR_ECC_UNCORRECTABLE`.
  public static final int ERROR_ECC_UNCORRECTABLE = 214;

  /// `CUDA_ERROR_NVLINK_UNCORRECTABLE`.
  public static final int ERROR_NVLINK_UNCORRECTABLE = 220;

  /// `CUDA_ERROR_CONTAINED`.
  public static final int ERROR_CONTAINED = 226;

  /// `CUDA_ERROR_NOT_READY`.
  public static final int ERROR_NOT_READY = 600;

  /// `CUDA_ERROR_ILLEGAL_ADDRESS`.
  public static final int ERROR_ILLEGAL_ADDRESS = 700;

  /// `CUDA_ERROR_LAUNCH_TIMEOUT`.
  public static final int ERROR_LAUNCH_TIMEOUT = 702;

  /// `CUDA_ERROR_CONTEXT_IS_DESTROYED`.
  public static final int ERROR_CONTEXT_IS_DESTROYED = 709;

  /// `CUDA_ERROR_ASSERT`.
  public static final int ERROR_ASSERT = 710;

  /// `CUDA_ERROR_HARDWARE_STACK_ERROR`, the first of six after which a context is lost.
  public static final int ERROR_HARDWARE_STACK_ERROR = 714;

  /// `CUDA_ERROR_LAUNCH_FAILED`, the last of the six.
  public static final int ERROR_LAUNCH_FAILED = 719;

  /// `CUDA_ERROR_TENSOR_MEMORY_LEAK`.
  public static final int ERROR_TENSOR_MEMORY_LEAK = 721;

  /// `CUDA_ERROR_SYSTEM_DRIVER_MISMATCH`.
  public static final int ERROR_SYSTEM_DRIVER_MISMATCH = 803;

  /// `CUDA_ERROR_MPS_CLIENT_TERMINATED`.
  public static final int ERROR_MPS_CLIENT_TERMINATED = 810;

  /// `CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT`.
  public static final int ATTRIBUTE_MULTIPROCESSORS = 16;

  /// `CU_DEVICE_ATTRIBUTE_PCI_BUS_ID`.
  public static final int ATTRIBUTE_PCI_BUS = 33;

  /// `CU_DEVICE_ATTRIBUTE_PCI_DEVICE_ID`.
  public static final int ATTRIBUTE_PCI_DEVICE = 34;

  /// `CU_DEVICE_ATTRIBUTE_PCI_DOMAIN_ID`.
  public static final int ATTRIBUTE_PCI_DOMAIN = 50;

  /// `CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR`.
  public static final int ATTRIBUTE_CAPABILITY_MAJOR = 75;

  /// `CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR`.
  public static final int ATTRIBUTE_CAPABILITY_MINOR = 76;

  /// `CU_STREAM_NON_BLOCKING`.
  public static final int STREAM_NON_BLOCKING = 1;

  /// `CU_EVENT_DEFAULT`: the event keeps the time.
  public static final int EVENT_DEFAULT = 0;

  /// `CU_EVENT_RECORD_EXTERNAL`: in a capture, the record becomes a node of the graph.
  public static final int EVENT_RECORD_EXTERNAL = 1;

  /// `CU_EVENT_DISABLE_TIMING`.
  public static final int EVENT_DISABLE_TIMING = 2;

  /// `CU_STREAM_CAPTURE_MODE_RELAXED`.
  public static final int CAPTURE_RELAXED = 2;

  /// `CU_MEMHOSTALLOC_PORTABLE | CU_MEMHOSTALLOC_DEVICEMAP`.
  public static final int HOST_PORTABLE_MAPPED = 3;

  /// `CU_MEMHOSTREGISTER_PORTABLE`.
  public static final int HOST_REGISTER_PORTABLE = 1;

  /// `CU_MEMPOOL_ATTR_RELEASE_THRESHOLD`, a `cuuint64_t`.
  public static final int POOL_RELEASE_THRESHOLD = 4;

  /// `CU_LAUNCH_ATTRIBUTE_PRIORITY`, an `int`.
  public static final int LAUNCH_PRIORITY = 8;

  /// `CU_FUNC_ATTRIBUTE_NUM_REGS`.
  public static final int FUNCTION_REGISTERS = 4;

  /// `CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES`.
  public static final int FUNCTION_MAX_DYNAMIC_SHARED = 8;

  /// `NVRTC_ERROR_INVALID_OPTION`.
  public static final int NVRTC_ERROR_INVALID_OPTION = 5;

  /// `NVRTC_ERROR_COMPILATION`.
  public static final int NVRTC_ERROR_COMPILATION = 6;

  /// `CUBLAS_STATUS_NOT_SUPPORTED`.
  public static final int CUBLAS_NOT_SUPPORTED = 15;

  /// `CUBLAS_COMPUTE_32F`.
  public static final int COMPUTE_32F = 68;

  /// `CUDA_R_32F`.
  public static final int R_32F = 0;

  /// `CUDA_R_16BF`.
  public static final int R_16BF = 14;

  /// `CUDA_R_8F_E4M3`.
  public static final int R_8F_E4M3 = 28;

  /// `CUDA_R_8F_E5M2`.
  public static final int R_8F_E5M2 = 29;

  /// `CUBLAS_OP_T`.
  public static final int OP_T = 1;

  /// `CUBLASLT_MATMUL_DESC_TRANSA`.
  public static final int DESC_TRANSA = 3;

  /// `CUBLASLT_MATMUL_DESC_TRANSB`.
  public static final int DESC_TRANSB = 4;

  /// `CUBLASLT_MATMUL_DESC_EPILOGUE`, an `int32_t`.
  public static final int DESC_EPILOGUE = 7;

  /// `CUBLASLT_MATMUL_DESC_BIAS_POINTER`.
  public static final int DESC_BIAS_POINTER = 8;

  /// `CUBLASLT_MATMUL_DESC_A_SCALE_POINTER`: the device address of one `float`.
  public static final int DESC_A_SCALE_POINTER = 17;

  /// `CUBLASLT_MATMUL_DESC_B_SCALE_POINTER`: the device address of one `float`.
  public static final int DESC_B_SCALE_POINTER = 18;

  /// `CUBLASLT_MATMUL_DESC_FAST_ACCUM`, an `int8_t`.
  public static final int DESC_FAST_ACCUM = 25;

  /// `CUBLASLT_EPILOGUE_BIAS`: a number is added to each row of the column-major result.
  public static final int EPILOGUE_BIAS = 4;

  /// `CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT`, an `int32_t`.
  public static final int LAYOUT_BATCH_COUNT = 5;

  /// `CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET`, an `int64_t`.
  public static final int LAYOUT_BATCH_OFFSET = 6;

  /// `CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES`, a `uint64_t`.
  public static final int PREFERENCE_MAX_WORKSPACE = 1;

  /// `CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES`, a `uint32_t`; those of B, C and D follow.
  public static final int PREFERENCE_MIN_ALIGNMENT_A = 5;

  /// Size of `cublasLtMatmulAlgo_t`.
  public static final int ALGORITHM_BYTES = 64;

  /// Size of `cublasLtMatmulHeuristicResult_t`: the algorithm, `size_t workspaceSize` at 64,
  /// `cublasStatus_t state` at 72.
  public static final int HEURISTIC_BYTES = 96;

  /// Where `state` stands in a `cublasLtMatmulHeuristicResult_t`.
  public static final int STATE_OFFSET = 72;

  private Cu() {}

  /// Returns whether a status means that the context, and with it all memory, is lost.
  public static boolean isSticky(int status) {
    return status == ERROR_ECC_UNCORRECTABLE
        || status == ERROR_NVLINK_UNCORRECTABLE
        || status == ERROR_CONTAINED
        || status == ERROR_ILLEGAL_ADDRESS
        || status == ERROR_LAUNCH_TIMEOUT
        || status == ERROR_CONTEXT_IS_DESTROYED
        || status == ERROR_ASSERT
        || status == ERROR_TENSOR_MEMORY_LEAK
        || status == ERROR_MPS_CLIENT_TERMINATED
        || (status >= ERROR_HARDWARE_STACK_ERROR && status <= ERROR_LAUNCH_FAILED);
  }
}
