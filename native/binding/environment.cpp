#include "binding/environment.h"

#include "binding/convert.h"
#include "core/launch.h"

namespace noisewright {

Caller& caller() {
  thread_local Caller current;
  return current;
}

}  // namespace noisewright

namespace noisewright::binding {

namespace {

const char* code_of(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::kOutOfMemory:
      return "ERR_OUT_OF_MEMORY";
    case ErrorKind::kDisposed:
      return "ERR_DISPOSED";
    default:
      return "ERR_NATIVE";
  }
}

void deliver_on_thread(napi_env env, napi_value, void*, void* data) {
  std::unique_ptr<Environment::Deliver> deliver(static_cast<Environment::Deliver*>(data));
  if (!env) return;  // the environment is being torn down
  napi_handle_scope scope;
  if (napi_open_handle_scope(env, &scope) != napi_ok) return;
  try {
    (*deliver)(env);
  } catch (...) {  // a worker that is being terminated runs no JavaScript any more: there is nobody left to tell
  }
  napi_close_handle_scope(env, scope);
}

}  // namespace

void Environment::create(napi_env env) {
  auto* environment = new Environment();
  environment->env = env;
  napi_value name;
  ok(env, napi_create_string_utf8(env, "noisewright", NAPI_AUTO_LENGTH, &name), "name");
  ok(env,
     napi_create_threadsafe_function(env, nullptr, nullptr, name, 0, 1, nullptr, nullptr, nullptr, deliver_on_thread,
                                     &environment->mailbox->function),
     "create the thread-safe function");
  ok(env, napi_unref_threadsafe_function(env, environment->mailbox->function), "unref");
  ok(env,
     napi_set_instance_data(
         env, environment, [](napi_env, void* data, void*) { delete static_cast<Environment*>(data); }, nullptr),
     "instance data");
  ok(env,
     napi_add_env_cleanup_hook(
         env,
         [](void* data) {
           auto* mailbox = static_cast<std::shared_ptr<Mailbox>*>(data);
           {
             std::lock_guard lock((*mailbox)->mutex);
             if ((*mailbox)->function) napi_release_threadsafe_function((*mailbox)->function, napi_tsfn_abort);
             (*mailbox)->function = nullptr;
           }
           delete mailbox;
         },
         new std::shared_ptr<Mailbox>(environment->mailbox)),
     "cleanup hook");
}

Environment& Environment::of(napi_env env) {
  void* data = nullptr;
  ok(env, napi_get_instance_data(env, &data), "instance data");
  return *static_cast<Environment*>(data);
}

void Environment::post(const std::shared_ptr<Mailbox>& mailbox, Deliver deliver) {
  std::lock_guard lock(mailbox->mutex);
  if (!mailbox->function) return;
  auto* data = new Deliver(std::move(deliver));
  if (napi_call_threadsafe_function(mailbox->function, data, napi_tsfn_nonblocking) != napi_ok) delete data;
}

void Environment::expect(napi_env env) {
  if (mailbox->expected++ == 0) napi_ref_threadsafe_function(env, mailbox->function);
}

void Environment::delivered(napi_env env) {
  if (--mailbox->expected == 0) napi_unref_threadsafe_function(env, mailbox->function);
}

void enter_call(napi_env env) {
  Environment& environment = Environment::of(env);
  caller().client = environment.client;
  caller().sequence = environment.sequence;
}

napi_value make_error(napi_env env, ErrorKind kind, const std::string& message) {
  napi_value error;
  ok(env,
     napi_create_error(env, Convert<std::string>::to(env, code_of(kind)), Convert<std::string>::to(env, message),
                       &error),
     "create error");
  return error;
}

napi_value make_error(napi_env env, const Failure& failure) {
  napi_value error = make_error(env, failure.kind, failure.message);
  napi_set_named_property(env, error, "op", Convert<std::string>::to(env, failure.op));
  napi_set_named_property(env, error, "sequence", Convert<int64_t>::to(env, static_cast<int64_t>(failure.sequence)));
  if (!failure.driver_code.empty())
    napi_set_named_property(env, error, "driverCode", Convert<std::string>::to(env, failure.driver_code));
  return error;
}

void throw_error(napi_env env, ErrorKind kind, const std::string& message) {
  try {
    napi_throw(env, make_error(env, kind, message));
  } catch (...) {  // this environment is ending
  }
}

}  // namespace noisewright::binding
