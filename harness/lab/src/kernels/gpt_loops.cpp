// A small GPT on the CPU, forward, backward and one position at a time, without libtorch.
//
// Compiled once per instruction set (GPT_LOOPS names the result), so it includes nothing whose inline functions
// could be linked into code for older processors. All arithmetic is on 16 lanes, whatever the registers hold, and
// every output is summed in the order of its inner index: results do not depend on the batch a row is in, nor,
// where there are fused multiply-adds, on the width of the registers.
#include "gpt.h"

namespace {

constexpr int LANES = 16;
// Lanes of a register; columns (of 16) and column times rows of a product's tile, as many as registers hold.
#if defined(__AVX512F__)
constexpr int REGISTER = 16, WIDEST = 4, TALLEST = 24;
#elif defined(__AVX2__)
constexpr int REGISTER = 8, WIDEST = 1, TALLEST = 6;
#elif defined(__aarch64__)
constexpr int REGISTER = 4, WIDEST = 1, TALLEST = 6;
#else
constexpr int REGISTER = 4, WIDEST = 1, TALLEST = 2;
#endif
constexpr int PARTS = LANES / REGISTER;
typedef float Register __attribute__((vector_size(4 * REGISTER)));
typedef float Piece __attribute__((vector_size(4 * REGISTER), aligned(4), may_alias));
typedef int32_t Ints __attribute__((vector_size(4 * REGISTER)));
typedef float Eight __attribute__((vector_size(32)));
typedef float Four __attribute__((vector_size(16)));

// 16 numbers that a row is summed into, number n into n % 16.
struct Lanes {
  Register part[PARTS];
};

constexpr float EPSILON = 1e-5f;
// Rows that go through a block together, so that what is between its products stays in the cache.
constexpr int64_t CHUNK = 128;
constexpr int64_t PER_BLOCK = 12;

inline const Piece* at(const float* p) { return reinterpret_cast<const Piece*>(p); }
inline Piece* at(float* p) { return reinterpret_cast<Piece*>(p); }
inline Register load(const float* p) { return *at(p); }
inline void store(float* p, Register x) { *at(p) = x; }
inline int64_t round_up(int64_t n) { return (n + LANES - 1) / LANES * LANES; }
inline int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
inline int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }
inline void zero(float* p, int64_t n) { __builtin_memset(p, 0, sizeof(float) * n); }

#if defined(__AVX512F__)
inline Register same(float x) { return Register{x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x}; }
inline Ints places() { return Ints{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}; }
#elif defined(__AVX2__)
inline Register same(float x) { return Register{x, x, x, x, x, x, x, x}; }
inline Ints places() { return Ints{0, 1, 2, 3, 4, 5, 6, 7}; }
#else
inline Register same(float x) { return Register{x, x, x, x}; }
inline Ints places() { return Ints{0, 1, 2, 3}; }
#endif

struct Add {
  template <typename T>
  static T of(T a, T b) { return a + b; }
};

struct Largest {
  template <typename T>
  static T of(T a, T b) { return a > b ? a : b; }
};

// 16 numbers to one: n with n + 8, then n + 4, n + 2, n + 1.
template <typename Operation>
inline float fold(const Lanes& x) {
#if defined(__AVX512F__)
  Register all = x.part[0];
  Eight eight = Operation::of(__builtin_shufflevector(all, all, 0, 1, 2, 3, 4, 5, 6, 7),
                              __builtin_shufflevector(all, all, 8, 9, 10, 11, 12, 13, 14, 15));
#elif defined(__AVX2__)
  Eight eight = Operation::of(x.part[0], x.part[1]);
#endif
#if defined(__AVX2__)
  Four four = Operation::of(__builtin_shufflevector(eight, eight, 0, 1, 2, 3),
                            __builtin_shufflevector(eight, eight, 4, 5, 6, 7));
#else
  Four four = Operation::of(Operation::of(x.part[0], x.part[2]), Operation::of(x.part[1], x.part[3]));
#endif
  return Operation::of(Operation::of(four[0], four[2]), Operation::of(four[1], four[3]));
}

inline float sum(const Lanes& x) { return fold<Add>(x); }

