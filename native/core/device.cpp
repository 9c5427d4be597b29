#include "core/device.h"

#ifdef __linux__
#include <sched.h>
#endif

#include <cstring>

#include "core/launch.h"
#include "core/recording.h"
#include "core/storage.h"

namespace noisewright {

namespace {

thread_local Device* running_device = nullptr;

// Cores that this process may run on: `taskset` and containers leave it fewer than the machine has.
int usable_cores() {
#ifdef __linux__
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) == 0) return CPU_COUNT(&set);
#endif
  return static_cast<int>(std::thread::hardware_concurrency());
}

class CpuDevice final : public Device {
 public:
  CpuDevice() : Device(DeviceKind::kCpu, "cpu", heap_source()) {}
  void upload(void* to, const void* from, size_t bytes) override { std::memcpy(to, from, bytes); }
  void download(void* to, const void* from, size_t bytes) override { std::memcpy(to, from, bytes); }
  void copy(void* to, const void* from, size_t bytes) override { std::memcpy(to, from, bytes); }
};

}  // namespace

// Devices live as long as the process: their threads may still run while it ends.
Device* cpu_device() {
  static Device* device = [] {
    auto* d = new CpuDevice();
    d->set_thread_count(usable_cores());
    return d;
  }();
  return device;
}

Device* device_named(const std::string& name) {
  if (name == "cpu") return cpu_device();
  const std::string prefix = "cuda:", digits = name.rfind(prefix, 0) == 0 ? name.substr(prefix.size()) : "";
  const bool is_number = !digits.empty() && digits.size() <= 4 &&
                         digits.find_first_not_of("0123456789") == std::string::npos &&
                         (digits == "0" || digits[0] != '0');
  std::string why_not = "there is no device named " + name;
  Device* device = nullptr;
  if (name == "cuda" || is_number) device = cuda_device(is_number ? std::stoi(digits) : 0, &why_not);
  if (!device) throw Error(ErrorKind::kDevice, why_not);
  return device;
}

Device* Device::running() { return running_device; }

Device::Device(DeviceKind kind, std::string name, MemorySource* source)
    : kind_(kind), name_(std::move(name)), pool_(source) {}

std::shared_ptr<void> Device::take_pinned(size_t) {
  fail(ErrorKind::kInternal, running_op_, "only GPUs reach host memory over a bus");
}

void Device::enqueue(Job job) {
  if (const auto& recording = caller().recording) recording->add(this, job);
  post(std::move(job));
}

void Device::post(Job job) {
  std::lock_guard lock(mutex_);
  if (!started_) {
    started_ = true;
    std::thread([this] { serve(); }).detach();
  }
  jobs_.push_back(std::move(job));
  wake_.notify_one();
}

int64_t Device::jobs_waiting() {
  std::lock_guard lock(mutex_);
  return static_cast<int64_t>(jobs_.size());
}

void Device::set_thread_count(int count) {
  count = count < 1 ? 1 : count > 64 ? 64 : count;
  thread_count_.store(count);
  Job job;
  job.op = "setThreadCount";
  job.run = [this, count] { team_.resize(count); };
  enqueue(std::move(job));
}

void Device::serve() {
  running_device = this;
  prepare_compute_thread();
  start_thread();
  for (;;) {
    Job job;
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [&] { return !jobs_.empty(); });
      job = std::move(jobs_.front());
      jobs_.pop_front();
    }
    execute(job);
  }
}

std::shared_ptr<const Failure> Device::run_job(const Job& job, uint64_t sequence) {
  running_op_ = job.op;
  std::shared_ptr<const Failure> failure;
  for (const auto& input : job.inputs)
    if (input->failure) failure = input->failure;
  for (const auto& update : job.updates)
    if (update->failure) failure = update->failure;
  if (!failure) {
    job_begins(job.op);
    try {
      job.run();
    } catch (const Error& error) {
      failure = std::make_shared<Failure>(Failure{error.kind, job.op, error.what(), sequence, error.driver_code});
    } catch (const std::bad_alloc&) {
      failure = std::make_shared<Failure>(
          Failure{ErrorKind::kOutOfMemory, job.op, std::string(job.op) + ": out of memory", sequence});
    } catch (const std::exception& error) {
      failure = std::make_shared<Failure>(Failure{ErrorKind::kInternal, job.op, error.what(), sequence});
    }
    job_ends();
  }
  if (failure)
    for (const auto& output : job.outputs) output->failure = failure;
  return failure;
}

void Device::execute(Job& job) {
  std::shared_ptr<const Failure> failure = run_job(job, job.sequence);
  if (failure) tell_client(job, failure);
  if (job.settled && job.outputs.empty() && job.client) {
    std::lock_guard lock(job.client->mutex);
    if (!failure) failure = job.client->failure;
    job.client->failure = nullptr;
  }
  jobs_run_.fetch_add(1, std::memory_order_relaxed);
  job.run = nullptr;
  job.inputs.clear();
  job.outputs.clear();
  job.updates.clear();
  if (job.settled) settle(job, std::move(failure));
}

void Device::replay(Recording& recording, const Tensors& inputs, const std::vector<std::shared_ptr<Storage>>& outputs) {
  recording.lend(inputs);
  recording.run(*this);
  recording.hand_over(outputs);
  recording.count(false);
}

void tell_client(const Job& job, const std::shared_ptr<const Failure>& failure) {
  if (job.settled || !job.outputs.empty() || !job.client) return;
  std::lock_guard lock(job.client->mutex);
  if (!job.client->failure) job.client->failure = failure;
}

}  // namespace noisewright
