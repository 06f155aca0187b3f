#pragma once
// Messages of the services in the process, from the wire to JSON and back: proto3's mapping with the field names of the
// .proto files. Pure functions over the generated descriptors, for any thread. Part of Services: sees gRPC C++.

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>
#include <grpcpp/support/byte_buffer.h>

#include <optional>
#include <string>

namespace sluice::grpc {

// "/grpc.health.v1.Health/Check"; null if it is none of ours.
const google::protobuf::MethodDescriptor* find_method(const std::string& path);

// false: the bytes are no such message. They are freed.
bool parse(::grpc::ByteBuffer& bytes, google::protobuf::Message& into);
::grpc::ByteBuffer serialize(const google::protobuf::Message& message);

// Nothing: the bytes are no such message.
std::optional<std::string> to_json(const google::protobuf::Descriptor& type, ::grpc::ByteBuffer bytes);
// Nothing: the text is no JSON of such a message. Fields that the message does not have are left out.
std::optional<::grpc::ByteBuffer> from_json(const google::protobuf::Descriptor& type, const std::string& json);

}  // namespace sluice::grpc
