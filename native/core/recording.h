// What a step of JavaScript's enqueued, kept to be run again without JavaScript: the jobs, in order, with the storages
// they work on. While a thread records (Caller::recording), its jobs run as always and are kept beside that.
//
// Of the storages that the jobs name,
// - placeholders stand for the step's inputs: each run lends them the memory of other tensors;
// - outputs are made by the jobs and asked for: each run hands their memory over to fresh storages;
// - internal ones are made by the jobs too: each run takes their memory with their first job and gives it back
//   with their last, so that a run needs what the step needed;
// - all others, such as parameters, stay what they are. The recording keeps them alive.
#pragma once
#include <map>
#include <mutex>
#include <optional>
#include <unordered_set>

#include "core/tensor.h"

namespace noisewright {

// Why a step cannot be repeated.
struct Refusal {
  std::string op;
  std::string reason;
};

// What a device makes of a recording for itself, such as a CUDA graph. Made and destroyed on the device thread.
struct Capture {
  virtual ~Capture() = default;
};

class Recording {
 public:
  // For a step on inputs like these.
  explicit Recording(const Tensors& inputs);

  Device* device() const { return device_; }
  const Tensors& placeholders() const { return placeholders_; }

  // ---- JavaScript's thread, while it records
  void add(Device* device, const Job& job);
  void refuse(const std::string& op, const std::string& reason);
  const std::optional<Refusal>& refusal() const { return refusal_; }
  // Ends the recording. `handles`: how many JavaScript has of the storages of outputs; there must be no others, and
  // none of what else the jobs made: a replay would change what they show. False: it was refused.
  bool finish(const Tensors& outputs, const std::map<const Storage*, int>& handles);

  // ---- JavaScript's thread, afterwards
  // Tensors like the outputs, with storages of their own, and those storages.
  std::pair<Tensors, std::vector<std::shared_ptr<Storage>>> fresh_outputs() const;
  struct Report {
    int64_t replays = 0, launches = 0;  // launches: replays that were one launch of a graph
    std::string no_capture;             // why there is no graph; empty when there is one, or none was tried yet
  };
  Report report();

  // ---- Device thread
  void lend(const Tensors& inputs);
  // Runs the jobs; internal storages are given back. Failures spoil what the jobs make, or are left with the client.
  void run(Device& device);
  // The same up to the first failure, which is returned and left with nobody.
  std::shared_ptr<const Failure> run_all_or_none(Device& device);
  // In the order of fresh_outputs. Placeholders are given back.
  void hand_over(const std::vector<std::shared_ptr<Storage>>& outputs);
  // Gives back everything that a run took.
  void release();
  const std::vector<Storage*>& output_storages() const { return output_storages_; }
  bool outside_has_failed() const;
  void changed_outside();  // what the jobs change in place was changed without running them
  void count(bool launched);
  void set_no_capture(const std::string& reason);

  uint64_t sequence = 0;             // device thread only: number of the call that a run belongs to
  std::unique_ptr<Capture> capture;  // device thread only

 private:
  struct Kept {
    Job job;
    std::vector<Storage*> last;  // internal storages that no later job names
  };
  std::shared_ptr<const Failure> run_one(Device& device, const Kept& kept);

  Device* device_;
  Tensors placeholders_, outputs_;
  std::vector<Storage*> output_storages_;
  std::vector<Kept> jobs_;
  std::unordered_set<Storage*> made_, placeholder_storages_;
  std::optional<Refusal> refusal_;
  std::mutex mutex_;
  Report report_;
};

}  // namespace noisewright
