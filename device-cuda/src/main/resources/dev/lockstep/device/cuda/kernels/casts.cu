// Many tensors of float32 rounded to bfloat16 in one launch: what is small takes longer to launch than
// to move.
#include "packs.cuh"
#include "types.cuh"

#define TILE 2048

struct Cast {
  const float* from;
  unsigned short* to;
  long long elements;
  long long firstTile;
};

struct Casts {
  int count;
  int pad;
  Cast cast[60];
};

// A thread block of 256 takes a tile of one tensor.
extern "C" __global__ void __launch_bounds__(256) casts_f32_bf16(
    const __grid_constant__ Casts casts) {
  int c = 0;
  while (c + 1 < casts.count && casts.cast[c + 1].firstTile <= blockIdx.x) {
    c++;
  }
  const Cast& cast = casts.cast[c];
  long long first = (blockIdx.x - cast.firstTile) * TILE;
  if (first + TILE <= cast.elements && ls_packed(cast.from) && ls_packed(cast.to)) {
    Pack<float> x[2];
#pragma unroll
    for (int i = 0; i < 2; i++) {
      x[i] = ls_pack(cast.from, first / 4 + i * 256 + threadIdx.x);
    }
#pragma unroll
    for (int i = 0; i < 2; i++) {
      Pack<unsigned short> y;
#pragma unroll
      for (int k = 0; k < 4; k++) {
        y.at[k] = ls_to_bf16(x[i].at[k]);
      }
      ls_put_pack(cast.to, first / 4 + i * 256 + threadIdx.x, y);
    }
    return;
  }
  for (long long i = first + threadIdx.x; i < first + TILE && i < cast.elements; i += 256) {
    cast.to[i] = ls_to_bf16(cast.from[i]);
  }
}
