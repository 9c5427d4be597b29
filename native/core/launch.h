// How an operation gets from its .cpp file onto the device's queue.
#pragma once
#include <initializer_list>
#include <optional>
#include <utility>

#include "core/recording.h"
#include "core/tensor.h"

namespace noisewright {

// The client and call number that operations enqueued by this thread belong to; set by the binding around every call.
struct Caller {
  std::shared_ptr<Client> client;
  uint64_t sequence = 0;
  std::shared_ptr<Recording> recording;  // what this thread records, or null
};
Caller& caller();

inline std::vector<std::shared_ptr<Storage>> storages_of(const Tensors& tensors) {
  std::vector<std::shared_ptr<Storage>> storages;
  storages.reserve(tensors.size());
  for (const auto& t : tensors)
    if (t.storage) storages.push_back(t.storage);
  return storages;
}

inline void append(Tensors& tensors, const std::optional<Tensor>& t) {
  if (t) tensors.push_back(*t);
}

// Whether running a job again, with other numbers in its tensors, means what calling its op again would mean. It does
// where the arguments that are no tensors are the same in every step of a training. It does not where they are seeds,
// rates, counters or data of the host; where `run` copies from or to the host; or where it depends on what an earlier
// run left. Unless an op says so, it does not: a step with such an op is not recorded.
enum class Repeats : bool { kNo, kYes };
constexpr Repeats kRepeatable = Repeats::kYes;

// Enqueues `run` on the tensors' device. `run` may call data() on every tensor named here; it keeps them alive.
// inputs are read, outputs are fresh and wholly written, updates are changed in place.
template <Repeats repeats = Repeats::kNo, class Run>
void launch(const char* op, Tensors inputs, Tensors outputs, Run run, Tensors updates = {}) {
  const Tensor& any = !outputs.empty() ? outputs[0] : !updates.empty() ? updates[0] : inputs[0];
  Device* device = any.device();
  for (const auto* list : {&inputs, &outputs, &updates})
    for (const auto& t : *list)
      CHECK(op, t.device() == device, "its tensors must be on one device, received ", device->name(), " and ",
            t.device()->name());
  Job job;
  job.op = op;
  job.sequence = caller().sequence;
  job.client = caller().client;
  job.inputs = storages_of(inputs);
  job.outputs = storages_of(outputs);
  job.updates = storages_of(updates);
  job.repeatable = repeats == Repeats::kYes;
  auto versions = job.updates;
  job.run = [run = std::move(run), versions = std::move(versions)]() mutable {
    for (const auto& storage : versions) storage->version++;
    run();
  };
  device->enqueue(std::move(job));
}

// The kernel for the device that is running: CPU, or CUDA where the op has one.
template <class Params>
struct Kernels {
  void (*cpu)(const Params&);
  void (*cuda)(const Params&) = nullptr;
};

template <class Params>
void run_kernel(const char* op, const Kernels<Params>& kernels, const Params& params) {
  const bool on_cpu = Device::running()->kind() == DeviceKind::kCpu;
  if (!on_cpu && !kernels.cuda)
    throw Error(ErrorKind::kDevice, std::string(op) + ": has no CUDA kernel in this build; run it on the CPU device");
  (on_cpu ? kernels.cpu : kernels.cuda)(params);
}

}  // namespace noisewright
