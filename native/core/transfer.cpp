#include "core/transfer.h"

#include "core/launch.h"

namespace noisewright {

namespace {

// What one device's thread leaves for another's: bytes in host memory, or why there are none.
struct Parcel {
  std::mutex mutex;
  std::condition_variable changed;
  bool sent = false;
  std::unique_ptr<char[]> bytes;
  std::shared_ptr<const Failure> failure;
};

}  // namespace

void copy_between_devices(const char* op, const Tensor& y, const Tensor& x) {
  auto parcel = std::make_shared<Parcel>();
  Job send;
  send.op = op;
  send.sequence = caller().sequence;
  send.inputs = {x.storage};
  send.run = [x, parcel] {
    parcel->bytes.reset(new char[x.bytes()]);
    Device::running()->download(parcel->bytes.get(), x.data(), x.bytes());
  };
  send.settled = [parcel](std::shared_ptr<const Failure> failure) {
    std::lock_guard lock(parcel->mutex);
    parcel->failure = std::move(failure);
    parcel->sent = true;
    parcel->changed.notify_one();
  };
  x.device()->enqueue(std::move(send));

  Job receive;
  receive.op = op;
  receive.sequence = caller().sequence;
  receive.client = caller().client;
  receive.updates = {y.storage};
  receive.run = [y, parcel] {
    {
      std::unique_lock lock(parcel->mutex);
      parcel->changed.wait(lock, [&] { return parcel->sent; });
    }
    if (const auto& failure = parcel->failure) throw Error(failure->kind, failure->message, failure->driver_code);
    y.storage->version++;
    Device::running()->upload(y.data(), parcel->bytes.get(), y.bytes());
  };
  y.device()->enqueue(std::move(receive));
}

}  // namespace noisewright
