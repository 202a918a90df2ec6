// The loops of weights_loops.cpp for libtorch: their choice by processor, and which tensors they can go through.
// Every function returns null, or a message that the caller frees; where tensors do not lie as the loops take them
// (in single precision, on the CPU, densely and all alike), it leaves everything as it is.
#include "weights.h"

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty_like.h>
#include <torch/csrc/autograd/variable.h>

#include <cstring>
#include <exception>
#include <vector>

extern "C" {
#if defined(__x86_64__)
extern const WeightLoops palimpsest_weights_avx512, palimpsest_weights_avx2;
#endif
extern const WeightLoops palimpsest_weights_base;
}

namespace {

const WeightLoops& weight_loops() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512bw"))
    return palimpsest_weights_avx512;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return palimpsest_weights_avx2;
#endif
  return palimpsest_weights_base;
}

bool is_float_on_cpu(const at::Tensor& tensor) {
  return tensor.device().is_cpu() && tensor.scalar_type() == at::kFloat && tensor.layout() == at::kStrided;
}

// Whether memory holds the rows of a weight in order: of filters with the channels fastest.
bool in_rows(const at::Tensor& tensor) {
  return tensor.is_contiguous(tensor.dim() == 4 ? at::MemoryFormat::ChannelsLast : at::MemoryFormat::Contiguous);
}

bool lie_alike(const at::Tensor& one, const at::Tensor& other) {
  return is_float_on_cpu(one) && is_float_on_cpu(other) && one.is_non_overlapping_and_dense() &&
         one.sizes() == other.sizes() && one.strides() == other.strides();
}

at::Tensor* kept(at::Tensor tensor) { return new at::Tensor(std::move(tensor)); }

}  // namespace

extern "C" {

// `seen` and, unless it is null, `added` become new tensors that the caller owns, as `fade` fills them. The
// gradient of `seen` goes where that of `weight` goes, without a node between them.
char* palimpsest_fade(const at::Tensor* weight, int64_t kept_weights, int64_t group, float change, at::Tensor** seen,
                      at::Tensor** added) {
  try {
    if (!is_float_on_cpu(*weight) || !in_rows(*weight)) return nullptr;
    int64_t rows = weight->dim() > 0 ? weight->size(0) : 0, count = weight->numel();
    TORCH_CHECK(0 < kept_weights && kept_weights <= group && rows > 0 && count / rows % group == 0, "groups of ", group,
                " with ", kept_weights, " that stay do not go into rows of ", rows > 0 ? count / rows : 0);
    at::Tensor values = at::empty_like(*weight);
    at::Tensor less = added ? at::empty_like(*weight) : at::Tensor();
    weight_loops().fade(weight->const_data_ptr<float>(), count, kept_weights, group, change,
                        values.mutable_data_ptr<float>(), added ? less.mutable_data_ptr<float>() : nullptr);
    if (at::GradMode::is_enabled() && weight->requires_grad()) {
      namespace graph = torch::autograd::impl;
      graph::set_gradient_edge(values, graph::gradient_edge(*weight));
    }
    if (added) *added = kept(std::move(less));
    *seen = kept(std::move(values));
  } catch (const std::exception& error) {
    return strdup(error.what());
  }
  return nullptr;
}

// `moved` -= rate * `along`, one by one. `done` says of each whether it was.
char* palimpsest_subtract(size_t count, at::Tensor* const* moved, at::Tensor* const* along, float rate, bool* done) {
  try {
    for (size_t i = 0; i < count; ++i) {
      done[i] = lie_alike(*moved[i], *along[i]);
      if (!done[i]) continue;
      weight_loops().subtract(moved[i]->mutable_data_ptr<float>(), along[i]->const_data_ptr<float>(), moved[i]->numel(),
                              rate);
      torch::autograd::impl::bump_version(*moved[i]);
    }
  } catch (const std::exception& error) {
    return strdup(error.what());
  }
  return nullptr;
}

// Fills `there` and `back` with new tensors that the caller owns, or neither.
char* palimpsest_displace(size_t count, at::Tensor* const* from, at::Tensor* const* along, float by,
                          at::Tensor** there, at::Tensor** back) {
  try {
    for (size_t i = 0; i < count; ++i) {
      if (!lie_alike(*from[i], *along[i])) return nullptr;
    }
    std::vector<at::Tensor> either(2 * count);
    for (size_t i = 0; i < count; ++i) {
      at::Tensor &up = either[2 * i], &down = either[2 * i + 1];
      up = at::empty_like(*along[i]), down = at::empty_like(*along[i]);
      weight_loops().displace(from[i]->const_data_ptr<float>(), along[i]->const_data_ptr<float>(), from[i]->numel(), by,
                              up.mutable_data_ptr<float>(), down.mutable_data_ptr<float>());
    }
    for (size_t i = 0; i < count; ++i) {
      there[i] = kept(std::move(either[2 * i]));
      back[i] = kept(std::move(either[2 * i + 1]));
    }
  } catch (const std::exception& error) {
    return strdup(error.what());
  }
  return nullptr;
}

// Fills `out` with new tensors that the caller owns, which lie as `like` do and hold `values` in logical order, one
// tensor after the other; or does nothing.
char* palimpsest_lay_out(const float* values, size_t numbers, size_t count, at::Tensor* const* like,
                         at::Tensor** out) {
  try {
    size_t wanted = 0;
    for (size_t i = 0; i < count; ++i) {
      if (!is_float_on_cpu(*like[i]) || !in_rows(*like[i])) return nullptr;
      wanted += like[i]->numel();
    }
    TORCH_CHECK(wanted == numbers, numbers, " numbers for ", wanted, " places");
    std::vector<at::Tensor> parts(count);
    for (size_t i = 0; i < count; ++i) {
      const at::Tensor& own = *like[i];
      parts[i] = at::empty_like(own);
      float* to = parts[i].mutable_data_ptr<float>();
      if (own.dim() == 4) {
        weight_loops().channels_last(values, own.size(0), own.size(1), own.size(2) * own.size(3), to);
      } else {
        std::memcpy(to, values, sizeof(float) * own.numel());
      }
      values += own.numel();
    }
    for (size_t i = 0; i < count; ++i) out[i] = kept(std::move(parts[i]));
  } catch (const std::exception& error) {
    return strdup(error.what());
  }
  return nullptr;
}
}
