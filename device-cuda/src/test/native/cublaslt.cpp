// A stand-in for cuBLASLt: layouts, transposes, batches, epilogues and scales by plain loops. An
// element is one chain of fused multiply-adds in float32 over ascending k; the real library adds in
// an order of its own.
#include "numbers.h"

#include <algorithm>
#include <cstdlib>
#include <initializer_list>
#include <map>
#include <mutex>
#include <set>
#include <vector>

#define API extern "C" __attribute__((visibility("default")))

extern "C" int standin_submit(void*, int (*)(void*), int (*)(void*), const void*, size_t);
extern "C" int standin_holds(uint64_t at, size_t bytes);

namespace {

enum : int { OK = 0, NOT_INITIALIZED = 1, INVALID_VALUE = 7, EXECUTION_FAILED = 13, NOT_SUPPORTED = 15 };

enum : int { OP_N = 0, OP_T = 1, ROW = 1, COMPUTE_32F = 68, COMPUTE_FAST_TF32 = 77, POINTER_HOST = 0 };

enum : int { RELU = 2, BIAS = 4, GELU = 32, AUX = 128 };

const uint64_t ALGORITHM = 0x4C6F636B73746570ull;

struct Description {
  int compute;
  int scale;
  int transposeA;
  int transposeB;
  int pointerMode;
  unsigned epilogue;
  int biasType;
  int64_t auxLd;
  const void* bias;
  void* aux;
  const float* scales[4];  // of A, B, C, D
  int8_t fastAccumulation;
};

struct Matrix {
  int type;
  int order;
  int64_t rows;
  int64_t columns;
  int64_t ld;
  int batch;
  int64_t stride;

  int64_t at(int64_t row, int64_t column) const {
    return order == ROW ? row * ld + column : column * ld + row;
  }

