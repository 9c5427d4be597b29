#include "emulation/settings.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

namespace noisewright::emulation {

std::string setting(const char* name) {
  const char* value = std::getenv((std::string("NOISEWRIGHT_EMULATION_") + name).c_str());
  return value ? value : "";
}

std::string setting_for(const char* name, const std::string& key) {
  const std::string text = setting(name);
  return text.rfind(key + "=", 0) == 0 ? text.substr(key.size() + 1) : "";
}

int Claims::capability(int device) const {
  if (capabilities.empty()) return 80;
  return capabilities[std::min(static_cast<size_t>(device), capabilities.size() - 1)];
}

Claims claims() {
  Claims c;
  char list[256] = "";
  std::sscanf(setting("DEVICE").c_str(), "%d,%255[0-9/],%d,%zu", &c.count, list, &c.version, &c.bytes);
  for (const char* at = list; *at; at += *at == '/')
    c.capabilities.push_back(static_cast<int>(std::strtol(at, const_cast<char**>(&at), 10)));
  return c;
}

}  // namespace noisewright::emulation
