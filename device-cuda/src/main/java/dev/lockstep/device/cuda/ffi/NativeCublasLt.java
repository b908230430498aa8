package dev.lockstep.device.cuda.ffi;

import static dev.lockstep.device.cuda.ffi.NativeCalls.call;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;

/// libcublasLt by the foreign function interface.
final class NativeCublasLt implements CublasLt {
  private final MemorySegment create;
  private final MemorySegment destroy;
  private final MemorySegment version;
  private final MemorySegment matmulDescCreate;
  private final MemorySegment matmulDescSetAttribute;
  private final MemorySegment matmulDescDestroy;
  private final MemorySegment matrixLayoutCreate;
  private final MemorySegment matrixLayoutSetAttribute;
  private final MemorySegment matrixLayoutDestroy;
  private final MemorySegment preferenceCreate;
  private final MemorySegment preferenceSetAttribute;
  private final MemorySegment preferenceDestroy;
  private final MemorySegment matmulAlgoGetHeuristic;
  private final MemorySegment matmul;
  private final MemorySegment statusString;

  /// Finds the functions.
  ///
  /// @throws java.util.NoSuchElementException if the library lacks one
  NativeCublasLt(SymbolLookup library) {
    create = library.findOrThrow("cublasLtCreate");
    destroy = library.findOrThrow("cublasLtDestroy");
    version = library.findOrThrow("cublasLtGetVersion");
    matmulDescCreate = library.findOrThrow("cublasLtMatmulDescCreate");
    matmulDescSetAttribute = library.findOrThrow("cublasLtMatmulDescSetAttribute");
    matmulDescDestroy = library.findOrThrow("cublasLtMatmulDescDestroy");
    matrixLayoutCreate = library.findOrThrow("cublasLtMatrixLayoutCreate");
    matrixLayoutSetAttribute = library.findOrThrow("cublasLtMatrixLayoutSetAttribute");
    matrixLayoutDestroy = library.findOrThrow("cublasLtMatrixLayoutDestroy");
    preferenceCreate = library.findOrThrow("cublasLtMatmulPreferenceCreate");
    preferenceSetAttribute = library.findOrThrow("cublasLtMatmulPreferenceSetAttribute");
    preferenceDestroy = library.findOrThrow("cublasLtMatmulPreferenceDestroy");
    matmulAlgoGetHeuristic = library.findOrThrow("cublasLtMatmulAlgoGetHeuristic");
    matmul = library.findOrThrow("cublasLtMatmul");
    statusString = library.findOrThrow("cublasLtGetStatusString");
  }

  @Override
  public int create(long handle) {
    return call(create, handle);
  }

  @Override
  public int destroy(long handle) {
    return call(destroy, handle);
  }

  @Override
  public long version() {
    return NativeCalls.size(version);
  }

  @Override
  public int matmulDescCreate(long description, int computeType, int scaleType) {
    return call(matmulDescCreate, description, computeType, scaleType);
  }

  @Override
  public int matmulDescSetAttribute(long description, int attribute, long value, long bytes) {
    return call(matmulDescSetAttribute, description, attribute, value, bytes);
  }

  @Override
  public int matmulDescDestroy(long description) {
    return call(matmulDescDestroy, description);
  }

  @Override
  public int matrixLayoutCreate(long layout, int type, long rows, long columns, long leading) {
    return call(matrixLayoutCreate, layout, type, rows, columns, leading);
  }

  @Override
  public int matrixLayoutSetAttribute(long layout, int attribute, long value, long bytes) {
    return call(matrixLayoutSetAttribute, layout, attribute, value, bytes);
  }

  @Override
  public int matrixLayoutDestroy(long layout) {
    return call(matrixLayoutDestroy, layout);
  }

  @Override
  public int preferenceCreate(long preference) {
    return call(preferenceCreate, preference);
  }

  @Override
  public int preferenceSetAttribute(long preference, int attribute, long value, long bytes) {
    return call(preferenceSetAttribute, preference, attribute, value, bytes);
  }

  @Override
  public int preferenceDestroy(long preference) {
    return call(preferenceDestroy, preference);
  }

  @Override
  public int matmulAlgoGetHeuristic(
      long handle, Product product, long preference, int requested, long results, long found) {
    return NativeCalls.heuristic(
        matmulAlgoGetHeuristic, handle, product, preference, requested, results, found);
  }

  @Override
  public int matmul(long handle, Product product, Operands operands, long stream) {
    return NativeCalls.matmul(matmul, handle, product, operands, stream);
  }

  @Override
  public String statusString(int status) {
    return NativeCalls.text(statusString, status);
  }
}