// e^x to about 1 unit in the last place (the polynomial of Cephes' expf); not a number stays so.
inline Register exponential(Register x) {
  x = x > same(88.0f) ? same(88.0f) : x;
  x = x < same(-87.0f) ? same(-87.0f) : x;
  const float magic = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer.
  Register n = x * 1.44269504088896341f + magic;
  n = n - magic;
  Register r = x - n * 0.693359375f;
  r = r - n * -2.12194440e-4f;
  Register y = same(1.9875691500e-4f);
  y = y * r + 1.3981999507e-3f;
  y = y * r + 8.3334519073e-3f;
  y = y * r + 4.1665795894e-2f;
  y = y * r + 1.6666665459e-1f;
  y = y * r + 5.0000001201e-1f;
  y = y * (r * r) + r + 1.0f;
  Ints power = (__builtin_convertvector(n, Ints) + 127) << 23;
  return y * (Register)power;
}

// ---- Products -------------------------------------------------------------------------------------------------

// A factor read by element: row r, column k at data[r * row + k * column].
struct Left {
  const float* data;
  int64_t row, column;
  Left at(int64_t r) const { return {data + r * row, row, column}; }
};

// What a product is added to: a row of biases, a matrix, or nothing.
struct Start {
  const float* bias;
  const float* matrix;
  int64_t stride;
};

template <int ROWS, int COLUMNS>
inline __attribute__((always_inline)) void tile(int64_t inner, Left a, const float* b, int64_t b_stride, Start start,
                                                float* c, int64_t c_stride) {
  constexpr int PIECES = COLUMNS * (LANES / REGISTER);
  Register acc[ROWS][PIECES];
#pragma GCC unroll 24
  for (int r = 0; r < ROWS; ++r)
#pragma GCC unroll 4
    for (int j = 0; j < PIECES; ++j) {
      acc[r][j] = start.bias ? load(start.bias + REGISTER * j) : Register{};
      if (start.matrix) acc[r][j] += load(start.matrix + r * start.stride + REGISTER * j);
    }
  for (int64_t k = 0; k < inner; ++k) {
    Register right[PIECES];
#pragma GCC unroll 4
    for (int j = 0; j < PIECES; ++j) right[j] = load(b + k * b_stride + REGISTER * j);
#pragma GCC unroll 24
    for (int r = 0; r < ROWS; ++r) {
      Register left = same(a.data[r * a.row + k * a.column]);
#pragma GCC unroll 4
      for (int j = 0; j < PIECES; ++j) acc[r][j] += left * right[j];
    }
  }
#pragma GCC unroll 24
  for (int r = 0; r < ROWS; ++r)
#pragma GCC unroll 4
    for (int j = 0; j < PIECES; ++j) store(c + r * c_stride + REGISTER * j, acc[r][j]);
}

template <int N>
struct Count {
  static constexpr int value = N;
};

template <int COLUMNS>
void columns(int64_t rows, int64_t inner, Left a, const float* b, int64_t b_stride, Start start, float* c,
             int64_t c_stride) {
  constexpr int TALL = TALLEST / COLUMNS < 12 ? TALLEST / COLUMNS : 12;
  int64_t r = 0;
  auto one = [&](auto count) __attribute__((always_inline)) {
    constexpr int ROWS = decltype(count)::value;
    Start from = {start.bias, start.matrix ? start.matrix + r * start.stride : nullptr, start.stride};
    tile<ROWS, COLUMNS>(inner, a.at(r), b, b_stride, from, c + r * c_stride, c_stride);
    r += ROWS;
  };
  while (rows - r >= TALL) one(Count<TALL>{});
  if constexpr (TALL > 4) while (rows - r >= 4) one(Count<4>{});
  if constexpr (TALL > 2) while (rows - r >= 2) one(Count<2>{});
  while (rows - r >= 1) one(Count<1>{});
}

inline int64_t panel(int64_t left) {
  int64_t width = WIDEST * LANES;
  while (width > left) width /= 2;
  return width;
}

// C = start + A B for C rows x width, `width` a multiple of 16; B row-major with `b_stride`, or packed when that is 0.
void product(int64_t rows, int64_t width, int64_t inner, Left a, const float* b, int64_t b_stride, Start start,
             float* c, int64_t c_stride) {
  for (int64_t n = 0; n < width;) {
    int64_t wide = panel(width - n);
    const float* right = b_stride ? b + n : b + n * inner;
    int64_t stride = b_stride ? b_stride : wide;
    Start from = {start.bias ? start.bias + n : nullptr, start.matrix ? start.matrix + n : nullptr, start.stride};
    if (wide == 16) columns<1>(rows, inner, a, right, stride, from, c + n, c_stride);
    if constexpr (WIDEST > 1) {
      if (wide == 32) columns<2>(rows, inner, a, right, stride, from, c + n, c_stride);
      if (wide == 64) columns<4>(rows, inner, a, right, stride, from, c + n, c_stride);
    }
    n += wide;
  }
}

