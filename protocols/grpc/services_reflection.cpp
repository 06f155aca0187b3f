#include "protocols/grpc/services_reflection.h"

#include <google/protobuf/descriptor.pb.h>
#include <reflection.pb.h>

#include <algorithm>
#include <set>
#include <vector>

#include "core/base/list_items.h"
#include "protocols/grpc/services_json.h"

namespace sluice::grpc {

namespace {

namespace pb = google::protobuf;
// v1alpha has the same messages on the wire.
namespace wire = ::grpc::reflection::v1;
using config::BuiltinService;
using ::grpc::StatusCode;
using Files = std::set<const pb::FileDescriptor*>;

const pb::DescriptorPool& pool() { return *pb::DescriptorPool::generated_pool(); }

void add_with_dependencies(const pb::FileDescriptor& file, Files& files) {
    if (!files.insert(&file).second) return;
    for (int i = 0; i < file.dependency_count(); ++i) add_with_dependencies(*file.dependency(i), files);
}

// names: as in kServicesField.
std::vector<std::string> services_of(std::string_view names) {
    std::vector<std::string> all;
    for (const auto service : {BuiltinService::health, BuiltinService::reflection, BuiltinService::admin}) {
        if (!any_item(names, [&](auto name) { return name == name_of(service); })) continue;
        for (const auto name : names_of(service)) all.emplace_back(name);
    }
    return all;
}

void set_error(StatusCode code, const char* message, wire::ServerReflectionResponse& response) {
    response.mutable_error_response()->set_error_code(code);
    response.mutable_error_response()->set_error_message(message);
}

// The backend may end the call, and does no more: a listener that drains must not wait for a client that stays.
class ReflectionRole final : public BackedRole {
public:
    explicit ReflectionRole(Rpc& rpc) : BackedRole(rpc) {
        const std::string names = rpc.metadata(kServicesField);
        services_ = services_of(names.empty() ? "health,reflection" : names);
        for (const auto& name : services_)
            if (const auto* service = pool().FindServiceByName(name)) add_with_dependencies(*service->file(), visible_);
        hand_over("{}");
        rpc_.read();
    }

    void on_message(::grpc::ByteBuffer message) override {
        wire::ServerReflectionRequest request;
        if (parse(message, request)) rpc_.send(serialize(answer(request)));
        else rpc_.end({StatusCode::INTERNAL, "the request is no ServerReflectionRequest"});
    }

    void on_half_close() override { rpc_.end(::grpc::Status::OK); }
    // Not before, so that a client that does not read has one answer waiting, not all.
    void on_written() override { rpc_.read(); }

private:
    using Request = wire::ServerReflectionRequest;
    using Response = wire::ServerReflectionResponse;
    using Answer = void (ReflectionRole::*)(const Request&, Response&) const;

    Response answer(const Request& request) const;
    void refuse(const Request& request, Response& response) const;
    void list_services(const Request&, Response& response) const;
    void file_by_name(const Request& request, Response& response) const;
    void file_by_symbol(const Request& request, Response& response) const;
    void extensions(const Request&, Response& response) const;
    void add_file(const pb::FileDescriptor* file, Response& response) const;

    std::vector<std::string> services_;
    Files visible_;
};

wire::ServerReflectionResponse ReflectionRole::answer(const Request& request) const {
    static constexpr struct {
        Request::MessageRequestCase what;
        Answer answer;
    } kAnswers[] = {
        {Request::kFileByFilename, &ReflectionRole::file_by_name},
        {Request::kFileContainingSymbol, &ReflectionRole::file_by_symbol},
        {Request::kFileContainingExtension, &ReflectionRole::extensions},
        {Request::kAllExtensionNumbersOfType, &ReflectionRole::extensions},
        {Request::kListServices, &ReflectionRole::list_services},
        {Request::MESSAGE_REQUEST_NOT_SET, &ReflectionRole::refuse},
    };
    Response response;
    response.set_valid_host(request.host());
    *response.mutable_original_request() = request;
    for (const auto& row : kAnswers)
        if (row.what == request.message_request_case()) (this->*row.answer)(request, response);
    return response;
}

void ReflectionRole::refuse(const Request&, Response& response) const {
    set_error(StatusCode::INVALID_ARGUMENT, "nothing was asked", response);
}

void ReflectionRole::list_services(const Request&, Response& response) const {
    for (const auto& name : services_) response.mutable_list_services_response()->add_service()->set_name(name);
}

void ReflectionRole::file_by_name(const Request& request, Response& response) const {
    add_file(pool().FindFileByName(request.file_by_filename()), response);
}

void ReflectionRole::file_by_symbol(const Request& request, Response& response) const {
    add_file(pool().FindFileContainingSymbol(request.file_containing_symbol()), response);
}

// Our services are in proto3: there are none.
void ReflectionRole::extensions(const Request&, Response& response) const {
    set_error(StatusCode::NOT_FOUND, "no such extension", response);
}

// The file asked for comes first, as clients expect.
void ReflectionRole::add_file(const pb::FileDescriptor* file, Response& response) const {
    if (!file || !visible_.contains(file)) return set_error(StatusCode::NOT_FOUND, "no such file or symbol", response);
    Files needed;
    add_with_dependencies(*file, needed);
    needed.erase(file);
    std::vector<const pb::FileDescriptor*> files{file};
    files.insert(files.end(), needed.begin(), needed.end());
    for (const auto* one : files) {
        pb::FileDescriptorProto descriptor;
        one->CopyTo(&descriptor);
        response.mutable_file_descriptor_response()->add_file_descriptor_proto(descriptor.SerializeAsString());
    }
}

}  // namespace

bool is_reflection(const pb::MethodDescriptor& method) {
    const auto names = names_of(BuiltinService::reflection);
    return std::find(names.begin(), names.end(), method.service()->full_name()) != names.end();
}

std::unique_ptr<Role> make_reflection_role(Rpc& rpc) { return std::make_unique<ReflectionRole>(rpc); }

}  // namespace sluice::grpc
