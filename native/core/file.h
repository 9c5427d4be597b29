// An open file to read from, by position: nothing is mapped, so that a file that shrinks meanwhile is an error and not
// a signal that ends the process.
#pragma once
#include <cstdint>
#include <mutex>

namespace noisewright {

// A duplicate of a descriptor, closed with the object. Reads may come from several threads.
class File {
 public:
  File(int64_t descriptor, const char* op);
  ~File();
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  // Fills `to` with the bytes from `offset`. False when there are not as many or the file cannot be read; `check` then
  // says why.
  bool read(int64_t offset, int64_t bytes, void* to);

  // Throws what went wrong in reads of [offset, offset + bytes).
  void check(const char* op, int64_t offset, int64_t bytes);

 private:
  int fd_;
  std::mutex mutex_;
  int error_ = 0;           // of the operating system
  int64_t failed_at_ = -1;  // the lowest byte that could not be read
};

}  // namespace noisewright