// Panels of B (inner x width; element k, n at b[k * row + n * column]), padded with zeros to 16 columns.
void pack_panels(int64_t inner, int64_t width, const float* b, int64_t row, int64_t column, float* packed) {
  int64_t padded = round_up(width);
  for (int64_t n = 0; n < padded;) {
    int64_t wide = panel(padded - n);
    for (int64_t j = 0; j < wide; ++j)
      for (int64_t k = 0; k < inner; ++k)
        packed[n * inner + k * wide + j] = n + j < width ? b[k * row + (n + j) * column] : 0.0f;
    n += wide;
  }
}

// gradient (rows of `outputs` x `inputs`) += Y^T X over `count` rows of Y and X.
void weight_gradient(int64_t count, int64_t outputs, int64_t inputs, const float* y, const float* x,
                     float* gradient) {
  product(outputs, inputs, count, {y, 1, outputs}, x, inputs, {nullptr, gradient, inputs}, gradient, inputs);
}

void add_rows(int64_t count, int64_t width, const float* y, float* total) {
  for (int64_t n = 0; n < width; n += REGISTER) {
    Register sum = load(total + n);
    for (int64_t r = 0; r < count; ++r) sum += load(y + r * width + n);
    store(total + n, sum);
  }
}

// ---- Rows -----------------------------------------------------------------------------------------------------

// Calls work(n, part) for every register's worth of a row; `part` is its place in Lanes.
template <typename Work>
inline __attribute__((always_inline)) void over(int64_t width, Work work) {
  for (int64_t n = 0; n < width; n += LANES)
#pragma GCC unroll 4
    for (int part = 0; part < PARTS; ++part) work(n + part * REGISTER, part);
}

// One row: unit receives (x - mean) / deviation and y its scaled form; `unit` may be null. Returns 1 / deviation.
inline float normalise(int64_t width, const float* x, const float* scale, const float* shift, float* unit, float* y) {
  Lanes total{}, squares{};
  over(width, [&](int64_t n, int part) { total.part[part] += load(x + n); });
  float mean = sum(total) / width;
  over(width, [&](int64_t n, int part) {
    Register centred = load(x + n) - mean;
    squares.part[part] += centred * centred;
  });
  float inverse = 1.0f / __builtin_sqrtf(sum(squares) / width + EPSILON);
  for (int64_t n = 0; n < width; n += REGISTER) {
    Register value = (load(x + n) - mean) * inverse;
    if (unit) store(unit + n, value);
    store(y + n, value * load(scale + n) + load(shift + n));
  }
  return inverse;
}

void scale_rows(int64_t count, int64_t width, const float* unit, const float* scale, const float* shift, float* y) {
  for (int64_t r = 0; r < count; ++r)
    for (int64_t n = 0; n < width; n += REGISTER)
      store(y + r * width + n, load(unit + r * width + n) * load(scale + n) + load(shift + n));
}

// dx = (or with `add`, +=) the gradient of the normalisation's input.
void normalise_backward(int64_t count, int64_t width, const float* dy, const float* unit, const float* inverse,
                        const float* scale, float* d_scale, float* d_shift, float* dx, bool add) {
  for (int64_t r = 0; r < count; ++r) {
    const float *g = dy + r * width, *u = unit + r * width;
    Lanes total{}, product{};
    over(width, [&](int64_t n, int part) {
      Register d = load(g + n), v = load(u + n);
      store(d_scale + n, load(d_scale + n) + d * v);
      store(d_shift + n, load(d_shift + n) + d);
      d *= load(scale + n);
      total.part[part] += d;
      product.part[part] += d * v;
    });
    float mean = sum(total) / width, along = sum(product) / width, factor = inverse[r];
    for (int64_t n = 0; n < width; n += REGISTER) {
      Register d = load(g + n) * load(scale + n) - mean - load(u + n) * along;
      float* out = dx + r * width + n;
      store(out, add ? load(out) + d * factor : d * factor);
    }
  }
}

// y = gelu(x) in GPT-2's form, x / (1 + e^(-2z)); with `slope`, also its derivative, which may lie over x.
void gelu(int64_t count, const float* x, float* y, float* slope) {
  const float root = 0.7978845608028654f, cubic = 0.044715f;
  for (int64_t n = 0; n < count; n += REGISTER) {
    Register v = load(x + n), square = v * v;
    Register twice = v * (2.0f * root) * (square * cubic + 1.0f);
    Register gate = 1.0f / (exponential(-twice) + 1.0f);
    store(y + n, v * gate);
    if (slope)
      store(slope + n, gate + v * gate * (1.0f - gate) * (2.0f * root) * (square * (3.0f * cubic) + 1.0f));
  }
}

