#include "core/parallel.h"

#include "core/device.h"
#include "core/team.h"

namespace noisewright {

void parallel_run(int64_t tasks, void (*body)(void*, int64_t, int), void* context) {
  Device* device = Device::running();
  if (!device) {
    for (int64_t task = 0; task < tasks; task++) body(context, task, 0);
    return;
  }
  device->team().run(tasks, body, context);
}

int thread_count() {
  Device* device = Device::running();
  return device ? device->team().size() : 1;
}

void* scratch_take(uint64_t bytes) {
  Device* device = Device::running();
  if (!device) throw Error(ErrorKind::kInternal, "scratch memory was asked for outside an operation");
  return device->pool().take(bytes, device->running_op());
}

void scratch_give(void* data) {
  if (Device* device = Device::running()) device->pool().give(data);
}

}  // namespace noisewright