  int64_t extent() const {
    int64_t lines = order == ROW ? rows : columns;
    int64_t inLine = order == ROW ? columns : rows;
    int64_t one = lines == 0 || inLine == 0 ? 0 : (lines - 1) * ld + inLine;
    return batch > 1 ? (batch - 1) * stride + one : one;
  }
};

std::mutex& lock = *new std::mutex();
std::set<void*>& handles = *new std::set<void*>();

template <class T>
int make(void** out, T value) {
  auto* made = new T(value);
  std::lock_guard<std::mutex> held(lock);
  handles.insert(made);
  *out = made;
  return OK;
}

bool known(void* handle) {
  std::lock_guard<std::mutex> held(lock);
  return handles.count(handle) > 0;
}

template <class T>
int end(void* handle) {
  std::lock_guard<std::mutex> held(lock);
  if (!handles.erase(handle)) return INVALID_VALUE;
  delete (T*)handle;
  return OK;
}

template <class T>
int set(T& field, const void* value, size_t bytes) {
  if (bytes != sizeof(T)) return INVALID_VALUE;
  memcpy(&field, value, sizeof(T));
  return OK;
}

// What is said of the pointers when an algorithm is asked for; they must keep to it. The library
// takes 256 bytes where nothing is said.
struct Preference {
  uint64_t workspace;
  uint32_t alignment[4];
};

struct Algorithm {
  uint64_t mark;
  uint32_t alignment[4];
  uint64_t reserved[5];
};
static_assert(sizeof(Algorithm) == 64, "as in cublasLt.h");

struct Task {
  Description description;
  float alpha;
  float beta;
  const void* a;
  const void* b;
  const void* c;
  void* d;
  Matrix layoutA;
  Matrix layoutB;
  Matrix layoutC;
  Matrix layoutD;
};

float gelu(float x) {
  return 0.5f * x * (1 + std::tanh(0.7978845608f * (x + 0.044715f * x * x * x)));
}

// One matrix of a batch, transposed if it is to be, row-major.
std::vector<float> operand(const Matrix& layout, const void* from, int index, bool transposed) {
  int64_t rows = transposed ? layout.columns : layout.rows;
  int64_t columns = transposed ? layout.rows : layout.columns;
  std::vector<float> result((size_t)(rows * columns));
  for (int64_t r = 0; r < rows; r++) {
    for (int64_t c = 0; c < columns; c++) {
      int64_t at = transposed ? layout.at(c, r) : layout.at(r, c);
      result[(size_t)(r * columns + c)] =
          loadElement(layout.type, from, index * layout.stride + at);
    }
  }
  return result;
}

float finish(const Task& task, int batch, int64_t row, int64_t column, float sum) {
  const Description& how = task.description;
  float value = task.alpha * sum;
  if (task.beta != 0) {
    int64_t at = batch * task.layoutC.stride + task.layoutC.at(row, column);
    float scale = how.scales[2] ? *how.scales[2] : 1;
    value += task.beta * scale * loadElement(task.layoutC.type, task.c, at);
  }
  if (how.epilogue & BIAS) {
    int type = how.biasType < 0 ? task.layoutD.type : how.biasType;
    value += loadElement(type, how.bias, row);
  }
  if (how.epilogue & AUX) {
    storeElement(task.layoutD.type, how.aux, column * how.auxLd + row, value);
  }
  if (how.epilogue & RELU) value = std::max(value, 0.0f);
  if (how.epilogue & GELU) value = gelu(value);
  return how.scales[3] ? value * *how.scales[3] : value;
}

int run(void* data) {
  Task task = *(Task*)data;
  const Description& how = task.description;
  task.alpha *= (how.scales[0] ? *how.scales[0] : 1) * (how.scales[1] ? *how.scales[1] : 1);
  int64_t m = task.layoutD.rows;
  int64_t n = task.layoutD.columns;
  int64_t k = how.transposeA ? task.layoutA.rows : task.layoutA.columns;
  std::vector<float> sums((size_t)n);
  for (int batch = 0; batch < task.layoutD.batch; batch++) {
    std::vector<float> a = operand(task.layoutA, task.a, batch, how.transposeA);
    std::vector<float> b = operand(task.layoutB, task.b, batch, how.transposeB);
    for (int64_t row = 0; row < m; row++) {
      std::fill(sums.begin(), sums.end(), 0.0f);
      for (int64_t i = 0; i < k; i++) {
        float left = a[(size_t)(row * k + i)];
        const float* right = b.data() + i * n;
        for (int64_t column = 0; column < n; column++) {
          sums[(size_t)column] = std::fma(left, right[column], sums[(size_t)column]);
        }
      }
      for (int64_t column = 0; column < n; column++) {
        float value = finish(task, batch, row, column, sums[(size_t)column]);
        int64_t at = batch * task.layoutD.stride + task.layoutD.at(row, column);
        storeElement(task.layoutD.type, task.d, at, value);
      }
    }
  }
  return 0;
}

bool inside(const Matrix& layout, const void* at) {
  size_t bytes = (size_t)layout.extent() * sizeOf(layout.type);
  return bytes == 0 || standin_holds((uint64_t)at, bytes);
}

bool keeps(const Algorithm& algorithm, std::initializer_list<const void*> pointers) {
  bool kept = algorithm.mark == ALGORITHM;
  int i = 0;
  for (const void* each : pointers) {
    kept = kept && (uint64_t)each % algorithm.alignment[i++] == 0;
  }
  return kept;
}

bool isEight(int type) { return type == R_8F_E4M3 || type == R_8F_E5M2; }

// The rules of the real library that a caller is likely to break.
int check(const Description& how, const Matrix& a, const Matrix& b, const Matrix& c, const Matrix& d) {
  int64_t rows = how.transposeA ? a.columns : a.rows;
  int64_t k = how.transposeA ? a.rows : a.columns;
  int64_t otherK = how.transposeB ? b.columns : b.rows;
  int64_t columns = how.transposeB ? b.rows : b.columns;
  if (rows != d.rows || columns != d.columns || k != otherK) return INVALID_VALUE;
  if (c.rows != d.rows || c.columns != d.columns) return INVALID_VALUE;
  if (a.batch != b.batch || b.batch != d.batch || c.batch != d.batch) return INVALID_VALUE;
  for (const Matrix* each : {&a, &b, &c, &d}) {
    int64_t least = each->order == ROW ? each->columns : each->rows;
    if (each->ld < least || each->rows < 1 || each->columns < 1) return INVALID_VALUE;
    if (sizeOf(each->type) == 0) return NOT_SUPPORTED;
  }
  if (how.compute != COMPUTE_32F && how.compute != COMPUTE_FAST_TF32) return NOT_SUPPORTED;
  if (how.scale != R_32F || how.pointerMode != POINTER_HOST) return NOT_SUPPORTED;
  if ((how.epilogue & ~(unsigned)(1 | RELU | BIAS | GELU | AUX)) || how.epilogue == 0) return NOT_SUPPORTED;
  if (isEight(a.type) != isEight(b.type)) return NOT_SUPPORTED;
  if (isEight(a.type)) {
    // Hopper takes 8-bit floats in one form only, one of them with three bits of fraction, and adds
    // no bias of float32.
    if (a.type == R_8F_E5M2 && b.type == R_8F_E5M2) return NOT_SUPPORTED;
    if ((how.epilogue & BIAS) && how.biasType != R_16BF && d.type != R_16BF) return NOT_SUPPORTED;
    bool tn = how.transposeA && !how.transposeB && a.order != ROW && b.order != ROW;
    if (!tn || k % 16 || rows % 16 || columns % 16) return NOT_SUPPORTED;
  } else if (a.type != b.type) {
    return NOT_SUPPORTED;
  } else if (how.scales[0] || how.scales[1] || how.fastAccumulation) {
    return INVALID_VALUE;
  }
  return OK;
}

}  // namespace

