// NVTX 3 is a protocol more than a library: a profiler names a library of its own in NVTX_INJECTION64_PATH, the program
// opens it, and the profiler writes the addresses of its functions into tables of the program. This is the program's
// side of it, for two of the functions (nvtxDetail/nvtxTypes.h and nvtxInit.h of NVIDIA's NVTX describe it).
#include "cuda/profiler.h"

#include <dlfcn.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>

namespace noisewright::cuda {

namespace {

using AnyFunction = void (*)();
using PushRange = int (*)(const char* name);
using PopRange = int (*)();

// Functions that a profiler may set, by module (core, CUDA, OpenCL, CUDA runtime, core 2, sync) and number from 1.
constexpr unsigned kModules = 7, kMostFunctions = 16;
constexpr unsigned kFunctions[kModules] = {0, 16, 9, 15, 7, 16, 7};
constexpr unsigned kCore = 1, kRangePushA = 9, kRangePop = 11;
AnyFunction functions[kModules][kMostFunctions];
AnyFunction* slots[kModules][kMostFunctions];

int function_table(int module, AnyFunction*** table, unsigned* size) {
  if (module < 1 || module >= static_cast<int>(kModules)) return 0;
  for (unsigned i = 1; i < kFunctions[module]; i++) slots[module][i] = &functions[module][i];
  if (table) *table = slots[module];
  if (size) *size = kFunctions[module];
  return 1;
}

struct CallbackTable {
  size_t bytes = sizeof(CallbackTable);
  int (*function_table)(int module, AnyFunction*** table, unsigned* size) = &noisewright::cuda::function_table;
} callback_table;

struct VersionTable {
  size_t bytes = sizeof(VersionTable);
  uint32_t version = 3, reserved = 0;
  void (*set_profiler_version)(uint32_t) = [](uint32_t) {};
} version_table;

const void* export_table(uint32_t number) {
  return number == 1 ? static_cast<const void*>(&callback_table) : number == 3 ? &version_table : nullptr;
}

struct Ranges {
  PushRange push = nullptr;
  PopRange pop = nullptr;

  Ranges() {
    const char* path = std::getenv("NVTX_INJECTION64_PATH");
    void* library = path && *path ? dlopen(path, RTLD_LAZY) : nullptr;
    if (!library) return;
    using Initialize = int (*)(const void* (*)(uint32_t));
    const auto initialize = reinterpret_cast<Initialize>(dlsym(library, "InitializeInjectionNvtx2"));
    if (!initialize || !initialize(&export_table)) return;
    push = reinterpret_cast<PushRange>(functions[kCore][kRangePushA]);
    pop = reinterpret_cast<PopRange>(functions[kCore][kRangePop]);
  }
};

// A profiler may also set its functions later; this library asks once, as the first op runs on a GPU.
const Ranges& ranges() {
  static const Ranges opened;
  return opened;
}

}  // namespace

void begin_range(const char* name) {
  if (ranges().push) ranges().push(name);
}

void end_range() {
  if (ranges().pop) ranges().pop();
}

}  // namespace noisewright::cuda
