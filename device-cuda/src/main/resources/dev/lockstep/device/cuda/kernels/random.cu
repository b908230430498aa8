// Random numbers in [0, 1) by counter, and dropout by them. Element 64 a + 16 w + b of a tensor's row
// of numbers is the upper part of word w of Philox block 16 a + b.
#include "grid.cuh"
#include "philox.cuh"

// A box of a larger tensor: which numbers belong to the elements.
struct Box {
  int rank;
  int pad;
  long long whole[8];
  long long starts[8];
  long long shape[8];
};

LS_INLINE long long whole_elements(const Box& box) {
  long long elements = 1;
  for (int dim = 0; dim < box.rank; dim++) {
    elements *= box.whole[dim];
  }
  return elements;
}

// Whether the box's elements lie side by side in the whole tensor.
LS_INLINE bool contiguous(const Box& box) {
  bool open = false;  // an outer dimension has more than one index
  for (int dim = 0; dim < box.rank; dim++) {
    if (open && box.shape[dim] != box.whole[dim]) return false;
    open = open || box.shape[dim] > 1;
  }
  return true;
}

// Index in the whole tensor of element i of the box.
template <class Index>
LS_INLINE long long index_of(const Box& box, Index i) {
  long long index = 0;
  long long stride = 1;
  for (int dim = box.rank - 1; dim >= 0; dim--) {
    Index next = i / (Index)box.shape[dim];
    index += (box.starts[dim] + (long long)(i - next * (Index)box.shape[dim])) * stride;
    stride *= box.whole[dim];
    i = next;
  }
  return index;
}

// Calls use(element, number) for each element of the box.
template <class Use>
__device__ __forceinline__ void numbers(
    int step, int lane, const Box& box, long long seed, int tensor, long long n, const Use& use) {
  long long stream = (long long)((unsigned long long)(unsigned)tensor << 32 | (unsigned)step);
  long long base = lane * whole_elements(box);
  if (contiguous(box)) {
    // A thread makes a block: four elements that lie 16 apart.
    long long first = base + index_of<unsigned>(box, 0);
    long long firstBlock = (first >> 6) * 16;
    long long blocks = ((first + n + 63) >> 6) * 16 - firstBlock;
    for (long long i = LS_GRID_INDEX; i < blocks; i += LS_GRID_STRIDE) {
      long long block = firstBlock + i;
      Words words = ls_philox(seed, stream, block);
      long long element = (block >> 4) * 64 + (block & 15) - first;
#pragma unroll
      for (int w = 0; w < 4; w++) {
        long long at = element + 16 * w;
        if (at >= 0 && at < n) use(at, ls_unit(words.w[w]));
      }
    }
    return;
  }
  bool small = LS_IS_SMALL(n);
  for (long long i = LS_GRID_INDEX; i < n; i += LS_GRID_STRIDE) {
    long long index = base + (small ? index_of<unsigned>(box, (unsigned)i)
                                    : index_of<unsigned long long>(box, i));
    Words words = ls_philox(seed, stream, (index >> 6) * 16 + (index & 15));
    int w = (int)(index >> 4) & 3;
    unsigned word = w < 2 ? (w == 0 ? words.w[0] : words.w[1]) : (w == 2 ? words.w[2] : words.w[3]);
    use(i, ls_unit(word));
  }
}

struct Keep {
  float* out;

  __device__ __forceinline__ void operator()(long long i, float number) const { out[i] = number; }
};

extern "C" __global__ void uniform_f32(
    const int* step, const int* lane, float* out, const __grid_constant__ Box box, long long seed,
    int tensor, long long n) {
  numbers(*step, *lane, box, seed, tensor, n, Keep{out});
}

struct Drop {
  const float* x;
  float* out;
  float rate;
  float scale;

  __device__ __forceinline__ void operator()(long long i, float number) const {
    out[i] = number < rate ? 0.0f : x[i] * scale;
  }
};

// 0 where the number is below the rate, else x scale; in place allowed.
extern "C" __global__ void dropout_f32(
    const float* x, const int* step, const int* lane, float* out, const __grid_constant__ Box box,
    long long seed, int tensor, float rate, float scale, long long n) {
  numbers(*step, *lane, box, seed, tensor, n, Drop{x, out, rate, scale});
}