// Softmax of factor * the first `seen` of `padded` scores, in place; zeros behind them.
inline void softmax(int64_t seen, int64_t padded, float factor, float* scores) {
  const Register none = same(-__builtin_inff());
  auto inside = [&](int64_t n) { return places() + (int32_t)n < (int32_t)seen; };
  Lanes top, total{};
  for (int part = 0; part < PARTS; ++part) top.part[part] = none;
  over(seen, [&](int64_t n, int part) {
    Register s = inside(n) ? load(scores + n) : none;
    top.part[part] = Largest::of(s, top.part[part]);
  });
  float highest = fold<Largest>(top);
  over(seen, [&](int64_t n, int part) {
    Register p = exponential((load(scores + n) - highest) * factor);
    p = inside(n) ? p : Register{};
    total.part[part] += p;
    store(scores + n, p);
  });
  float inverse = 1.0f / sum(total);
  int64_t whole = round_up(seen);
  for (int64_t n = 0; n < whole; n += REGISTER) store(scores + n, load(scores + n) * inverse);
  zero(scores + whole, padded - whole);
}

// `length` rows of `width` columns with `stride` to `width` rows of round_up(length).
void transpose(int64_t length, int64_t width, const float* x, int64_t stride, float* y) {
  int64_t padded = round_up(length);
  for (int64_t c = 0; c < width; ++c) {
    for (int64_t t = 0; t < length; ++t) y[c * padded + t] = x[t * stride + c];
    for (int64_t t = length; t < padded; ++t) y[c * padded + t] = 0.0f;
  }
}

inline float score_factor(int64_t head_width) { return 1.0f / __builtin_sqrtf((float)head_width); }

// ---- Layout ---------------------------------------------------------------------------------------------------

const Start NOTHING = {nullptr, nullptr, 0};

struct Block {
  const float *scale1, *shift1, *qkv, *qkv_bias, *out, *out_bias, *scale2, *shift2, *up, *up_bias, *down, *down_bias;
  Block(const float* const* p, int64_t layer) {
    p += 2 + PER_BLOCK * layer;
    scale1 = p[0], shift1 = p[1], qkv = p[2], qkv_bias = p[3], out = p[4], out_bias = p[5];
    scale2 = p[6], shift2 = p[7], up = p[8], up_bias = p[9], down = p[10], down_bias = p[11];
  }
};

// Packed W^T of every matrix: per block qkv, out, up, down; then the head and its padded bias.
struct Packed {
  int64_t d;
  const float* start;
  Packed(const GptShape* s, const float* packed) : d(s->width), start(packed) {}
  const float* qkv(int64_t layer) const { return start + 12 * d * d * layer; }
  const float* out(int64_t layer) const { return qkv(layer) + 3 * d * d; }
  const float* up(int64_t layer) const { return qkv(layer) + 4 * d * d; }
  const float* down(int64_t layer) const { return qkv(layer) + 8 * d * d; }
  const float* head(int64_t depth) const { return qkv(depth); }
  const float* head_bias(const GptShape* s) const { return head(s->depth) + d * round_up(s->vocabulary); }
};

int64_t packed_size(const GptShape* s) {
  return 12 * s->width * s->width * s->depth + (s->width + 1) * round_up(s->vocabulary);
}

void pack(const GptShape* s, const float* const* p, float* packed) {
  int64_t d = s->width;
  Packed at(s, packed);
  auto writable = [](const float* q) { return const_cast<float*>(q); };
  for (int64_t layer = 0; layer < s->depth; ++layer) {
    Block b(p, layer);
    pack_panels(d, 3 * d, b.qkv, 1, d, writable(at.qkv(layer)));
    pack_panels(d, d, b.out, 1, d, writable(at.out(layer)));
    pack_panels(d, 4 * d, b.up, 1, d, writable(at.up(layer)));
    pack_panels(4 * d, d, b.down, 1, 4 * d, writable(at.down(layer)));
  }
  const float* const* last = p + 2 + PER_BLOCK * s->depth;
  pack_panels(d, s->vocabulary, last[2], 1, d, writable(at.head(s->depth)));
  float* bias = writable(at.head_bias(s));
  for (int64_t n = 0; n < round_up(s->vocabulary); ++n) bias[n] = n < s->vocabulary ? last[3][n] : 0.0f;
}

