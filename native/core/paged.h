// Memory that lies in a file without a name: under pressure the system writes its pages there instead of killing the
// process, and reads them back when they are touched. For states of optimizers, which are touched once in a step.
#pragma once
#include <cstddef>
#include <memory>
#include <string>

namespace noisewright {

// Zeros, unmapped and freed with the last owner. The file is made in `folder` at its full size and loses its name at
// once. Throws Error(kOutOfMemory) when the folder has no room, Error(kDevice) when it cannot be written. On the thread
// of the device that counts the bytes.
std::shared_ptr<void> take_paged(size_t bytes, const std::string& folder, const char* op);
// Tells the system that these pages are not wanted soon. What they hold stays.
void write_out(void* data, size_t bytes);

}  // namespace noisewright
