#include "protocols/grpc/services_json.h"

#include <google/protobuf/util/json_util.h>
#include <grpcpp/impl/codegen/proto_utils.h>

#include <algorithm>
#include <memory>

namespace sluice::grpc {

namespace {

namespace pb = google::protobuf;

std::unique_ptr<pb::Message> make(const pb::Descriptor& type) {
    return std::unique_ptr<pb::Message>(pb::MessageFactory::generated_factory()->GetPrototype(&type)->New());
}

}  // namespace

const pb::MethodDescriptor* find_method(const std::string& path) {
    if (!path.starts_with('/')) return nullptr;
    std::string name = path.substr(1);
    std::replace(name.begin(), name.end(), '/', '.');
    return pb::DescriptorPool::generated_pool()->FindMethodByName(name);
}

bool parse(::grpc::ByteBuffer& bytes, pb::Message& into) {
    return ::grpc::SerializationTraits<pb::Message>::Deserialize(&bytes, &into).ok();
}

::grpc::ByteBuffer serialize(const pb::Message& message) {
    ::grpc::ByteBuffer bytes;
    bool owns = false;
    ::grpc::SerializationTraits<pb::Message>::Serialize(message, &bytes, &owns);
    return bytes;
}

std::optional<std::string> to_json(const pb::Descriptor& type, ::grpc::ByteBuffer bytes) {
    const auto message = make(type);
    if (!parse(bytes, *message)) return std::nullopt;
    pb::util::JsonPrintOptions options;
    options.preserve_proto_field_names = true;
    std::string json;
    if (!pb::util::MessageToJsonString(*message, &json, options).ok()) return std::nullopt;
    return json;
}

std::optional<::grpc::ByteBuffer> from_json(const pb::Descriptor& type, const std::string& json) {
    const auto message = make(type);
    pb::util::JsonParseOptions options;
    options.ignore_unknown_fields = true;
    if (!pb::util::JsonStringToMessage(json, message.get(), options).ok()) return std::nullopt;
    return serialize(*message);
}

}  // namespace sluice::grpc