API int cublasLtCreate(void** handle) { return make(handle, 0); }

API int cublasLtDestroy(void* handle) { return end<int>(handle); }

API size_t cublasLtGetVersion() { return 130000; }

API const char* cublasLtGetStatusString(int status) {
  switch (status) {
    case OK: return "CUBLAS_STATUS_SUCCESS";
    case NOT_INITIALIZED: return "CUBLAS_STATUS_NOT_INITIALIZED";
    case INVALID_VALUE: return "CUBLAS_STATUS_INVALID_VALUE";
    case EXECUTION_FAILED: return "CUBLAS_STATUS_EXECUTION_FAILED";
    case NOT_SUPPORTED: return "CUBLAS_STATUS_NOT_SUPPORTED";
    default: return "unknown";
  }
}

API int cublasLtMatmulDescCreate(void** out, int compute, int scale) {
  Description made = {};
  made.compute = compute;
  made.scale = scale;
  made.epilogue = 1;
  made.biasType = -1;
  return make(out, made);
}

API int cublasLtMatmulDescDestroy(void* handle) { return end<Description>(handle); }

API int cublasLtMatmulDescSetAttribute(void* handle, int attribute, const void* value, size_t bytes) {
  if (!known(handle)) return INVALID_VALUE;
  auto& how = *(Description*)handle;
  switch (attribute) {
    case 2: return set(how.pointerMode, value, bytes);
    case 3: return set(how.transposeA, value, bytes);
    case 4: return set(how.transposeB, value, bytes);
    case 7: return set(how.epilogue, value, bytes);
    case 8: return set(how.bias, value, bytes);
    case 11: return set(how.aux, value, bytes);
    case 12: return set(how.auxLd, value, bytes);
    case 17:
    case 18:
    case 19:
    case 20: return set(how.scales[attribute - 17], value, bytes);
    case 26: return set(how.biasType, value, bytes);
    case 15: return OK;  // how many processors: nothing to see here
    case 25: return set(how.fastAccumulation, value, bytes);
    default: return NOT_SUPPORTED;
  }
}

API int cublasLtMatrixLayoutCreate(void** out, int type, uint64_t rows, uint64_t columns, int64_t ld) {
  return make(out, Matrix{type, 0, (int64_t)rows, (int64_t)columns, ld, 1, 0});
}

API int cublasLtMatrixLayoutDestroy(void* handle) { return end<Matrix>(handle); }

