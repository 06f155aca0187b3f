#include "protocols/http1/message_parser.h"

#include <algorithm>

#include "core/base/text.h"

namespace sluice::http1 {

namespace {

std::string_view extended(std::string_view piece, const char* at, std::size_t length) {
    return piece.empty() ? std::string_view(at, length) : std::string_view(piece.data(), piece.size() + length);
}

}  // namespace

struct MessageParser::Callbacks {
    static MessageParser& of(llhttp_t* llhttp) { return *static_cast<MessageParser*>(llhttp->data); }

    static int on_field(llhttp_t* llhttp, const char* at, std::size_t length) {
        of(llhttp).name_ = extended(of(llhttp).name_, at, length);
        return 0;
    }

    static int on_value(llhttp_t* llhttp, const char* at, std::size_t length) {
        of(llhttp).value_ = extended(of(llhttp).value_, at, length);
        return 0;
    }

    static int on_extension(llhttp_t* llhttp, const char*, std::size_t length) {
        MessageParser& parser = of(llhttp);
        parser.extension_bytes_ += length;
        if (parser.extension_bytes_ <= kMaxExtensions) return 0;
        parser.refusal_ = Reason::bad_request;
        return HPE_USER;
    }

    // The trailer section is read as a whole, like the head.
    static int on_chunk_header(llhttp_t* llhttp) {
        if (llhttp->content_length > 0) return 0;
        of(llhttp).in_trailers_ = true;
        return HPE_PAUSED;
    }

    static int on_body(llhttp_t* llhttp, const char* at, std::size_t length) {
        of(llhttp).sink_->on_body_piece(Bytes(at, length));
        return 0;
    }

    // What follows belongs to the next message: it must not be read by this one.
    static int on_message_complete(llhttp_t* llhttp) {
        of(llhttp).complete_ = true;
        return HPE_PAUSED;
    }
};

llhttp_settings_t MessageParser::shared_settings() {
    llhttp_settings_t settings;
    llhttp_settings_init(&settings);
    settings.on_header_field = Callbacks::on_field;
    settings.on_header_value = Callbacks::on_value;
    settings.on_chunk_extension_name = Callbacks::on_extension;
    settings.on_chunk_extension_value = Callbacks::on_extension;
    settings.on_chunk_header = Callbacks::on_chunk_header;
    settings.on_body = Callbacks::on_body;
    settings.on_message_complete = Callbacks::on_message_complete;
    return settings;
}

void MessageParser::restart(llhttp_type_t type, const llhttp_settings_t& settings) {
    llhttp_init(&llhttp_, type, &settings);
    llhttp_.data = this;
    trailers_.clear();
    section_.clear();
    scanner_.reset();
    name_ = value_ = {};
    extension_bytes_ = 0;
    refusal_ = Reason::none;
    in_body_ = in_trailers_ = complete_ = keep_alive_ = false;
}

void MessageParser::add_trailer() {
    // RFC 9110, 6.5.1: what frames or routes a message is no trailer.
    const bool frames =
        iequals(name_, "content-length") || iequals(name_, "transfer-encoding") || iequals(name_, "host");
    if (!frames) trailers_.add(name_, value_);
}

MessageParser::Fed MessageParser::feed_body(Bytes bytes, std::size_t max_trailers) {
    if (in_trailers_) return feed_trailers(bytes, max_trailers);
    const llhttp_errno_t error = llhttp_execute(&llhttp_, bytes.data(), bytes.size());
    if (error != HPE_OK && !in_trailers_ && !complete_) return {0, refusal_or(Reason::bad_request)};
    if (complete_) sink_->on_body_end(trailers_);
    if (error == HPE_OK) return {bytes.size(), Reason::none};
    const auto consumed = static_cast<std::size_t>(llhttp_get_error_pos(&llhttp_) - bytes.data());
    if (in_trailers_) llhttp_resume(&llhttp_);
    return {consumed, Reason::none};
}

MessageParser::Fed MessageParser::feed_trailers(Bytes bytes, std::size_t max_trailers) {
    const std::size_t before = section_.size();
    section_.append(bytes.substr(0, max_trailers + 1 - std::min(before, max_trailers)));
    const auto verdict = scanner_.scan(section_);
    if (verdict == HeadScanner::Verdict::bad) return {0, Reason::bad_request};
    if (verdict == HeadScanner::Verdict::incomplete)
        return section_.size() > max_trailers ? Fed{0, Reason::header_too_large} : Fed{bytes.size(), Reason::none};
    const std::size_t size = scanner_.head_size();
    llhttp_execute(&llhttp_, section_.data(), size);
    if (!complete_) return {0, refusal_or(Reason::bad_request)};
    sink_->on_body_end(trailers_);
    return {size - before, Reason::none};
}

}  // namespace sluice::http1
