// Modules of TorchScript as functions of their tensors: every parameter and buffer is handed in at each call, so
// that gradients reach whatever stands in a parameter's place. `tch` keeps a module's tensors inside of it.
// Every function that can fail returns null, or a message that the caller frees.
#include <ATen/Context.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/core/ivalue.h>
#include <ATen/ops/allclose.h>
#include <ATen/ops/equal.h>
#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/runtime/graph_executor.h>
#include <torch/csrc/jit/serialization/import.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <exception>
#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

namespace {

// A place in a module that holds a tensor, and which of the tensors handed in belongs there.
struct Slot {
  torch::jit::Module owner;
  std::string name;
  size_t value;
};

// A list of tensors beside the parameters that holds some of them again, as recurrent layers have.
struct List {
  torch::jit::Module owner;
  std::string name;
  std::vector<at::Tensor> rest;
  // By element: which of the tensors handed in it is, or none (-1) where `rest` keeps it.
  std::vector<int64_t> values;
};

// What a module holds beside modules and the tensors that are handed in, as it was when the module was loaded.
struct Plain {
  torch::jit::Module owner;
  std::string attribute, name;
  c10::IValue value;
};

struct Tensor {
  std::string name, module;
  at::Tensor tensor;
  // 0 a parameter, 1 one that takes no gradient, 2 a buffer.
  int kind;
};

struct Script {
  torch::jit::Module module;
  std::vector<Tensor> tensors;
  std::vector<Slot> slots;
  std::vector<List> lists;
  std::vector<Plain> plain;
};

bool is_same(const at::Tensor& a, const at::Tensor& b) {
  return a.is_same(b) || (a.numel() > 0 && a.scalar_type() == b.scalar_type() && a.data_ptr() == b.data_ptr() &&
                          a.sizes() == b.sizes() && a.strides() == b.strides());
}

// The last part of a module's class, which libtorch may have marked on its way: `Linear` of
// `__torch__.torch.nn.modules.linear.___torch_mangle_0.Linear`.
std::string class_of(const torch::jit::Module& module) {
  return module.type()->name() ? module.type()->name()->name() : std::string();
}

// Takes note of a tensor in its place; one that another name holds already is the same tensor.
void note(Script& script, const torch::jit::Module& owner, const std::string& prefix, const std::string& name,
          const at::Tensor& tensor, bool is_parameter) {
  size_t at = 0;
  while (at < script.tensors.size() && !is_same(script.tensors[at].tensor, tensor)) ++at;
  if (at == script.tensors.size()) {
    const int kind = !is_parameter ? 2 : tensor.requires_grad() ? 0 : 1;
    const std::string full = prefix.empty() ? name : prefix + "." + name;
    script.tensors.push_back({full, class_of(owner), tensor, kind});
  }
  script.slots.push_back({owner, name, at});
}

void walk(Script& script, const torch::jit::Module& module, const std::string& prefix) {
  const auto type = module.type();
  const auto count = type->numAttributes();
  for (size_t i = 0; i < count; ++i) {
    const auto value = module.attr(type->getAttributeName(i));
    if (!value.isTensor() || !value.toTensor().defined()) continue;
    if (type->is_parameter(i) || type->is_buffer(i)) {
      note(script, module, prefix, type->getAttributeName(i), value.toTensor(), type->is_parameter(i));
    }
  }
  for (size_t i = 0; i < count; ++i) {
    if (!type->getAttribute(i)->is_module()) continue;
    const auto name = type->getAttributeName(i);
    walk(script, torch::jit::Module(module.attr(name).toObject()), prefix.empty() ? name : prefix + "." + name);
  }
}

void find_lists(Script& script) {
  for (const auto& module : script.module.modules()) {
    const auto type = module.type();
    for (size_t i = 0; i < type->numAttributes(); ++i) {
      const auto value = module.attr(type->getAttributeName(i));
      if (!value.isTensorList()) continue;
      List list{module, type->getAttributeName(i), value.toTensorVector(), {}};
      bool shared = false;
      for (const auto& element : list.rest) {
        int64_t found = -1;
        for (size_t at = 0; at < script.tensors.size(); ++at) {
          if (is_same(script.tensors[at].tensor, element)) found = static_cast<int64_t>(at);
        }
        shared = shared || found >= 0;
        list.values.push_back(found);
      }
      if (shared) script.lists.push_back(std::move(list));
    }
  }
}

// Takes note of a copy of what no slot and no list holds; but for the mode, and for what cannot be copied.
void find_plain(Script& script, const torch::jit::Module& module, const std::string& prefix) {
  const auto type = module.type();
  for (size_t i = 0; i < type->numAttributes(); ++i) {
    const auto attribute = type->getAttributeName(i);
    const auto name = prefix.empty() ? attribute : prefix + "." + attribute;
    const auto value = module.attr(attribute);
    if (type->getAttribute(i)->is_module()) {
      find_plain(script, torch::jit::Module(value.toObject()), name);
      continue;
    }
    const auto is_here = [&](const auto& place) {
      return place.owner._ivalue() == module._ivalue() && place.name == attribute;
    };
    const bool is_held = std::any_of(script.slots.begin(), script.slots.end(), is_here) ||
                         std::any_of(script.lists.begin(), script.lists.end(), is_here);
    if (is_held || attribute == "training") continue;
    try {
      script.plain.push_back({module, attribute, name, value.deepcopy()});
    } catch (const c10::Error&) {
    }
  }
}

bool is_equal(const c10::IValue& a, const c10::IValue& b);

template <typename Values>
bool are_equal(const Values& a, const Values& b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (!is_equal(a[i], b[i])) return false;
  }
  return true;
}