// Activations of one block over all rows, then of the last normalisation.
struct Saved {
  float *unit1, *inverse1, *qkv, *weights, *attended, *unit2, *inverse2, *active, *slope;
  static int64_t size(const GptShape* s, int64_t batch, int64_t length) {
    int64_t rows = batch * length;
    return rows * (14 * s->width + 2) + batch * s->heads * length * round_up(length);
  }
  Saved(const GptShape* s, int64_t batch, int64_t length, float* start, int64_t layer) {
    int64_t rows = batch * length, d = s->width;
    unit1 = start + size(s, batch, length) * layer;
    unit2 = unit1 + rows * d, attended = unit2 + rows * d, qkv = attended + rows * d;
    active = qkv + 3 * rows * d, slope = active + 4 * rows * d;
    inverse1 = slope + 4 * rows * d, inverse2 = inverse1 + rows, weights = inverse2 + rows;
  }
  static float* last(const GptShape* s, int64_t batch, int64_t length, float* start) {
    return start + size(s, batch, length) * s->depth;
  }
};

int64_t saved_size(const GptShape* s, int64_t batch, int64_t length) {
  return Saved::size(s, batch, length) * s->depth + batch * length * (s->width + 1);
}

int64_t sequences_at_once(int64_t length) { return most(1, CHUNK / length); }

int64_t scratch_size(const GptShape* s, int64_t length) {
  int64_t rows = sequences_at_once(length) * length, d = s->width, padded = round_up(length);
  int64_t wide = most(d, round_up(s->vocabulary));
  int64_t transposed = 2 * d / s->heads * padded;
  int64_t weights = 12 * d * d + d * round_up(s->vocabulary);
  return rows * (d + 4 * d + d + wide) + 2 * length * padded + transposed + weights +
         s->heads * length * padded + rows * (14 * d + 2 + s->heads * padded);
}

// ---- Attention ------------------------------------------------------------------------------------------------

// One sequence, one head: qkv points at its queries; weights are length x padded.
void attend(const GptShape* s, int64_t length, const float* qkv, float* weights, float* attended, float* keys) {
  int64_t d = s->width, wide = d / s->heads, padded = round_up(length), stride = 3 * d;
  transpose(length, wide, qkv + d, stride, keys);
  for (int64_t i = 0; i < length; i += LANES) {
    int64_t rows = least(LANES, length - i), seen = s->causal ? i + rows : length;
    float* w = weights + i * padded;
    product(rows, round_up(seen), wide, {qkv + i * stride, stride, 1}, keys, padded, NOTHING, w, padded);
    for (int64_t r = 0; r < rows; ++r)
      softmax(s->causal ? i + r + 1 : length, padded, score_factor(wide), w + r * padded);
    product(rows, wide, seen, {w, padded, 1}, qkv + 2 * d, stride, NOTHING, attended + i * d, d);
  }
}

// d_qkv points at the gradient of the queries, and so on as above.
void attend_backward(const GptShape* s, int64_t length, const float* qkv, const float* weights, const float* d_attended,
                     float* d_qkv, float* scores, float* values) {
  int64_t d = s->width, wide = d / s->heads, padded = round_up(length), stride = 3 * d;
  float factor = score_factor(wide);
  transpose(length, wide, qkv + 2 * d, stride, values);
  for (int64_t i = 0; i < length; i += LANES) {
    int64_t rows = least(LANES, length - i), seen = s->causal ? i + rows : length;
    float* ds = scores + i * padded;
    product(rows, round_up(seen), wide, {d_attended + i * d, d, 1}, values, padded, NOTHING, ds, padded);
    for (int64_t r = 0; r < rows; ++r) {
      const float* w = weights + (i + r) * padded;
      float* g = ds + r * padded;
      Lanes total{};
      over(seen, [&](int64_t n, int part) { total.part[part] += load(w + n) * load(g + n); });
      float along = sum(total);
      for (int64_t n = 0; n < seen; n += REGISTER) store(g + n, load(w + n) * (load(g + n) - along) * factor);
    }
    product(rows, wide, seen, {ds, padded, 1}, qkv + d, stride, NOTHING, d_qkv + i * stride, stride);
  }
  // Keys and values j are seen from rows i >= j on.
  for (int64_t j = 0; j < length; j += LANES) {
    int64_t rows = least(LANES, length - j), from = s->causal ? j : 0;
    int64_t corner = from * padded + j;
    product(rows, wide, length - from, {scores + corner, 1, padded}, qkv + from * stride, stride, NOTHING,
            d_qkv + d + j * stride, stride);
    product(rows, wide, length - from, {weights + corner, 1, padded}, d_attended + from * d, d, NOTHING,
            d_qkv + 2 * d + j * stride, stride);
  }
}

// ---- Training -------------------------------------------------------------------------------------------------

