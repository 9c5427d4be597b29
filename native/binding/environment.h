// What the addon keeps for each JavaScript environment (the main thread, every worker), and how results get back to it.
#pragma once
#include <node_api.h>

#include <functional>
#include <memory>
#include <mutex>
#include <new>

#include "core/device.h"

namespace noisewright::binding {

// Thrown when a JavaScript exception is already pending.
struct PendingException {};

class Environment {
 public:
  static void create(napi_env env);
  static Environment& of(napi_env env);

  std::shared_ptr<Client> client = std::make_shared<Client>();
  uint64_t sequence = 0;  // number of the op that JavaScript is enqueueing; see mark in runtime.cpp

  // Runs `deliver` on this environment's thread. From any thread; after the environment has ended it does nothing.
  using Deliver = std::function<void(napi_env)>;
  struct Mailbox {
    std::mutex mutex;
    napi_threadsafe_function function = nullptr;  // null once the environment has ended
    int64_t expected = 0;                         // promises under way; keeps the event loop alive while there are any
  };
  std::shared_ptr<Mailbox> mailbox = std::make_shared<Mailbox>();
  static void post(const std::shared_ptr<Mailbox>& mailbox, Deliver deliver);
  void expect(napi_env env);     // a promise was made
  void delivered(napi_env env);  // and settled

  napi_env env = nullptr;
};

// Marks what this call enqueues as belonging to this environment and its current op.
void enter_call(napi_env env);

napi_value make_error(napi_env env, ErrorKind kind, const std::string& message);
napi_value make_error(napi_env env, const Failure& failure);
void throw_error(napi_env env, ErrorKind kind, const std::string& message);

// Runs the body of a function called from JavaScript: exceptions become JavaScript errors.
template <class Body>
napi_value guarded(napi_env env, Body&& body) {
  try {
    return body();
  } catch (const PendingException&) {
  } catch (const Error& error) {
    throw_error(env, error.kind, error.what());
  } catch (const std::bad_alloc&) {
    throw_error(env, ErrorKind::kOutOfMemory, "out of memory");
  } catch (const std::exception& error) {
    throw_error(env, ErrorKind::kInternal, error.what());
  }
  return nullptr;
}

}  // namespace noisewright::binding
