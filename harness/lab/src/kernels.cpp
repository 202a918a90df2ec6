// What tch 0.24 leaves out of libtorch: in-place updates over lists of tensors, and hooks on gradients.
// A tensor handle is an at::Tensor*, as in torch-sys. Every function returns null, or a message
// that the caller frees.
#include <ATen/core/Tensor.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/_fused_sgd.h>
#include <ATen/ops/empty_like.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cstring>
#include <exception>
#include <memory>
#include <stdexcept>
#include <vector>

namespace {

std::vector<at::Tensor> list(at::Tensor* const* handles, size_t count) {
  std::vector<at::Tensor> tensors;
  tensors.reserve(count);
  for (size_t i = 0; i < count; ++i) tensors.push_back(*handles[i]);
  return tensors;
}

// Gradients laid out in memory as their parameters are: the fused kernels of the CPU go through memory in order and
// never look at strides, and no accumulation of gradients has brought these in line.
std::vector<at::Tensor> laid_out(const std::vector<at::Tensor>& parameters, std::vector<at::Tensor> gradients) {
  for (size_t i = 0; i < gradients.size(); ++i) {
    if (gradients[i].strides() != parameters[i].strides()) {
      gradients[i] = at::empty_like(parameters[i]).copy_(gradients[i]);
    }
  }
  return gradients;
}

// The values of one tensor with the gradient of another.
struct StraightThrough : torch::autograd::Function<StraightThrough> {
  static at::Tensor forward(torch::autograd::AutogradContext*, const at::Tensor&, const at::Tensor& values) {
    return values;
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext*,
                                                 torch::autograd::variable_list gradients) {
    return {gradients[0], at::Tensor()};
  }
};

}  // namespace

extern "C" {

// A new tensor, which the caller owns, with the values of `values` and the gradient of `tensor`.
char* palimpsest_straight_through(const at::Tensor* tensor, const at::Tensor* values, at::Tensor** out) {
  try {
    *out = new at::Tensor(StraightThrough::apply(*tensor, *values));
  } catch (const std::exception& error) {
    return strdup(error.what());
  }
  return nullptr;
}

char* palimpsest_fused_adamw(size_t count, at::Tensor* const* parameters, at::Tensor* const* gradients,
                             at::Tensor* const* first_moments, at::Tensor* const* second_moments,
                             at::Tensor* const* steps, double lr, double beta1, double beta2,
                             double weight_decay, double eps) {
  try {
    const auto moved = list(parameters, count);
    at::_fused_adamw_(moved, laid_out(moved, list(gradients, count)), list(first_moments, count),
                      list(second_moments, count), {}, list(steps, count), lr, beta1, beta2,
                      weight_decay, eps, /*amsgrad=*/false, /*maximize=*/false);
  } catch (const std::exception& error) {
    return strdup(error.what());
  }
  return nullptr;
}

char* palimpsest_fused_sgd(size_t count, at::Tensor* const* parameters, at::Tensor* const* gradients,
                           at::Tensor* const* momenta, double lr, double momentum,
                           double weight_decay, bool nesterov, bool first_step) {
  try {
    const auto moved = list(parameters, count);
    at::_fused_sgd_(moved, laid_out(moved, list(gradients, count)), list(momenta, count),
                    weight_decay, momentum, lr, /*dampening=*/0.0, nesterov, /*maximize=*/false,
                    first_step);
  } catch (const std::exception& error) {
    return strdup(error.what());
  }
  return nullptr;
}

// Calls `call(data, gradient)` with the gradient of `tensor` whenever a backward pass reaches it and passes on
// what it returns, a new tensor that is taken over, or fails with null. `release(data)` follows once, when the
// graph is freed.
char* palimpsest_on_gradient(at::Tensor* tensor, void* data, at::Tensor* (*call)(void*, const at::Tensor*),
                             void (*release)(void*)) {
  std::shared_ptr<void> owner(data, release);
  try {
    tensor->register_hook([owner, call](const at::Tensor& gradient) {
      std::unique_ptr<at::Tensor> changed(call(owner.get(), &gradient));
      if (!changed) throw std::runtime_error("a hook on a gradient failed");
      return *changed;
    });
  } catch (const std::exception& error) {
    return strdup(error.what());
  }
  return nullptr;
}
}