void forward(const GptShape* s, const float* const* p, const float* packed, const int64_t* tokens, int64_t batch,
             int64_t length, bool head, float* saved, float* scratch, float* output) {
  int64_t d = s->width, padded = round_up(length), square = s->heads * length * padded;
  int64_t padded_v = round_up(s->vocabulary);
  Packed at(s, packed);
  int64_t group = sequences_at_once(length);
  float* x = scratch;
  float* y = x + group * length * d;
  float* keys = y + group * length * most(d, padded_v);
  float* unsaved = keys + d / s->heads * padded;
  for (int64_t first = 0; first < batch; first += group) {
    int64_t sequences = least(group, batch - first), rows = sequences * length, row = first * length;
    for (int64_t r = 0; r < rows; ++r) {
      const float *token = p[0] + tokens[row + r] * d, *place = p[1] + r % length * d;
      for (int64_t n = 0; n < d; n += REGISTER) store(x + r * d + n, load(token + n) + load(place + n));
    }
    for (int64_t layer = 0; layer < s->depth; ++layer) {
      Block b(p, layer);
      // Without `saved`, one chunk's activations of one block are kept at a time.
      Saved a(s, saved ? batch : group, length, saved ? saved : unsaved, saved ? layer : 0);
      int64_t offset = saved ? row : 0;
      float *unit1 = a.unit1 + offset * d, *unit2 = a.unit2 + offset * d, *qkv = a.qkv + 3 * offset * d;
      float *attended = a.attended + offset * d, *active = a.active + 4 * offset * d, *slope = a.slope + 4 * offset * d;
      float* weights = a.weights + (saved ? first : 0) * square;
      for (int64_t r = 0; r < rows; ++r)
        a.inverse1[offset + r] = normalise(d, x + r * d, b.scale1, b.shift1, unit1 + r * d, y + r * d);
      product(rows, 3 * d, d, {y, d, 1}, at.qkv(layer), 0, {b.qkv_bias, nullptr, 0}, qkv, 3 * d);
      for (int64_t i = 0; i < sequences; ++i)
        for (int64_t h = 0; h < s->heads; ++h) {
          int64_t column = h * (d / s->heads);
          attend(s, length, qkv + 3 * i * length * d + column, weights + i * square + h * length * padded,
                 attended + i * length * d + column, keys);
        }
      product(rows, d, d, {attended, d, 1}, at.out(layer), 0, {b.out_bias, x, d}, x, d);
      for (int64_t r = 0; r < rows; ++r)
        a.inverse2[offset + r] = normalise(d, x + r * d, b.scale2, b.shift2, unit2 + r * d, y + r * d);
      product(rows, 4 * d, d, {y, d, 1}, at.up(layer), 0, {b.up_bias, nullptr, 0}, slope, 4 * d);
      gelu(rows * 4 * d, slope, active, saved ? slope : nullptr);
      product(rows, d, 4 * d, {active, 4 * d, 1}, at.down(layer), 0, {b.down_bias, x, d}, x, d);
    }
    const float* const* last = p + 2 + PER_BLOCK * s->depth;
    float* unit = saved ? Saved::last(s, batch, length, saved) : nullptr;
    float* hidden = head ? x : output + row * d;
    for (int64_t r = 0; r < rows; ++r) {
      float inverse = normalise(d, x + r * d, last[0], last[1], unit ? unit + (row + r) * d : nullptr, hidden + r * d);
      if (unit) unit[batch * length * d + row + r] = inverse;
    }
    if (!head) continue;
    int64_t v = s->vocabulary;
    float* logits = v == padded_v ? output + row * v : y;
    product(rows, padded_v, d, {hidden, d, 1}, at.head(s->depth), 0, {at.head_bias(s), nullptr, 0}, logits, padded_v);
    if (v != padded_v)
      for (int64_t r = 0; r < rows; ++r)
        __builtin_memcpy(output + (row + r) * v, y + r * padded_v, sizeof(float) * v);
  }
}

