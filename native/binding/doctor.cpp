// What this build was made with.
#include <string>
#include <vector>

#include "binding/define.h"
#include "binding/runtime.h"
#include "cuda/driver.h"

namespace noisewright::binding {

namespace {

int64_t toolkit_version() { return cuda::kToolkitVersion; }

std::vector<std::string> cuda_architectures() {
  std::vector<std::string> names;
  for (const char* const* name = cuda::kArchitectures; *name; name++) names.push_back(*name);
  return names;
}

}  // namespace

void define_doctor(napi_env env, napi_value exports) {
  def(env, exports, "toolkitVersion", &toolkit_version);
  def(env, exports, "cudaArchitectures", &cuda_architectures);
}

}  // namespace noisewright::binding
