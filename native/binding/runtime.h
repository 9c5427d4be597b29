#pragma once
#include <node_api.h>

#include <string>

namespace noisewright::binding {

void define_runtime(napi_env env, napi_value exports);    // runtime.cpp: devices, counters, creation, views, reads
void define_io(napi_env env, napi_value exports);         // io.cpp: tensors read from files
void define_devices(napi_env env, napi_value exports);    // devices.cpp: what GPUs there are
void define_recording(napi_env env, napi_value exports);  // recording.cpp: steps that are repeated
void define_doctor(napi_env env, napi_value exports);     // doctor.cpp: what the build was made with
void define_pictures(napi_env env, napi_value exports);   // pictures.cpp: pictures outside of tensors
void define_ops(napi_env env, napi_value exports);        // ops.cpp: one line for each direction of each op

void def_raw(napi_env env, napi_value exports, const char* name, napi_callback function);

// devices.cpp: opens a device if nothing has, which may take a second; why it cannot be used, or nothing.
std::string device_status(const std::string& device);

// tensor_object.cpp
void dispose_tensor(napi_env env, napi_value v);
const void* tensor_identity(napi_env env, napi_value v);  // of the object that owns the reference

}  // namespace noisewright::binding
