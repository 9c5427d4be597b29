#include "core/paged.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>

#include "core/check.h"

namespace noisewright {

namespace {

std::mutex mutex;
std::map<void*, size_t> mappings;
std::atomic<int64_t> total{0};

// The file's full size on the disk: a mapping that finds no room later would end the process.
int reserve(int file, size_t bytes) {
#if defined(__linux__)
  return posix_fallocate(file, 0, static_cast<off_t>(bytes));
#else
  return ftruncate(file, static_cast<off_t>(bytes)) == 0 ? 0 : errno;
#endif
}

}  // namespace

void* take_paged(size_t bytes, const std::string& folder, const char* op) {
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
  std::lock_guard lock(mutex);
  mappings[data] = bytes;
  total.fetch_add(static_cast<int64_t>(bytes), std::memory_order_relaxed);
  return data;
}

bool give_paged(void* data) {
  if (total.load(std::memory_order_relaxed) == 0) return false;
  std::lock_guard lock(mutex);
  const auto found = mappings.find(data);
  if (found == mappings.end()) return false;
  munmap(data, found->second);
  total.fetch_sub(static_cast<int64_t>(found->second), std::memory_order_relaxed);
  mappings.erase(found);
  return true;
}

void write_out(void* data, size_t bytes) {
#if defined(MADV_PAGEOUT)
  if (madvise(data, bytes, MADV_PAGEOUT) == 0) return;
#endif
  // The mapping is shared: its pages stay in the file, and the system may write them out when it likes.
  madvise(data, bytes, MADV_DONTNEED);
}

int64_t paged_bytes() { return total.load(std::memory_order_relaxed); }

}  // namespace noisewright
