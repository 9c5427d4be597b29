#include "core/transfer.h"

#include <future>

#include "core/launch.h"

namespace noisewright {

namespace {

// Bytes on the host, or why there are none.
struct Handover {
  const void* data = nullptr;
  std::promise<std::shared_ptr<const Failure>> outcome;
};

}  // namespace

Tensor copy_to(const char* op, const Tensor& x, Device* device) {
  CHECK(op, x.contiguous() && x.device() == cpu_device() && device != cpu_device(),
        "the CPU hands packed tensors to other devices");
  Tensor y = make_tensor(device, x.shape, x.dtype);
  auto handover = std::make_shared<Handover>();
  Job job;
  job.op = op;
  job.sequence = caller().sequence;
  job.client = caller().client;
  job.inputs = {x.storage};
  job.run = [x, handover] { handover->data = x.data(); };
  job.settled = [handover](std::shared_ptr<const Failure> failure) { handover->outcome.set_value(std::move(failure)); };
  x.device()->enqueue(std::move(job));
  // Holds x until it is uploaded. The CPU waits for no other device, so the wait ends.
  launch(op, {}, {y}, [x, y, handover] {
    if (const auto failure = handover->outcome.get_future().get()) throw Error(failure->kind, failure->message);
    Device::running()->upload(y.data(), handover->data, y.bytes());
  });
  return y;
}

}  // namespace noisewright
