// Loops over weights on the CPU for which libtorch takes several operations each, to the same bits.
//
// Compiled once per instruction set (WEIGHTS_LOOPS names the result), so it includes nothing whose inline functions
// could be linked into code for older processors (of <utility> it takes a type); and without fused multiply-adds, which round once where the
// operations round twice.
#include "weights.h"

#include <utility>

namespace {

constexpr int LANES = 8;
typedef float Floats __attribute__((vector_size(4 * LANES)));
typedef int32_t Ints __attribute__((vector_size(4 * LANES)));
typedef float Piece __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

inline Floats load(const float* p) { return *reinterpret_cast<const Piece*>(p); }
inline void store(float* p, Floats x) { *reinterpret_cast<Piece*>(p) = x; }
inline Ints same(int32_t x) { return Ints{x, x, x, x, x, x, x, x}; }
inline Ints least(Ints a, Ints b) { return a < b ? a : b; }
inline Ints most(Ints a, Ints b) { return a > b ? a : b; }

// Magnitudes as whole numbers, in the order of the magnitudes.
inline Ints key(Floats w) { return (Ints)w & 0x7fffffff; }
inline int32_t key(float w) {
  int32_t bits;
  __builtin_memcpy(&bits, &w, sizeof bits);
  return bits & 0x7fffffff;
}

// ---- N:M masks ------------------------------------------------------------------------------------------------

// What is asked for, from some weight on.
struct Job {
  const float* weights;
  int64_t kept, group;
  float change;
  float *seen, *added;

  Job from(int64_t i) const { return {weights + i, kept, group, change, seen + i, added ? added + i : nullptr}; }

  void put(int64_t i, Floats w, Ints stays) const {
    Floats less = (Floats)(~stays & (Ints)(w * change));
    store(seen + i, w + less);
    if (added) store(added + i, less);
  }

