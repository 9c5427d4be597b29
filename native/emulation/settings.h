// What the environment asks of the look-alike driver, in variables that begin with NOISEWRIGHT_EMULATION_:
//
//   ORDER    forward (default), reverse or random:<seed>: the order in which the threads of a kernel run
//   REPLACE  <kernel>=<other kernel>: runs another one, with the same arguments (tests/mistakes.cu)
//   FAIL     <driver function>=<error number>: that function fails; with 0 it does nothing and says that all is well
//   STREAMS  late (default) or early: when copies are made (streams.h)
//   START    milliseconds that the driver takes to start
//   HOLD     1: no event is over, until it is another number
//   DEVICE   <count>,<compute capability, e.g. 75; or of each, 80/75>,<CUDA version, e.g. 12040>,<bytes of each>: what
//            it claims to be
//
// All are read at each call; the addon asks what DEVICE tells once.
#pragma once
#include <string>
#include <vector>

namespace noisewright::emulation {

// What the variable of this name, without its beginning, says; nothing if there is none.
std::string setting(const char* name);
// What it says about `key`, from "key=value".
std::string setting_for(const char* name, const std::string& key);

struct Claims {
  int count = 1;
  std::vector<int> capabilities;
  int version = 99000;
  size_t bytes = size_t{16} << 30;

  int capability(int device) const;
};
// What DEVICE says.
Claims claims();

}  // namespace noisewright::emulation
