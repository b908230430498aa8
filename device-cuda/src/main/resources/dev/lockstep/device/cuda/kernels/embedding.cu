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

// Positions in the order in which updates are added: by id, then by block, then ascending. Each
// thread counts who comes before its own position.
extern "C" __global__ void __launch_bounds__(256) rank_ids(
    const int* ids, int* sorted, int count, int outer, int blocks, int rows, int* fault) {
  __shared__ unsigned long long keys[256];
  int inner = count / outer;
  int position = blockIdx.x * 256 + threadIdx.x;
  unsigned long long key = 0;
  if (position < count) {
    int id = ids[position];
    key = (unsigned long long)(unsigned)id << 32 | (unsigned)block_of(position, inner, blocks);
    if (id < 0 || id >= rows) ls_fault(fault, id, position, rows);
  }
  int rank = 0;
  for (int base = 0; base < count; base += 256) {
    int other = base + threadIdx.x;
    if (other < count) {
      keys[threadIdx.x] =
          (unsigned long long)(unsigned)ids[other] << 32 | (unsigned)block_of(other, inner, blocks);
    }
    __syncthreads();
    int n = count - base < 256 ? count - base : 256;
    for (int i = 0; i < n; i++) {
      rank += keys[i] < key || (keys[i] == key && base + i < position);
    }
    __syncthreads();
  }
  if (position < count) sorted[rank] = position;
}

// A thread block per sorted position; the one at which a new id begins sums that row of the table,
// whose other rows are zero before.
extern "C" __global__ void scatter_rows_f32(
    const int* ids, const int* sorted, const float* updates, float* table, int count, int rows,
    int width, int outer, int blocks) {
  int first = blockIdx.x;
  int id = ids[sorted[first]];
  if (id < 0 || id >= rows || (first > 0 && ids[sorted[first - 1]] == id)) return;
  int inner = count / outer;
  for (int column = threadIdx.x; column < width; column += blockDim.x) {
    Tree<LS_TREE_LEVELS> tree;
    int next = first;
    int position = sorted[next];
    bool more = true;
    for (int block = 0; block < blocks; block++) {
      float sum = 0.0f;
      while (more && block_of(position, inner, blocks) == block) {
        sum = sum + updates[(long long)position * width + column];
        next++;
        more = next < count;
        if (more) {
          position = sorted[next];
          more = ids[position] == id;
        }
      }
      tree.push(sum);
    }
    table[(long long)id * width + column] = tree.join();
  }
}
