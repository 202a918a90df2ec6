// The loops of gpt_loops.cpp for libtorch: their choice by processor, and a node of the autograd graph.
// Every function that can fail returns null, or a message that the caller frees.
#include "gpt.h"

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros_like.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cstring>
#include <exception>
#include <vector>

extern "C" {
#if defined(__x86_64__)
extern const GptLoops palimpsest_gpt_avx512, palimpsest_gpt_avx2;
#endif
extern const GptLoops palimpsest_gpt_base;
}

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// The loops of this processor, best first; null behind the last.
const GptLoops* loops(size_t index) {
  const GptLoops* known[4] = {};
  size_t count = 0;
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("fma"))
    known[count++] = &palimpsest_gpt_avx512;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) known[count++] = &palimpsest_gpt_avx2;
#endif
  known[count++] = &palimpsest_gpt_base;
  return index < count ? known[index] : nullptr;
}

std::vector<const float*> pointers(at::TensorList parameters) {
  std::vector<const float*> all;
  all.reserve(parameters.size());
  for (const auto& parameter : parameters) all.push_back(parameter.const_data_ptr<float>());
  return all;
}

at::Tensor floats(int64_t count) { return at::empty({count}, at::kFloat); }

// Layer of a parameter: 0 the tables, 1 to L the blocks, L + 1 the last normalisation and the head.
int64_t layer_of(int64_t parameter, const GptShape& shape) {
  return parameter < 2 ? 0 : std::min((parameter - 2) / 12, shape.depth) + 1;
}

at::Tensor run(const GptLoops* loops, const GptShape& shape, bool head, const at::Tensor& tokens,
               at::TensorList parameters, const at::Tensor& saved) {
  int64_t batch = tokens.size(0), length = tokens.size(1);
  auto weights = pointers(parameters);
  auto packed = floats(loops->packed_size(&shape)), scratch = floats(loops->scratch_size(&shape, length));
  auto output = at::empty({batch, length, head ? shape.vocabulary : shape.width}, at::kFloat);
  loops->pack(&shape, weights.data(), packed.mutable_data_ptr<float>());
  loops->forward(&shape, weights.data(), packed.const_data_ptr<float>(), tokens.const_data_ptr<int64_t>(), batch,
                 length, head, saved.defined() ? saved.mutable_data_ptr<float>() : nullptr,
                 scratch.mutable_data_ptr<float>(), output.mutable_data_ptr<float>());
  return output;
}

struct Gpt : torch::autograd::Function<Gpt> {
  static at::Tensor forward(AutogradContext* context, const GptLoops* loops, const GptShape& shape, bool head,
                            const at::Tensor& tokens, at::TensorList parameters) {
    auto saved = floats(loops->saved_size(&shape, tokens.size(0), tokens.size(1)));
    auto output = run(loops, shape, head, tokens, parameters, saved);
    variable_list kept{tokens, saved};
    kept.insert(kept.end(), parameters.begin(), parameters.end());
    context->save_for_backward(std::move(kept));
    context->saved_data["loops"] = reinterpret_cast<int64_t>(loops);
    context->saved_data["shape"] = std::vector<int64_t>{shape.width,      shape.heads,   shape.depth,
                                                        shape.vocabulary, shape.context, shape.causal};
    context->saved_data["head"] = head;
    return output;
  }

  static variable_list backward(AutogradContext* context, const variable_list& output_gradients) {
    TORCH_CHECK(!at::GradMode::is_enabled(),
                "the fused transformer has no second derivatives; use the plain operations for them");
    auto kept = context->get_saved_variables();
    auto* loops = reinterpret_cast<const GptLoops*>(context->saved_data["loops"].toInt());
    auto sizes = context->saved_data["shape"].toIntVector();
    GptShape shape{sizes[0], sizes[1], sizes[2], sizes[3], sizes[4], sizes[5] != 0};
    bool head = context->saved_data["head"].toBool();
    const at::Tensor &tokens = kept[0], &saved = kept[1];
    at::TensorList parameters = at::TensorList(kept).slice(2);
    int64_t batch = tokens.size(0), length = tokens.size(1), count = parameters.size();

    // Edges of the graph: the tokens, then the parameters.
    auto needed = [&](int64_t i) { return context->needs_input_grad(i + 1); };
    int64_t lowest = shape.depth + 1;
    for (int64_t i = count - 1; i >= 0; --i)
      if (needed(i)) lowest = layer_of(i, shape);
    variable_list gradients(count);
    std::vector<float*> sums(count, nullptr);
    for (int64_t i = 0; i < count; ++i) {
      if (layer_of(i, shape) < lowest) continue;
      gradients[i] = at::zeros_like(parameters[i]);
      sums[i] = gradients[i].mutable_data_ptr<float>();
    }
    auto weights = pointers(parameters);
    auto scratch = floats(loops->scratch_size(&shape, length)), hidden = floats(batch * length * shape.width);
    auto output_gradient = output_gradients[0].contiguous();
    loops->backward(&shape, weights.data(), tokens.const_data_ptr<int64_t>(), batch, length, head,
                    saved.const_data_ptr<float>(), scratch.mutable_data_ptr<float>(),
                    output_gradient.const_data_ptr<float>(), hidden.mutable_data_ptr<float>(), lowest, sums.data());

    variable_list result(4);  // Loops, shape, head, tokens.
    for (int64_t i = 0; i < count; ++i) {
      bool used = head || i + 2 < count;
      result.push_back(used && needed(i) ? gradients[i] : at::Tensor());
    }
    return result;
  }
};

}  // namespace

extern "C" {

const GptLoops* palimpsest_gpt_loops(size_t index) { return loops(index); }

// Parameters and tokens are contiguous on the CPU, of the kinds and sizes that the shape says.
char* palimpsest_gpt_forward(const GptLoops* loops, const GptShape* shape, bool head, const at::Tensor* tokens,
                             at::Tensor* const* handles, size_t count, at::Tensor** output) {
  try {
    variable_list parameters;
    parameters.reserve(count);
    bool differentiable = false;
    for (size_t i = 0; i < count; ++i) {
      parameters.push_back(*handles[i]);
      differentiable |= handles[i]->requires_grad();
    }
    at::Tensor result = differentiable && at::GradMode::is_enabled()
                            ? Gpt::apply(loops, *shape, head, *tokens, at::TensorList(parameters))
                            : run(loops, *shape, head, *tokens, parameters, {});
    *output = new at::Tensor(std::move(result));
  } catch (const std::exception& error) {
    return strdup(error.what());
  }
  return nullptr;
}
}
