// Memory that lies in a file without a name: under pressure the system writes its pages there instead of killing the
// process, and reads them back when they are touched. For states of optimizers, which are touched once in a step.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>

namespace noisewright {

// Zeros. The file is made in `folder` at its full size and loses its name at once. Throws Error(kOutOfMemory) when the
// folder has no room, Error(kDevice) when it cannot be written.
void* take_paged(size_t bytes, const std::string& folder, const char* op);
// Unmaps and frees what take_paged returned; false for any other address.
bool give_paged(void* data);
// Tells the system that these pages are not wanted soon. What they hold stays.
void write_out(void* data, size_t bytes);
// Bytes of all such files.
int64_t paged_bytes();

}  // namespace noisewright