void backward(const GptShape* s, const float* const* p, const int64_t* tokens, int64_t batch, int64_t length, bool head,
              const float* kept, float* scratch, const float* dy, float* dx, int64_t lowest, float* const* g) {
  int64_t d = s->width, padded = round_up(length), square = s->heads * length * padded;
  int64_t v = s->vocabulary, padded_v = round_up(v);
  float* saved = const_cast<float*>(kept);  // Only read.
  int64_t group = sequences_at_once(length), most_rows = group * length;
  float* packed = scratch;
  float* wide = packed + 12 * d * d + d * padded_v;
  float* narrow = wide + 4 * d * most_rows;
  float* again = narrow + d * most_rows;
  float* scores = again + most_rows * most(d, padded_v);
  float* values = scores + length * padded;
  const float* const* last = p + 2 + PER_BLOCK * s->depth;
  float* const* last_g = g + 2 + PER_BLOCK * s->depth;
  auto chunks = [&](auto work) {
    for (int64_t first = 0; first < batch; first += group) work(first, least(group, batch - first));
  };
  if (head) pack_panels(v, d, last[2], d, 1, packed);
  float* unit = Saved::last(s, batch, length, saved);
  const float* inverse = unit + batch * length * d;
  chunks([&](int64_t first, int64_t sequences) {
    int64_t row = first * length, rows = sequences * length;
    const float* dh = dy + row * d;
    if (head) {
      const float* dl = dy + row * v;
      scale_rows(rows, d, unit + row * d, last[0], last[1], again);
      weight_gradient(rows, v, d, dl, again, last_g[2]);
      for (int64_t r = 0; r < rows; ++r)
        for (int64_t n = 0; n < v; ++n) last_g[3][n] += dl[r * v + n];
      product(rows, d, v, {dl, v, 1}, packed, 0, NOTHING, narrow, d);
      dh = narrow;
    }
    normalise_backward(rows, d, dh, unit + row * d, inverse + row, last[0], last_g[0], last_g[1], dx + row * d, false);
  });
  for (int64_t layer = s->depth - 1; layer >= 0 && layer + 1 >= lowest; --layer) {
    Block b(p, layer);
    float* const* t = g + 2 + PER_BLOCK * layer;
    Saved a(s, batch, length, saved, layer);
    float *down = packed, *up = down + 4 * d * d, *out = up + 4 * d * d, *qkv = out + d * d;
    pack_panels(d, 4 * d, b.down, 4 * d, 1, down);
    pack_panels(4 * d, d, b.up, d, 1, up);
    pack_panels(d, d, b.out, d, 1, out);
    pack_panels(3 * d, d, b.qkv, d, 1, qkv);
    chunks([&](int64_t first, int64_t sequences) {
      int64_t row = first * length, rows = sequences * length;
      float* dr = dx + row * d;
      const float *active = a.active + 4 * row * d, *slope = a.slope + 4 * row * d;
      // x + down(gelu(up(norm(x))))
      weight_gradient(rows, d, 4 * d, dr, active, t[10]);
      add_rows(rows, d, dr, t[11]);
      product(rows, 4 * d, d, {dr, d, 1}, down, 0, NOTHING, wide, 4 * d);
      for (int64_t n = 0; n < rows * 4 * d; n += REGISTER) store(wide + n, load(wide + n) * load(slope + n));
      scale_rows(rows, d, a.unit2 + row * d, b.scale2, b.shift2, again);
      weight_gradient(rows, 4 * d, d, wide, again, t[8]);
      add_rows(rows, 4 * d, wide, t[9]);
      product(rows, d, 4 * d, {wide, 4 * d, 1}, up, 0, NOTHING, narrow, d);
      normalise_backward(rows, d, narrow, a.unit2 + row * d, a.inverse2 + row, b.scale2, t[6], t[7], dr, true);
      // x + out(attend(qkv(norm(x))))
      weight_gradient(rows, d, d, dr, a.attended + row * d, t[4]);
      add_rows(rows, d, dr, t[5]);
      product(rows, d, d, {dr, d, 1}, out, 0, NOTHING, narrow, d);
      for (int64_t i = 0; i < sequences; ++i)
        for (int64_t h = 0; h < s->heads; ++h) {
          int64_t column = h * (d / s->heads);
          attend_backward(s, length, a.qkv + 3 * (row + i * length) * d + column,
                          a.weights + (first + i) * square + h * length * padded, narrow + i * length * d + column,
                          wide + 3 * i * length * d + column, scores, values);
        }
      scale_rows(rows, d, a.unit1 + row * d, b.scale1, b.shift1, again);
      weight_gradient(rows, 3 * d, d, wide, again, t[2]);
      add_rows(rows, 3 * d, wide, t[3]);
      product(rows, d, 3 * d, {wide, 3 * d, 1}, qkv, 0, NOTHING, narrow, d);
      normalise_backward(rows, d, narrow, a.unit1 + row * d, a.inverse1 + row, b.scale1, t[0], t[1], dr, true);
    });
  }
  if (lowest > 0) return;
  for (int64_t r = 0; r < batch * length; ++r) {
    float *token = g[0] + tokens[r] * d, *place = g[1] + r % length * d;
    for (int64_t n = 0; n < d; n += REGISTER) {
      Register value = load(dx + r * d + n);
      store(token + n, load(token + n) + value);
      store(place + n, load(place + n) + value);
    }
  }
}

