#pragma once
// Server reflection, both versions: a role that answers from the generated descriptors, in gRPC's thread. Shows the
// services that the call's listener has, and the files they need. Part of Services: sees gRPC C++.

#include <google/protobuf/descriptor.h>

#include <memory>

#include "protocols/grpc/services_call.h"

namespace sluice::grpc {

bool is_reflection(const google::protobuf::MethodDescriptor& method);
std::unique_ptr<Role> make_reflection_role(Rpc& rpc);

}  // namespace sluice::grpc