  void put(int64_t i, bool stays) const {
    float less = stays ? 0.0f : change * weights[i];
    seen[i] = weights[i] + less;
    if (added) added[i] = less;
  }
};

inline int32_t reach(const Job& job, int32_t bound) {
  int32_t count = 0;
  for (int64_t i = 0; i < job.group; ++i) count += key(job.weights[i]) >= bound;
  return count;
}

// One group of any size: halves the range of its keys until as many lie above as stay.
void by_halving(const Job& job) {
  const float* w = job.weights;
  int32_t low = INT32_MAX, top = 0;
  for (int64_t i = 0; i < job.group; ++i) {
    int32_t own = key(w[i]);
    low = own < low ? own : low;
    top = own > top ? own : top;
  }
  // More than `kept` reach `low`, fewer `high`, and as many as `surplus` says too many reach `bound`.
  int64_t high = (int64_t)top + 1, surplus = job.group - job.kept;
  int32_t bound = low;
  while (surplus != 0 && high - low > 1) {
    bound = (int32_t)(low + (high - low) / 2);
    surplus = reach(job, bound) - job.kept;
    if (surplus > 0) low = bound;
    if (surplus < 0) high = bound;
  }
  if (surplus < 0) bound = low, surplus = reach(job, low) - job.kept;
  int64_t i = 0;
  if (surplus == 0) {
    for (; i + LANES <= job.group; i += LANES) {
      Floats own = load(w + i);
      job.put(i, own, key(own) >= same(bound));
    }
  }
  for (; i < job.group; ++i) {
    // Of the equal ones at the bound the first are dropped.
    bool first = surplus > 0 && key(w[i]) == bound;
    job.put(i, !first && key(w[i]) >= bound);
    surplus -= first;
  }
}

void by_halving(const Job& job, int64_t from, int64_t to) {
  for (int64_t i = from; i < to; i += job.group) by_halving(job.from(i));
}

// Groups of two or four, side by side in a register: a weight stays where fewer than `kept` of its group rank
// above it, and among equal ones the later does.
template <int M>
inline Ints above(Ints own) {
  if constexpr (M == 2) {
    Ints other = __builtin_shufflevector(own, own, 1, 0, 3, 2, 5, 4, 7, 6);
    return other > own - Ints{1, 0, 1, 0, 1, 0, 1, 0};
  } else {
    Ints one = __builtin_shufflevector(own, own, 1, 2, 3, 0, 5, 6, 7, 4);
    Ints two = __builtin_shufflevector(own, own, 2, 3, 0, 1, 6, 7, 4, 5);
    Ints three = __builtin_shufflevector(own, own, 3, 0, 1, 2, 7, 4, 5, 6);
    return (one > own - Ints{1, 1, 1, 0, 1, 1, 1, 0}) + (two > own - Ints{1, 1, 0, 0, 1, 1, 0, 0}) +
           (three > own - Ints{1, 0, 0, 0, 1, 0, 0, 0});
  }
}

template <int M>
void side_by_side(const Job& job, int64_t count) {
  int64_t whole = count / LANES * LANES;
  Ints kept = same((int32_t)job.kept);
  for (int64_t i = 0; i < whole; i += LANES) {
    Floats w = load(job.weights + i);
    // A comparison that holds is -1.
    job.put(i, w, -above<M>(key(w)) < kept);
  }
  by_halving(job, whole, count);
}

// Eight rows of eight as columns.
inline void transpose(const Ints* row, Ints* column) {
  Ints a[8], b[8];
  for (int i = 0; i < 8; i += 2) {
    a[i] = __builtin_shufflevector(row[i], row[i + 1], 0, 8, 1, 9, 4, 12, 5, 13);
    a[i + 1] = __builtin_shufflevector(row[i], row[i + 1], 2, 10, 3, 11, 6, 14, 7, 15);
  }
  for (int i = 0; i < 8; i += 4) {
    for (int j = i; j < i + 2; ++j) {
      b[2 * j - i] = __builtin_shufflevector(a[j], a[j + 2], 0, 1, 8, 9, 4, 5, 12, 13);
      b[2 * j - i + 1] = __builtin_shufflevector(a[j], a[j + 2], 2, 3, 10, 11, 6, 7, 14, 15);
    }
  }
  for (int i = 0; i < 4; ++i) {
    column[i] = __builtin_shufflevector(b[i], b[i + 4], 0, 1, 2, 3, 8, 9, 10, 11);
    column[i + 4] = __builtin_shufflevector(b[i], b[i + 4], 4, 5, 6, 7, 12, 13, 14, 15);
  }
}

inline void order(Ints& low, Ints& high) {
  Ints least_of_both = least(low, high);
  high = most(low, high);
  low = least_of_both;
}

// The K smallest of M keys in every lane, ascending.
template <int M, int K>
inline void smallest(const Ints* keys, Ints* found) {
  for (int k = 0; k < K; ++k) found[k] = same(INT32_MAX);
#pragma GCC unroll 32
  for (int i = 0; i < M; ++i) {
    Ints own = keys[i];
#pragma GCC unroll 4
    for (int k = 0; k < K; ++k) {
      order(found[k], own);
    }
  }
}

// Pairs of a network that sorts M keys: Batcher's (Knuth, volume 3, algorithm 5.2.2M).
template <int M>
struct Network {
  int count = 0, low[8 * M] = {}, high[8 * M] = {};

