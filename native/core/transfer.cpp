#include "core/transfer.h"

#include <future>

#include "core/launch.h"

namespace noisewright {

namespace {

// What one device's thread leaves for another's: bytes in host memory, or why there are none.
struct Parcel {
  const void* data = nullptr;
  std::unique_ptr<char[]> own;  // where data is, unless it is x's own memory
  std::promise<std::shared_ptr<const Failure>> outcome;
};

std::shared_ptr<Parcel> send(const char* op, const Tensor& x, bool copies) {
  auto parcel = std::make_shared<Parcel>();
  Job job;
  job.op = op;
  job.sequence = caller().sequence;
  job.inputs = {x.storage};
  job.run = [x, parcel, copies] {
    parcel->data = x.data();
    if (!copies) return;
    parcel->own.reset(new char[x.bytes()]);
    Device::running()->download(parcel->own.get(), x.data(), x.bytes());
    parcel->data = parcel->own.get();
  };
  job.settled = [parcel](std::shared_ptr<const Failure> failure) { parcel->outcome.set_value(std::move(failure)); };
  x.device()->enqueue(std::move(job));
  return parcel;
}

void receive(Parcel& parcel, const Tensor& y) {
  if (const auto failure = parcel.outcome.get_future().get())
    throw Error(failure->kind, failure->message, failure->driver_code);
  Device::running()->upload(y.data(), parcel.data, y.bytes());
}

}  // namespace

void copy_between_devices(const char* op, const Tensor& y, const Tensor& x) {
  launch(op, {}, {}, [y, parcel = send(op, x, true)] { receive(*parcel, y); }, {y});
}

Tensor copy_to(const char* op, const Tensor& x, Device* device) {
  CHECK(op, x.contiguous() && x.device() == cpu_device() && device != cpu_device(),
        "the CPU hands packed tensors to other devices");
  Tensor y = make_tensor(device, x.shape, x.dtype);
  // Holds x until it is uploaded.
  launch(op, {}, {y}, [x, y, parcel = send(op, x, false)] { receive(*parcel, y); });
  return y;
}

void expect_filled(std::vector<Tensor> tensors) {
  if (!tensors.empty()) launch("expectFilled", std::move(tensors), {}, [] {});
}

}  // namespace noisewright
