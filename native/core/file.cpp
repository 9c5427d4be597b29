#include "core/file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "core/check.h"

namespace noisewright {

File::File(int64_t descriptor, const char* op) : fd_(fcntl(static_cast<int>(descriptor), F_DUPFD_CLOEXEC, 0)) {
  CHECK(op, fd_ >= 0, "the file is not open (", std::strerror(errno), ")");
}

File::~File() { close(fd_); }

bool File::read(int64_t offset, int64_t bytes, void* to) {
  for (int64_t done = 0; done < bytes;) {
    const ssize_t got = pread(fd_, static_cast<char*>(to) + done, static_cast<size_t>(bytes - done), offset + done);
    if (got > 0) {
      done += got;
      continue;
    }
    const int error = got < 0 ? errno : 0;
    if (error == EINTR) continue;
    std::lock_guard lock(mutex_);
    if (failed_at_ < 0 || offset + done < failed_at_) {
      failed_at_ = offset + done;
      error_ = error;
    }
    return false;
  }
  return true;
}

void File::check(const char* op, int64_t offset, int64_t bytes) {
  std::lock_guard lock(mutex_);
  if (failed_at_ < 0) return;
  CHECK(op, error_ == 0, "the file could not be read at byte ", failed_at_, ": ", std::strerror(error_));
  fail(ErrorKind::kInternal, op, "the file is cut short: expected ", bytes, " bytes from byte ", offset, ", found ",
       failed_at_ - offset);
}

}  // namespace noisewright
