// A profiler for tests, in the same library: it attaches as profilers do (native/cuda/profiler.cpp) when
// NVTX_INJECTION64_PATH names the library, and writes each range into the file that NOISEWRIGHT_EMULATION_RANGES names:
// +<name> where it begins, - where it ends.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

namespace {

using Slot = void (**)();

void write(char kind, const char* name) {
  std::FILE* file = std::fopen(std::getenv("NOISEWRIGHT_EMULATION_RANGES"), "a");
  if (!file) return;
  std::fprintf(file, "%c%s\n", kind, name);
  std::fclose(file);
}
int push_range(const char* name) { return write('+', name), 0; }
int pop_range() { return write('-', ""), 0; }

struct Callbacks {
  size_t bytes;
  int (*function_table)(int module, Slot** table, unsigned* size);
};

}  // namespace

extern "C" __attribute__((visibility("default"))) int InitializeInjectionNvtx2(const void* (*export_table)(uint32_t)) {
  const auto* callbacks = static_cast<const Callbacks*>(export_table(1));
  Slot* table = nullptr;
  unsigned size = 0;
  if (!callbacks || callbacks->function_table(1, &table, &size) != 1 || size != 16) return 0;
  *table[9] = reinterpret_cast<void (*)()>(&push_range);
  *table[11] = reinterpret_cast<void (*)()>(&pop_range);
  return 1;
}
