#include "core/recording.h"

#include <algorithm>

#include "core/launch.h"

namespace noisewright {

Recording::Recording(const Tensors& inputs) : device_(inputs.at(0).device()) {
  for (const Tensor& input : inputs) {
    CHECK("recording", input.contiguous() && input.device() == device_, "inputs must be contiguous and on one device");
    placeholders_.push_back(empty_like(input));
    placeholder_storages_.insert(placeholders_.back().storage.get());
  }
}

void Recording::refuse(const std::string& op, const std::string& reason) {
  if (!refusal_) refusal_ = Refusal{op, reason};
  jobs_.clear();
}

void Recording::add(Device* device, const Job& job) {
  for (const auto& output : job.outputs) output->recorded = true;
  if (refusal_) return;
  if (device != device_) return refuse(job.op, "runs on device " + device->name() + ", the step on " + device_->name());
  if (!job.repeatable) return refuse(job.op, "depends on the call: on a seed, a counter, a rate, or data of the host");
  for (const auto& update : job.updates)
    if (placeholder_storages_.count(update.get())) return refuse(job.op, "changes an input of the step in place");
  for (const auto& output : job.outputs) made_.insert(output.get());
  jobs_.push_back({job, {}});
}

bool Recording::finish(const Tensors& outputs, const std::map<const Storage*, int>& handles) {
  for (const Tensor& output : outputs)
    if (!refusal_ && !made_.count(output.storage.get()))
      refuse("result", "is not made by the step: it is an input, or was there before");
  const auto held = [&](Storage* storage) {
    const auto known = handles.find(storage);
    return storage->handles.load() > (known == handles.end() ? 0 : known->second);
  };
  if (!refusal_ && (std::any_of(made_.begin(), made_.end(), held) ||
                    std::any_of(placeholder_storages_.begin(), placeholder_storages_.end(), held)))
    refuse("tensor", "outlives the step that made it, and is none of its results");
  if (refusal_) return false;

  outputs_ = outputs;
  std::unordered_set<Storage*> named;
  for (const Tensor& output : outputs_)
    if (named.insert(output.storage.get()).second) output_storages_.push_back(output.storage.get());
  for (auto kept = jobs_.rbegin(); kept != jobs_.rend(); ++kept)
    for (const auto* list : {&kept->job.inputs, &kept->job.outputs, &kept->job.updates})
      for (const auto& storage : *list)
        if (made_.count(storage.get()) && named.insert(storage.get()).second) kept->last.push_back(storage.get());
  return true;
}

std::pair<Tensors, std::vector<std::shared_ptr<Storage>>> Recording::fresh_outputs() const {
  std::map<const Storage*, std::shared_ptr<Storage>> heirs;
  std::vector<std::shared_ptr<Storage>> storages;
  for (const Storage* storage : output_storages_) {
    storages.push_back(std::make_shared<Storage>(device_, storage->bytes()));
    heirs[storage] = storages.back();
  }
  Tensors tensors = outputs_;
  for (Tensor& tensor : tensors) tensor.storage = heirs[tensor.storage.get()];
  return {std::move(tensors), std::move(storages)};
}

void Recording::lend(const Tensors& inputs) {
  for (size_t i = 0; i < placeholders_.size(); i++) placeholders_[i].storage->lend(inputs[i].storage, inputs[i].data());
}

std::shared_ptr<const Failure> Recording::run_one(Device& device, const Kept& kept) {
  auto failure = device.run_job(kept.job, sequence);
  for (Storage* storage : kept.last) storage->release();
  return failure;
}

void Recording::run(Device& device) {
  for (const Kept& kept : jobs_)
    if (const auto failure = run_one(device, kept)) tell_client(kept.job, failure);
}

std::shared_ptr<const Failure> Recording::run_all_or_none(Device& device) {
  for (const Kept& kept : jobs_)
    if (auto failure = run_one(device, kept)) return failure;
  return nullptr;
}

void Recording::hand_over(const std::vector<std::shared_ptr<Storage>>& outputs) {
  for (size_t i = 0; i < outputs.size(); i++) output_storages_[i]->hand_over(*outputs[i]);
  for (const Tensor& placeholder : placeholders_) placeholder.storage->release();
}

void Recording::release() {
  for (Storage* storage : made_) storage->release();
  for (const Tensor& placeholder : placeholders_) placeholder.storage->release();
}

bool Recording::outside_has_failed() const {
  for (const Kept& kept : jobs_)
    for (const auto* list : {&kept.job.inputs, &kept.job.updates})
      for (const auto& storage : *list)
        if (storage->failure) return true;
  return false;
}

void Recording::changed_outside() {
  for (const Kept& kept : jobs_)
    for (const auto& storage : kept.job.updates) storage->version++;
}

void Recording::count(bool launched) {
  std::lock_guard lock(mutex_);
  report_.replays++;
  if (launched) report_.launches++;
}

void Recording::set_no_capture(const std::string& reason) {
  std::lock_guard lock(mutex_);
  report_.no_capture = reason;
}

Recording::Report Recording::report() {
  std::lock_guard lock(mutex_);
  return report_;
}

}  // namespace noisewright
