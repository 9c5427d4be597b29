// Errors raised inside the addon. binding/define.h turns them into JavaScript errors; nothing here ever ends the
// process.
#pragma once
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>

namespace noisewright {

enum class ErrorKind { kInternal, kOutOfMemory, kDevice, kDisposed };

struct Error : std::runtime_error {
  Error(ErrorKind kind, const std::string& message, std::string driver_code = "")
      : std::runtime_error(message), kind(kind), driver_code(std::move(driver_code)) {}
  ErrorKind kind;
  std::string driver_code;  // the CUDA driver's name for what went wrong, where it was the driver that said so
};

// What went wrong in an operation that had already been enqueued. Travels with the buffers it spoilt.
struct Failure {
  ErrorKind kind;
  std::string op;
  std::string message;
  uint64_t sequence;  // number of the operation, counted by the caller; finds the line that enqueued it
  std::string driver_code = "";
};

template <class... Parts>
[[noreturn]] void fail(ErrorKind kind, const char* op, const Parts&... parts) {
  std::ostringstream text;
  text << op << ": ";
  (text << ... << parts);
  throw Error(kind, text.str());
}

// For what only this library can get wrong; users' mistakes are caught, with better words, in TypeScript.
#define CHECK(op, condition, ...)                                                                \
  do {                                                                                           \
    if (!(condition)) ::noisewright::fail(::noisewright::ErrorKind::kInternal, op, __VA_ARGS__); \
  } while (0)

}  // namespace noisewright