  constexpr Network() {
    for (int p = M / 2; p > 0; p /= 2) {
      for (int q = M / 2, r = 0, d = p;; d = q - p, q /= 2, r = p) {
        for (int i = 0; i < M - d; ++i) {
          if ((i & p) == r) low[count] = i, high[count++] = i + d;
        }
        if (q == p) break;
      }
    }
  }
};

// Sorts M keys in every lane, without a loop.
template <int M, int... PAIR>
inline void sort(Ints* keys, std::integer_sequence<int, PAIR...>) {
  constexpr Network<M> network;
  (order(keys[network.low[PAIR]], keys[network.high[PAIR]]), ...);
}

// The least of the K largest (or, flipped, of the others) and the next key on its other side, in every lane.
template <int M, int K>
inline void ends(const Ints* keys, Ints* found, Ints flip) {
  Ints flipped[M];
  for (int i = 0; i < M; ++i) flipped[i] = keys[i] ^ flip;
  smallest<M, K>(flipped, found);
  for (int k = 0; k < K; ++k) found[k] ^= flip;
}

// Eight groups of eight, 16 or 32 at a time, each in a lane: those of its keys stay that reach its bound. Where
// equal keys lie on both sides of a bound, these groups go one by one.
template <int M>
void in_lanes(const Job& job, int64_t count) {
  int64_t whole = count / (LANES * M) * (LANES * M), kept = job.kept, dropped = M - job.kept;
  for (int64_t at = 0; at < whole; at += LANES * M) {
    const float* w = job.weights + at;
    Ints keys[M], found[4], bound, beyond;
    for (int part = 0; part < M; part += 8) {
      Ints rows[8];
      for (int lane = 0; lane < LANES; ++lane) rows[lane] = key(load(w + lane * M + part));
      transpose(rows, keys + part);
    }
    if (kept == 1) {
      ends<M, 2>(keys, found, same(-1));
      bound = found[0], beyond = found[1];
    } else if (dropped == 1) {
      ends<M, 2>(keys, found, same(0));
      bound = found[1], beyond = found[0];
    } else if (kept == 2) {
      ends<M, 3>(keys, found, same(-1));
      bound = found[1], beyond = found[2];
    } else {
      sort<M>(keys, std::make_integer_sequence<int, Network<M>().count>());
      bound = keys[dropped], beyond = keys[dropped - 1];
    }
    Ints tied = bound == beyond;
    int32_t bounds[LANES], any = 0;
    for (int lane = 0; lane < LANES; ++lane) bounds[lane] = bound[lane], any |= tied[lane];
    if (any) {
      by_halving(job, at, at + LANES * M);
      continue;
    }
    for (int lane = 0; lane < LANES; ++lane) {
      for (int part = 0; part < M; part += 8) {
        int64_t i = at + lane * M + part;
        Floats own = load(job.weights + i);
        job.put(i, own, key(own) >= same(bounds[lane]));
      }
    }
  }
  by_halving(job, whole, count);
}

void fade(const float* weights, int64_t count, int64_t kept, int64_t group, float change, float* seen,
          float* added) {
  Job job{weights, kept, group, change, seen, added};
  if (kept == group) {
    for (int64_t i = 0; i < count; ++i) job.put(i, true);
    return;
  }
  switch (group) {
    case 2: return side_by_side<2>(job, count);
    case 4: return side_by_side<4>(job, count);
    case 8: return in_lanes<8>(job, count);
    case 16: return in_lanes<16>(job, count);
    case 32: return in_lanes<32>(job, count);
    default: return by_halving(job, 0, count);
  }
}

// ---- Perturbed weights ----------------------------------------------------------------------------------------

void subtract(float* moved, const float* along, int64_t count, float rate) {
  for (int64_t i = 0; i < count; ++i) moved[i] -= rate * along[i];
}

void displace(const float* from, const float* along, int64_t count, float by, float* there, float* back) {
  for (int64_t i = 0; i < count; ++i) {
    float step = by * along[i];
    there[i] = from[i] + step;
    back[i] = from[i] - step;
  }
}

void channels_last(const float* from, int64_t outer, int64_t inner, int64_t places, float* to) {
  for (int64_t o = 0; o < outer; ++o) {
    for (int64_t place = 0; place < places; ++place) {
      for (int64_t i = 0; i < inner; ++i) to[i] = from[i * places + place];
      to += inner;
    }
    from += inner * places;
  }
}

}  // namespace

#define JOINED_(prefix, name) prefix##name
#define JOINED(prefix, name) JOINED_(prefix, name)

extern "C" const WeightLoops JOINED(palimpsest_weights_, WEIGHTS_LOOPS) = {fade, subtract, displace, channels_last};
