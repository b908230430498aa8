// Sums down columns: within a block of rows one ascending chain per column.
//
// A thread block of 256 takes 8 columns (a sector of memory) of one block of rows. All its threads
// load the next tile into registers while the first 8 add the rows of the present one from shared
// memory, so that the chain hides the loads: narrow and deep, since one block of rows is one chain
// and the columns are all that can be shared out.
#pragma once

#include "sums.cuh"

#define LS_COLUMNS 8
#define LS_TILE_ROWS 512

// `Source` loads what belongs to (row, column) and adds such a pair to a chain; its type `Pair` is
// one float or several. `tile` is shared memory for LS_TILE_ROWS * LS_COLUMNS of them. Only the
// results of the first LS_COLUMNS threads count.
template <class Source>
__device__ typename Source::Sums ls_column_sum(
    const Source& source, const Cut& cut, int block, int width, typename Source::Pair* tile) {
  typedef typename Source::Pair Pair;
  const int each = LS_TILE_ROWS * LS_COLUMNS / 256;
  int lane = threadIdx.x % LS_COLUMNS;
  int column = blockIdx.x * LS_COLUMNS + lane;
  int length = cut.length(block);
  int count = cut.count(block);
  Pair next[each] = {};
  typename Source::Sums sums = Source::zero();
  for (int base = -LS_TILE_ROWS; base < count; base += LS_TILE_ROWS) {
#pragma unroll
    for (int i = 0; i < each; i++) {
      int e = base + LS_TILE_ROWS + (int)threadIdx.x / LS_COLUMNS + i * (256 / LS_COLUMNS);
      if (e < count && column < width) next[i] = source.load(cut.at(block, length, e), column);
    }
    if (threadIdx.x < LS_COLUMNS && base >= 0) {
      int rows = count - base < LS_TILE_ROWS ? count - base : LS_TILE_ROWS;
#pragma unroll 8
      for (int r = 0; r < rows; r++) {
        Source::add(tile[r * LS_COLUMNS + lane], sums);
      }
    }
    __syncthreads();
#pragma unroll
    for (int i = 0; i < each; i++) {
      tile[threadIdx.x + i * 256] = next[i];
    }
    __syncthreads();
  }
  return sums;
}