// Equal by value, of two kinds that can hold state; two numbers that are none are equal.
bool is_equal(const c10::IValue& a, const c10::IValue& b) {
  if (a.isTensor() && b.isTensor()) {
    const auto &x = a.toTensor(), &y = b.toTensor();
    if (!x.defined() || !y.defined()) return x.defined() == y.defined();
    if (x.sizes() != y.sizes() || x.scalar_type() != y.scalar_type() || x.device() != y.device()) return false;
    return at::equal(x, y) || (x.is_floating_point() && at::allclose(x, y, 0.0, 0.0, true));
  }
  if (a.isDouble() && b.isDouble()) {
    return a.toDouble() == b.toDouble() || (std::isnan(a.toDouble()) && std::isnan(b.toDouble()));
  }
  if (a.isList() && b.isList()) return are_equal(a.toListRef(), b.toListRef());
  if (a.isTuple() && b.isTuple()) return are_equal(a.toTupleRef().elements().vec(), b.toTupleRef().elements().vec());
  if (a.isGenericDict() && b.isGenericDict()) {
    const auto x = a.toGenericDict(), y = b.toGenericDict();
    std::vector<c10::IValue> of_x, of_y;
    for (const auto& entry : x) of_x.insert(of_x.end(), {entry.key(), entry.value()});
    for (const auto& entry : y) of_y.insert(of_y.end(), {entry.key(), entry.value()});
    return are_equal(of_x, of_y);
  }
  if (a.isObject() && b.isObject()) return are_equal(a.toObjectRef().slots(), b.toObjectRef().slots());
  if (a.isInt() || a.isBool() || a.isString() || a.isNone() || a.isComplexDouble()) return a == b;
  return a.tagKind() == b.tagKind();
}

// Puts the tensors that are handed in into their places.
void install(Script& script, at::Tensor* const* values) {
  for (auto& slot : script.slots) slot.owner.setattr(slot.name, *values[slot.value]);
  for (auto& list : script.lists) {
    std::vector<at::Tensor> elements = list.rest;
    for (size_t i = 0; i < elements.size(); ++i) {
      if (list.values[i] >= 0) elements[i] = *values[list.values[i]];
    }
    list.owner.setattr(list.name, elements);
  }
}