// ---- Generation -----------------------------------------------------------------------------------------------

// Per block, row and head: keys, head width x padded capacity, then values, capacity x head width.
int64_t cache_size(const GptShape* s, int64_t rows, int64_t capacity) {
  return 2 * s->depth * rows * s->width * round_up(capacity);
}

int64_t step_size(const GptShape* s, int64_t rows, int64_t capacity) {
  return rows * (s->width * 7 + round_up(s->vocabulary)) + round_up(capacity);
}

void step(const GptShape* s, const float* const* p, const float* packed, float* cache, int64_t cache_rows,
          int64_t capacity, const int64_t* rows, const int64_t* slots, const int64_t* positions, const int64_t* tokens,
          int64_t count, float* scratch, float* logits) {
  int64_t d = s->width, wide = d / s->heads, padded = round_up(capacity), padded_v = round_up(s->vocabulary);
  Packed at(s, packed);
  float *x = scratch, *y = x + count * d, *z = y + count * d, *big = z + count * d;
  float *padded_logits = big + 4 * count * d, *scores = padded_logits + count * padded_v;
  for (int64_t r = 0; r < count; ++r) {
    const float *token = p[0] + tokens[r] * d, *place = p[1] + positions[r] * d;
    for (int64_t n = 0; n < d; n += REGISTER) store(x + r * d + n, load(token + n) + load(place + n));
  }
  for (int64_t layer = 0; layer < s->depth; ++layer) {
    Block b(p, layer);
    for (int64_t r = 0; r < count; ++r) normalise(d, x + r * d, b.scale1, b.shift1, nullptr, y + r * d);
    product(count, 3 * d, d, {y, d, 1}, at.qkv(layer), 0, {b.qkv_bias, nullptr, 0}, big, 3 * d);
    for (int64_t r = 0; r < count; ++r)
      for (int64_t h = 0; h < s->heads; ++h) {
        const float* q = big + 3 * r * d + h * wide;
        float* keys = cache + ((layer * cache_rows + rows[r]) * s->heads + h) * 2 * wide * padded;
        float* values = keys + wide * padded;
        int64_t slot = slots[r], seen = slot + 1;
        for (int64_t c = 0; c < wide; ++c) keys[c * padded + slot] = q[d + c];
        for (int64_t c = 0; c < wide; c += REGISTER) store(values + slot * wide + c, load(q + 2 * d + c));
        product(1, round_up(seen), wide, {q, 0, 1}, keys, padded, NOTHING, scores, padded);
        softmax(seen, round_up(seen), score_factor(wide), scores);
        product(1, wide, seen, {scores, 0, 1}, values, wide, NOTHING, z + r * d + h * wide, d);
      }
    product(count, d, d, {z, d, 1}, at.out(layer), 0, {b.out_bias, x, d}, x, d);
    for (int64_t r = 0; r < count; ++r) normalise(d, x + r * d, b.scale2, b.shift2, nullptr, y + r * d);
    product(count, 4 * d, d, {y, d, 1}, at.up(layer), 0, {b.up_bias, nullptr, 0}, big, 4 * d);
    gelu(count * 4 * d, big, big, nullptr);
    product(count, d, 4 * d, {big, 4 * d, 1}, at.down(layer), 0, {b.down_bias, x, d}, x, d);
  }
  if (!logits) return;
  const float* const* last = p + 2 + PER_BLOCK * s->depth;
  for (int64_t r = 0; r < count; ++r) normalise(d, x + r * d, last[0], last[1], nullptr, y + r * d);
  product(count, padded_v, d, {y, d, 1}, at.head(s->depth), 0, {at.head_bias(s), nullptr, 0}, padded_logits, padded_v);
  for (int64_t r = 0; r < count; ++r)
    __builtin_memcpy(logits + r * s->vocabulary, padded_logits + r * padded_v, sizeof(float) * s->vocabulary);
}

}  // namespace

#define NAMED(prefix, isa) prefix##isa
#define JOINED(prefix, isa) NAMED(prefix, isa)
#define TEXT(isa) #isa
#define QUOTED(isa) TEXT(isa)

extern "C" const GptLoops JOINED(palimpsest_gpt_, GPT_LOOPS) = {
    QUOTED(GPT_LOOPS), packed_size, pack,       saved_size, scratch_size, forward,
    backward,          cache_size,  step_size, step,
};