API int cublasLtMatrixLayoutSetAttribute(void* handle, int attribute, const void* value, size_t bytes) {
  if (!known(handle)) return INVALID_VALUE;
  auto& layout = *(Matrix*)handle;
  switch (attribute) {
    case 0: return set(layout.type, value, bytes);
    case 1: return set(layout.order, value, bytes);
    case 2: return set(layout.rows, value, bytes);
    case 3: return set(layout.columns, value, bytes);
    case 4: return set(layout.ld, value, bytes);
    case 5: return set(layout.batch, value, bytes);
    case 6: return set(layout.stride, value, bytes);
    default: return NOT_SUPPORTED;
  }
}

API int cublasLtMatmulPreferenceCreate(void** out) {
  return make(out, Preference{0, {256, 256, 256, 256}});
}

API int cublasLtMatmulPreferenceDestroy(void* handle) { return end<Preference>(handle); }

API int cublasLtMatmulPreferenceSetAttribute(void* handle, int attribute, const void* value, size_t bytes) {
  if (!known(handle)) return INVALID_VALUE;
  auto& preference = *(Preference*)handle;
  if (attribute == 1) return set(preference.workspace, value, bytes);
  if (attribute >= 5 && attribute <= 8) return set(preference.alignment[attribute - 5], value, bytes);
  return NOT_SUPPORTED;
}

struct Heuristic {
  Algorithm algorithm;
  size_t workspace;
  int state;
  float waves;
  int reserved[4];
};
static_assert(sizeof(Heuristic) == 96, "as in cublasLt.h");

API int cublasLtMatmulAlgoGetHeuristic(
    void* handle, void* how, void* a, void* b, void* c, void* d, void* preference, int requested,
    Heuristic* results, int* found) {
  if (!known(handle)) return NOT_INITIALIZED;
  for (void* each : {how, a, b, c, d, preference}) {
    if (!known(each)) return INVALID_VALUE;
  }
  if (requested < 1) return INVALID_VALUE;
  *found = 0;
  int status = check(*(Description*)how, *(Matrix*)a, *(Matrix*)b, *(Matrix*)c, *(Matrix*)d);
  if (status != OK) return status;
  *found = 1;
  memset(results, 0, sizeof(Heuristic));
  results->algorithm.mark = ALGORITHM;
  memcpy(results->algorithm.alignment, ((Preference*)preference)->alignment, 16);
  results->waves = 1;
  return OK;
}

API int cublasLtMatmul(
    void* handle, void* how, const float* alpha, const void* a, void* layoutA, const void* b,
    void* layoutB, const float* beta, const void* c, void* layoutC, void* d, void* layoutD,
    const Algorithm* algorithm, void*, size_t, void* stream) {
  if (!known(handle)) return NOT_INITIALIZED;
  for (void* each : {how, layoutA, layoutB, layoutC, layoutD}) {
    if (!known(each)) return INVALID_VALUE;
  }
  if (algorithm && !keeps(*algorithm, {a, b, c, d})) return INVALID_VALUE;
  Task task = {
      *(Description*)how, *alpha, *beta, a, b, c, d, *(Matrix*)layoutA, *(Matrix*)layoutB,
      *(Matrix*)layoutC, *(Matrix*)layoutD};
  int status = check(task.description, task.layoutA, task.layoutB, task.layoutC, task.layoutD);
  if (status != OK) return status;
  bool bound = inside(task.layoutA, a) && inside(task.layoutB, b) && inside(task.layoutD, d) &&
               (*beta == 0 || inside(task.layoutC, c));
  if (!bound) return INVALID_VALUE;
  for (const float* scale : task.description.scales) {
    if (scale && !standin_holds((uint64_t)scale, sizeof(float))) return INVALID_VALUE;
  }
  // Its fast kernels load a bias as they load the result's rows.
  if ((task.description.epilogue & BIAS) && (uint64_t)task.description.bias % 16) return INVALID_VALUE;
  return standin_submit(stream, nullptr, run, &task, sizeof(task)) == 0 ? OK : EXECUTION_FAILED;
}
