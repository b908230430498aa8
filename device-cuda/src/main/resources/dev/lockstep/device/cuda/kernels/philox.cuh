// Random numbers by counter: Philox4x32 with 10 rounds (Salmon, Moraes, Dror, Shaw, 2011). A number
// is a pure function of (seed, stream, index).
#pragma once

#include "math.cuh"

struct Words {
  unsigned w[4];
};

// The four words of the block whose key is `seed` and whose counter is (index, stream).
LS_INLINE Words ls_philox(long long seed, long long stream, long long index) {
  unsigned c0 = (unsigned)index;
  unsigned c1 = (unsigned)((unsigned long long)index >> 32);
  unsigned c2 = (unsigned)stream;
  unsigned c3 = (unsigned)((unsigned long long)stream >> 32);
  unsigned k0 = (unsigned)seed;
  unsigned k1 = (unsigned)((unsigned long long)seed >> 32);
#pragma unroll
  for (int round = 0; round < 10; round++) {
    unsigned long long product0 = 0xD2511F53ull * c0;
    unsigned long long product1 = 0xCD9E8D57ull * c2;
    unsigned next0 = (unsigned)(product1 >> 32) ^ c1 ^ k0;
    unsigned next2 = (unsigned)(product0 >> 32) ^ c3 ^ k1;
    c1 = (unsigned)product1;
    c3 = (unsigned)product0;
    c0 = next0;
    c2 = next2;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return Words{{c0, c1, c2, c3}};
}

// A word as a number in [0, 1) with 24 random bits.
LS_INLINE float ls_unit(unsigned word) { return (float)(word >> 8) * 5.9604644775390625e-8f; }
