// What the loops of gpt_loops.cpp, compiled once per instruction set, and their callers agree on.
// Matrices are row-major floats; parameters come in the order of models/gpt.rs.
#pragma once
#include <cstdint>

extern "C" {

struct GptShape {
  int64_t width;       // d, a multiple of 16.
  int64_t heads;       // Each d / heads wide, a multiple of 16.
  int64_t depth;       // L
  int64_t vocabulary;  // V
  int64_t context;     // Rows of the table of positions.
  bool causal;
};

// One set of loops.
struct GptLoops {
  const char* name;

  // Floats of the weights as pack() lays them out.
  int64_t (*packed_size)(const GptShape*);
  void (*pack)(const GptShape*, const float* const* parameters, float* packed);

  // Training: activations that backward() needs, and scratch space of either direction, in floats.
  int64_t (*saved_size)(const GptShape*, int64_t batch, int64_t length);
  int64_t (*scratch_size)(const GptShape*, int64_t length);
  // Output: batch x length x d, or x V with the head. `saved` may be null.
  void (*forward)(const GptShape*, const float* const* parameters, const float* packed, const int64_t* tokens,
                  int64_t batch, int64_t length, bool head, float* saved, float* scratch, float* output);
  // Adds to `gradients`, one per parameter, those of layers `lowest` (0: tables, 1 ... L: blocks) and above.
  void (*backward)(const GptShape*, const float* const* parameters, const int64_t* tokens, int64_t batch,
                   int64_t length, bool head, const float* saved, float* scratch, const float* output_gradient,
                   float* hidden_gradient, int64_t lowest, float* const* gradients);

  // Generation: keys and values of `rows` rows over `capacity` positions, and scratch space, in floats.
  int64_t (*cache_size)(const GptShape*, int64_t rows, int64_t capacity);
  int64_t (*step_size)(const GptShape*, int64_t rows, int64_t capacity);
  // Feeds token i, which stands at its position, to slot slots[i] of row rows[i] of the cache, behind all that the
  // row holds; logits are count x V, or null for none.
  void (*step)(const GptShape*, const float* const* parameters, const float* packed, float* cache,
               int64_t cache_rows, int64_t capacity, const int64_t* rows, const int64_t* slots,
               const int64_t* positions, const int64_t* tokens, int64_t count, float* scratch, float* logits);
};
}
