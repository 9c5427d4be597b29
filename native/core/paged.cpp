#include "core/paged.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "core/device.h"

namespace noisewright {

namespace {

// The file's full size on the disk: a mapping that finds no room later would end the process.
int reserve(int file, size_t bytes) {
#if defined(__linux__)
  return posix_fallocate(file, 0, static_cast<off_t>(bytes));
#else
  return ftruncate(file, static_cast<off_t>(bytes)) == 0 ? 0 : errno;
#endif
}

}  // namespace

std::shared_ptr<void> take_paged(size_t bytes, const std::string& folder, const char* op) {
  std::string path = folder + "/noisewright-states-XXXXXX";
  const int file = mkstemp(path.data());
  if (file < 0)
    fail(ErrorKind::kDevice, op, "no file could be made in \"", folder, "\": ", std::strerror(errno),
         "; choose another folder");
  unlink(path.c_str());
  const int failed = reserve(file, bytes);
  void* data = failed ? MAP_FAILED : mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  const int reason = failed ? failed : errno;
  close(file);
  if (data == MAP_FAILED)
    fail(ErrorKind::kOutOfMemory, op, "\"", folder, "\" has no room for ", bytes, " bytes: ", std::strerror(reason),
         "; choose another folder");
  Device* device = Device::running();
  device->count_paged(static_cast<int64_t>(bytes));
  return {data, [bytes, device](void* mapped) {
            munmap(mapped, bytes);
            device->count_paged(-static_cast<int64_t>(bytes));
          }};
}

void write_out(void* data, size_t bytes) {
#if defined(MADV_PAGEOUT)
  if (madvise(data, bytes, MADV_PAGEOUT) == 0) return;
#endif
  // The mapping is shared: its pages stay in the file, and the system may write them out when it likes.
  madvise(data, bytes, MADV_DONTNEED);
}

}  // namespace noisewright
