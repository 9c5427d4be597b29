#include <cstdlib>
#include <mutex>
#include <string>

#include "binding/convert.h"
#include "binding/environment.h"
#include "binding/runtime.h"
#include "core/cpu_target.h"

namespace noisewright::binding {

// NOISEWRIGHT_CPU forces an instruction set; a name this machine does not know is an error, not a silent choice.
static void choose_target_at_load() {
  const char* forced = std::getenv("NOISEWRIGHT_CPU");
  if (!forced || !*forced) return;
  std::string known;
  for (int t = 0; t < kCpuTargetCount; t++) {
    if (!cpu_supports(static_cast<CpuTarget>(t))) continue;
    if (std::string(forced) == kCpuTargetNames[t]) return set_cpu_target(static_cast<CpuTarget>(t));
    known += std::string(known.empty() ? "" : ", ") + kCpuTargetNames[t];
  }
  throw Error(ErrorKind::kInternal,
              std::string("NOISEWRIGHT_CPU is \"") + forced + "\"; this machine can run " + known);
}

static std::once_flag target_chosen;  // workers load the addon again; the choice is the process's

static napi_value start(napi_env env, napi_value exports) {
  return guarded(env, [&] {
    std::call_once(target_chosen, choose_target_at_load);
    Environment::create(env);
    define_runtime(env, exports);
    define_io(env, exports);
    define_devices(env, exports);
    define_recording(env, exports);
    define_doctor(env, exports);
    define_pictures(env, exports);
    define_ops(env, exports);
    return exports;
  });
}

}  // namespace noisewright::binding

NAPI_MODULE_INIT() { return noisewright::binding::start(env, exports); }