char* told(const std::exception& error) {
  // Without the stack of C++ calls.
  if (const auto* own = dynamic_cast<const c10::Error*>(&error)) return strdup(own->what_without_backtrace());
  return strdup(error.what());
}

at::Device device_of(int index) {
  return index < 0 ? at::Device(at::kCPU) : at::Device(at::kCUDA, static_cast<at::DeviceIndex>(index));
}

}  // namespace

extern "C" {

// The module of an archive, its tensors on a device: a GPU by its index, or below 0 the CPU.
char* palimpsest_script_load(const char* bytes, size_t length, int device, Script** out) {
  try {
    std::istringstream archive(std::string(bytes, length));
    auto script = std::make_unique<Script>(Script{torch::jit::load(archive, device_of(device)), {}, {}, {}, {}});
    walk(*script, script->module, "");
    find_lists(*script);
    find_plain(*script, script->module, "");
    *out = script.release();
  } catch (const std::exception& error) {
    return told(error);
  } catch (...) {
    return strdup("what was thrown is no error");
  }
  return nullptr;
}

// Calls `each` with the name, the class of the module that holds it, the kind and the values of every tensor, in the
// order in which they are handed in; the name and the class for the call, the tensor for good.
void palimpsest_script_tensors(const Script* script, void* data,
                               void (*each)(void*, const char*, const char*, int, at::Tensor*)) {
  for (const auto& one : script->tensors) {
    each(data, one.name.c_str(), one.module.c_str(), one.kind, new at::Tensor(one.tensor));
  }
}

// A new tensor, which the caller owns: what the module makes of `input` with these tensors in their places. What it
// gives to a buffer is copied into the one that was handed in. Graphs run as they are written, operation by operation.
char* palimpsest_script_forward(Script* script, size_t count, at::Tensor* const* values, const at::Tensor* input,
                                bool train, at::Tensor** out) {
  try {
    if (count != script->tensors.size()) return strdup("as many tensors as the module has are needed");
    const torch::jit::GraphOptimizerEnabledGuard plain(false);
    install(*script, values);
    script->module.train(train);
    const auto output = script->module.forward({*input});
    if (!output.isTensor()) {
      return strdup(("its forward pass gives a " + output.tagKind() + ", not one tensor").c_str());
    }
    const at::NoGradGuard none;
    for (const auto& slot : script->slots) {
      if (script->tensors[slot.value].kind != 2) continue;
      const auto left = slot.owner.attr(slot.name).toTensor();
      if (!left.is_same(*values[slot.value])) values[slot.value]->copy_(left.detach());
    }
    *out = new at::Tensor(output.toTensor());
  } catch (const std::exception& error) {
    return told(error);
  } catch (...) {
    return strdup("what was thrown is no error");
  }
  return nullptr;
}

// Calls `each` with the name of every attribute beside parameters and buffers that is not what it was when the module
// was loaded; the name for the call. Asked once: what was remembered for it is let go.
char* palimpsest_script_changed(Script* script, void* data, void (*each)(void*, const char*)) {
  try {
    for (const auto& one : script->plain) {
      if (!is_equal(one.owner.attr(one.attribute), one.value)) each(data, one.name.c_str());
    }
    script->plain.clear();
  } catch (const std::exception& error) {
    return told(error);
  } catch (...) {
    return strdup("what was thrown is no error");
  }
  return nullptr;
}

void palimpsest_script_free(Script* script) { delete script; }

// A new tensor, which the caller owns: the state of the generator that operations on a device draw from.
char* palimpsest_random_state(int device, at::Tensor** out) {
  try {
    *out = new at::Tensor(at::globalContext().defaultGenerator(device_of(device)).get_state());
  } catch (const std::exception& error) {
    return told(error);
  }
  return nullptr;
}
}
