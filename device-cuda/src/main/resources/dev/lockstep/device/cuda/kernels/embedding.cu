// Rows of a table taken by ids, and rows added into a table in the order of their ids: no atomics, so
// the bits do not depend on the run. Of the updates that name one row, those in one block of ids are
// added ascending; the blocks' sums are joined by the tree.
#include "grid.cuh"
#include "sums.cuh"

template <class T>
__device__ __forceinline__ void copy_row(const char* from, char* to, long long bytes) {
  long long n = bytes / (long long)sizeof(T);
  for (long long i = threadIdx.x % 32; i < n; i += 32) {
    ((T*)to)[i] = ((const T*)from)[i];
  }
}

// A warp per id.
extern "C" __global__ void gather_rows(
    const char* table, const int* ids, char* out, long long count, long long rowBytes, int rows,
    int* fault) {
  unsigned long long alignment =
      (unsigned long long)table | (unsigned long long)out | (unsigned long long)rowBytes;
  for (long long i = LS_GRID_INDEX / 32; i < count; i += LS_GRID_STRIDE / 32) {
    int id = ids[i];
    if (id < 0 || id >= rows) {
      if (threadIdx.x % 32 == 0) ls_fault(fault, id, (int)i, rows);
      continue;
    }
    const char* from = table + id * rowBytes;
    char* to = out + i * rowBytes;
    if ((alignment & 15) == 0) {
      copy_row<uint4>(from, to, rowBytes);
    } else if ((alignment & 3) == 0) {
      copy_row<unsigned>(from, to, rowBytes);
    } else {
      copy_row<unsigned char>(from, to, rowBytes);
    }
  }
}

// The block that position `i` of the ids lies in.
static __device__ __forceinline__ int block_of(int i, int inner, int blocks) {
  long long within = i % inner;
  return (int)(((within + 1) * blocks - 1) / inner);
}

// Positions in the order in which updates are added: by id, then by block, then ascending. A warp
// counts, for 32 positions, who comes before each of them in an eighth of every 256 others; the eight
// counts of a position are added.
extern "C" __global__ void __launch_bounds__(256) rank_ids(
    const int* ids, int* sorted, int count, int outer, int blocks, int rows, int* fault) {
  __shared__ unsigned long long keys[256];
  __shared__ int ranks[256];
  int inner = count / outer;
  int position = blockIdx.x * 32 + threadIdx.x % 32;
  unsigned long long key = 0;
  if (position < count) {
    int id = ids[position];
    key = (unsigned long long)(unsigned)id << 32 | (unsigned)block_of(position, inner, blocks);
    if (threadIdx.x < 32 && (id < 0 || id >= rows)) ls_fault(fault, id, position, rows);
  }
  int slice = threadIdx.x / 32 * 32;
  int rank = 0;
  for (int base = 0; base < count; base += 256) {
    int other = base + threadIdx.x;
    // What is beyond the end comes after everything.
    keys[threadIdx.x] = other >= count ? ~0ULL
                                       : (unsigned long long)(unsigned)ids[other] << 32 |
                                             (unsigned)block_of(other, inner, blocks);
    __syncthreads();
    // Of equal keys those with the lower position come before.
    int before = (base + slice) / 32 - (int)blockIdx.x;
    if (before < 0) {
#pragma unroll
      for (int i = 0; i < 32; i++) {
        rank += keys[slice + i] <= key;
      }
    } else if (before > 0) {
#pragma unroll
      for (int i = 0; i < 32; i++) {
        rank += keys[slice + i] < key;
      }
    } else {
      for (int i = 0; i < 32; i++) {
        rank += keys[slice + i] < key || (keys[slice + i] == key && base + slice + i < position);
      }
    }
    __syncthreads();
  }
  ranks[threadIdx.x] = rank;
  __syncthreads();
  if (threadIdx.x < 32 && position < count) {
    for (int i = 32; i < 256; i += 32) {
      rank += ranks[threadIdx.x + i];
    }
    sorted[rank] = position;
  }
}

// A thread block per sorted position and 256 columns; the one at which a new id begins sums its part
// of that row of the table, whose other rows are zero before.
extern "C" __global__ void __launch_bounds__(256) scatter_rows_f32(
    const int* ids, const int* sorted, const float* updates, float* table, int count, int rows,
    int width, int outer, int blocks) {
  __shared__ int run[256];
  int first = blockIdx.x;
  int id = ids[sorted[first]];
  if (id < 0 || id >= rows || (first > 0 && ids[sorted[first - 1]] == id)) return;
  int inner = count / outer;
  int column = blockIdx.y * 256 + threadIdx.x;
  Tree<LS_TREE_LEVELS> tree;
  float sum = 0.0f;
  int block = 0;
  int length = 256;
  for (int base = first; length == 256; base += 256) {
    // The positions that follow with the same id, then -1.
    int next = base + threadIdx.x;
    int position = next < count ? sorted[next] : -1;
    __syncthreads();
    run[threadIdx.x] = position >= 0 && ids[position] == id ? position : -1;
    __syncthreads();
    length = 0;
    for (int step = 256; step > 0; step /= 2) {
      if (length + step <= 256 && run[length + step - 1] >= 0) length += step;
    }
    if (column >= width) continue;
    if (blocks == 1) {
#pragma unroll 8
      for (int i = 0; i < length; i++) {
        sum = sum + updates[(long long)run[i] * width + column];
      }
    } else {
      for (int i = 0; i < length; i++) {
        int of = block_of(run[i], inner, blocks);
        for (; block < of; block++) {
          tree.push(sum);
          sum = 0.0f;
        }
        sum = sum + updates[(long long)run[i] * width + column];
      }
    }
  }
  if (column >= width) return;
  for (; block < blocks; block++) {
    tree.push(sum);
    sum = 0.0f;
  }
  table[(long long)id * width + column] = tree.join();
}
