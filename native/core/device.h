// A device is an in-order queue served by one native thread; kernels are parallel inside. Enqueueing never waits.
#pragma once
#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "core/check.h"
#include "core/pool.h"
#include "core/team.h"

namespace noisewright {

class Recording;
class Storage;
struct Tensor;

enum class DeviceKind { kCpu, kCuda };

// The host program that enqueues: one for each JavaScript environment. Failures of operations that had no output to
// spoil wait here for its next read.
struct Client {
  std::mutex mutex;
  std::shared_ptr<const Failure> failure;
};

struct Job {
  const char* op;  // a literal
  uint64_t sequence = 0;
  std::shared_ptr<Client> client;
  std::vector<std::shared_ptr<Storage>> inputs;   // spoilt inputs spoil the outputs, and the job is not run
  std::vector<std::shared_ptr<Storage>> outputs;  // fresh storages this job fills
  std::vector<std::shared_ptr<Storage>> updates;  // storages this job changes in place; left as they are when it fails
  std::function<void()> run;
  bool repeatable = false;  // see Repeats in launch.h
  // For jobs that report to someone (reads): called last, with null or with what went wrong, in the order of the jobs.
  // The job has then let go of its storages, so that whoever hears of it finds their memory counted right; the device
  // may be at work on later ones. With a client, it also hears of a failure that waits there.
  std::function<void(std::shared_ptr<const Failure>)> settled;
};

// Leaves a failure that spoilt no output with the host program, for its next read.
void tell_client(const Job& job, const std::shared_ptr<const Failure>& failure);

class Device {
 public:
  Device(DeviceKind kind, std::string name, MemorySource* source);
  virtual ~Device() = default;

  DeviceKind kind() const { return kind_; }
  const std::string& name() const { return name_; }  // cpu, cuda, cuda:1 ...
  Pool& pool() { return pool_; }
  Team& team() { return team_; }
  // In the order of calls. While the calling thread records, the job is kept as well (recording.h).
  void enqueue(Job job);
  // The same for jobs that are no part of what is recorded.
  void post(Job job);
  int64_t jobs_run() const { return jobs_run_.load(); }
  int64_t jobs_waiting();
  void set_thread_count(int count);  // takes effect in queue order
  int thread_count() const { return thread_count_.load(); }

  // Copies between host memory and this device's memory; called on the device thread. What `from` of an upload holds
  // may change once it has returned. `to` of a download, which is for jobs with `settled`, is filled when that is
  // called.
  virtual void upload(void* to, const void* from, size_t bytes) = 0;
  virtual void download(void* to, const void* from, size_t bytes) = 0;

  // From one tensor's memory to another's; called on the device thread, in the order of the kernels.
  virtual void copy(void* to, const void* from, size_t bytes) = 0;

  // Host memory that this device's kernels read and write over the bus, by the address that they know it by. Not
  // zeroed. Device thread only; freed with its last owner, wherever that is. Throws Error(kOutOfMemory).
  virtual std::shared_ptr<void> take_pinned(size_t bytes);
  // Bytes of tensors outside the pool: in files of the CPU, in pinned host memory of a GPU.
  int64_t paged_bytes() const { return paged_bytes_.load(std::memory_order_relaxed); }
  void count_paged(int64_t change) { paged_bytes_.fetch_add(change, std::memory_order_relaxed); }

  // Runs what a recording keeps, with other inputs; fills `outputs` as if its ops had been called again. Device thread.
  virtual void replay(Recording& recording, const std::vector<Tensor>& inputs,
                      const std::vector<std::shared_ptr<Storage>>& outputs);
  // Runs one job now: its failure, or null. The storages it fills know of the failure. Device thread.
  std::shared_ptr<const Failure> run_job(const Job& job, uint64_t sequence);

  static Device* running();  // the device whose thread is calling, or null
  const char* running_op() const { return running_op_; }

 protected:
  virtual void start_thread() {}  // on the device thread, once, before the first job
  virtual void job_begins(const char* /*op*/) {}
  virtual void job_ends() {}
  virtual void settle(Job& job, std::shared_ptr<const Failure> failure) { job.settled(std::move(failure)); }

 private:
  void serve();
  void execute(Job& job);

  DeviceKind kind_;
  std::string name_;
  Pool pool_;
  Team team_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Job> jobs_;
  std::atomic<int64_t> jobs_run_{0};
  std::atomic<int> thread_count_{1};
  std::atomic<int64_t> paged_bytes_{0};
  const char* running_op_ = "";
  bool started_ = false;
};

Device* cpu_device();
// A GPU by its number among those the driver shows, or null; why_not receives one sentence that says what is missing.
Device* cuda_device(int number, std::string* why_not);
// cpu, cuda (the first GPU) or cuda:<number>; cuda:0 is cuda. Throws Error(kDevice), saying what is missing, where
// there is none of that name.
Device* device_named(const std::string& name);

}  // namespace noisewright
