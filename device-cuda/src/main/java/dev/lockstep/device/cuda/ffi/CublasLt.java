package dev.lockstep.device.cuda.ffi;

/// NVIDIA's matrix products, `libcublasLt.so`: one method per function, each with the function's
/// arguments and its `cublasStatus_t`. Matrices are column-major. Thread-safe.
public interface CublasLt {
  /// What is multiplied: the descriptors of `C = alpha · A·B + beta · C`.
  ///
  /// @param description a `cublasLtMatmulDesc_t`
  /// @param a layout of the first operand
  /// @param b layout of the second operand
  /// @param c layout of the result and of what it is added to
  record Product(long description, long a, long b, long c) {}

  /// Where the operands of a product lie.
  ///
  /// @param alpha host address of the factor of the product
  /// @param a device address of the first operand
  /// @param b device address of the second operand
  /// @param beta host address of the factor of what is added
  /// @param c device address of the result and of what it is added to
  /// @param algorithm host address of a `cublasLtMatmulAlgo_t`
  /// @param workspace device address
  /// @param workspaceBytes size of the workspace
  record Operands(
      long alpha,
      long a,
      long b,
      long beta,
      long c,
      long algorithm,
      long workspace,
      long workspaceBytes) {}

  /// `cublasLtCreate`.
  int create(long handle);

  /// `cublasLtDestroy`.
  int destroy(long handle);

  /// `cublasLtGetVersion`.
  long version();

  /// `cublasLtMatmulDescCreate`.
  int matmulDescCreate(long description, int computeType, int scaleType);

  /// `cublasLtMatmulDescSetAttribute`.
  int matmulDescSetAttribute(long description, int attribute, long value, long bytes);

  /// `cublasLtMatmulDescDestroy`.
  int matmulDescDestroy(long description);

  /// `cublasLtMatrixLayoutCreate`.
  int matrixLayoutCreate(long layout, int type, long rows, long columns, long leading);

  /// `cublasLtMatrixLayoutSetAttribute`.
  int matrixLayoutSetAttribute(long layout, int attribute, long value, long bytes);

  /// `cublasLtMatrixLayoutDestroy`.
  int matrixLayoutDestroy(long layout);

  /// `cublasLtMatmulPreferenceCreate`.
  int preferenceCreate(long preference);

  /// `cublasLtMatmulPreferenceSetAttribute`.
  int preferenceSetAttribute(long preference, int attribute, long value, long bytes);

  /// `cublasLtMatmulPreferenceDestroy`.
  int preferenceDestroy(long preference);

  /// `cublasLtMatmulAlgoGetHeuristic`.
  int matmulAlgoGetHeuristic(
      long handle, Product product, long preference, int requested, long results, long found);

  /// `cublasLtMatmul`.
  int matmul(long handle, Product product, Operands operands, long stream);

  /// `cublasLtGetStatusString`.
  String statusString(int status);
}
