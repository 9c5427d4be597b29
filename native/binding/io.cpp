// Tensors read from files, on the device thread: nothing is mapped, so a file that shrinks meanwhile is an error and
// not a signal.
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "binding/define.h"
#include "binding/runtime.h"

namespace noisewright::binding {

namespace {

// A descriptor of our own, closed with the last job that uses it.
struct Descriptor {
  explicit Descriptor(int fd) : fd(fd) {}
  ~Descriptor() { close(fd); }
  int fd;
};

// `bytes of shape and dtype` from `offset` of an open file. The descriptor may be closed once this has returned.
Tensor file_tensor(int64_t fd, int64_t offset, const Shape& shape, DType dtype) {
  const int own = fcntl(static_cast<int>(fd), F_DUPFD_CLOEXEC, 0);
  CHECK("fileTensor", own >= 0, "the file is not open (", std::strerror(errno), ")");
  auto file = std::make_shared<Descriptor>(own);
  Tensor t = make_tensor(cpu_device(), shape, dtype);
  launch("fileTensor", {}, {t}, [=] {
    char* to = t.data_as<char>();
    const auto bytes = static_cast<int64_t>(t.bytes());
    for (int64_t done = 0; done < bytes;) {
      const ssize_t got = pread(file->fd, to + done, static_cast<size_t>(bytes - done), offset + done);
      if (got < 0 && errno == EINTR) continue;
      CHECK("fileTensor", got >= 0, "the file could not be read at byte ", offset + done, ": ", std::strerror(errno));
      CHECK("fileTensor", got > 0, "the file is cut short: expected ", bytes, " bytes from byte ", offset, ", found ",
            done);
      done += got;
    }
  });
  return t;
}

}  // namespace

void define_io(napi_env env, napi_value exports) { def(env, exports, "fileTensor", &file_tensor); }

}  // namespace noisewright::binding
