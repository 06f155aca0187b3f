#include "protocols/websocket/extensions.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <optional>
#include <string>

#include "core/base/text.h"
#include "protocols/websocket/handshake.h"

namespace sluice::websocket {

namespace {

constexpr std::string_view kField = "sec-websocket-extensions";
constexpr std::string_view kName = "permessage-deflate";

// --- permessage-deflate ---

enum Parameter : unsigned { server_no_context, client_no_context, server_bits, client_bits };

struct Known {
    std::string_view name;
    bool Deflation::*flag;  // has no value; or
    int Deflation::*bits;
};

// By Parameter.
constexpr Known kKnown[] = {
    {"server_no_context_takeover", &Deflation::server_no_context_takeover, nullptr},
    {"client_no_context_takeover", &Deflation::client_no_context_takeover, nullptr},
    {"server_max_window_bits", nullptr, &Deflation::server_max_window_bits},
    {"client_max_window_bits", nullptr, &Deflation::client_max_window_bits},
};

// "8" to "15", without leading zeros; 0: none of them.
int window_bits_of(std::string_view value) {
    static constexpr std::array<std::string_view, 8> kValues = {"8", "9", "10", "11", "12", "13", "14", "15"};
    const auto found = std::ranges::find(kValues, value);
    return found == kValues.end() ? 0 : 8 + static_cast<int>(found - kValues.begin());
}

// One member of the list. Its parameters are read as those of permessage-deflate, whatever it is.
struct Extension {
    std::string_view name, text;
    Deflation deflation;
    unsigned named = 0;  // a bit for each Parameter
    // RFC 7692, 7.1: a parameter that is unknown, comes twice, or has a value that it cannot have makes it void.
    bool is_void = false;
    bool leaves_client_bits_open = false;  // client_max_window_bits has no value: in offers only

    bool names(Parameter parameter) const { return named >> parameter & 1; }
    bool is_deflate() const { return name == kName && !is_void; }
    void add(std::string_view parameter, std::string_view value);

private:
    bool set(std::size_t parameter, std::string_view value);
};

void Extension::add(std::string_view parameter, std::string_view value) {
    const auto known = std::ranges::find(kKnown, parameter, &Known::name);
    const auto at = static_cast<unsigned>(known - std::begin(kKnown));
    if (known == std::end(kKnown) || (named >> at & 1) || !set(at, value)) is_void = true;
    else named |= 1u << at;
}

bool Extension::set(std::size_t parameter, std::string_view value) {
    const Known& known = kKnown[parameter];
    if (known.flag) {
        deflation.*known.flag = true;
        return value.empty();
    }
    leaves_client_bits_open |= parameter == client_bits && value.empty();
    const int bits = value.empty() && parameter == client_bits ? 15 : window_bits_of(value);
    deflation.*known.bits = bits;
    return bits != 0;
}

// --- the grammar ---

class ExtensionReader {
public:
    explicit ExtensionReader(std::string_view list) : rest_(list) {}
    // None: that was all, or what comes next is malformed.
    std::optional<Extension> next();
    bool malformed() const { return malformed_; }

private:
    bool take(char mark);
    std::string_view take_token();
    std::string take_value();  // a token, or one in quotes; "": neither
    bool take_parameter(Extension& extension);
    void skip_blanks() { rest_.remove_prefix(std::min(rest_.find_first_not_of(" \t"), rest_.size())); }

    std::string_view rest_;
    bool malformed_ = false;
};

bool ExtensionReader::take(char mark) {
    skip_blanks();
    if (!rest_.starts_with(mark)) return false;
    rest_.remove_prefix(1);
    return true;
}

std::string_view ExtensionReader::take_token() {
    skip_blanks();
    std::size_t size = 0;
    while (is_token(rest_.substr(size, 1))) ++size;
    const std::string_view token = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return token;
}

std::string ExtensionReader::take_value() {
    if (!take('"')) return std::string(take_token());
    std::string text;
    for (std::size_t at = 0; at < rest_.size(); ++at) {
        if (rest_[at] == '"') {
            rest_.remove_prefix(at + 1);
            return is_token(text) ? text : "";
        }
        if (rest_[at] == '\\' && ++at == rest_.size()) break;
        text += rest_[at];
    }
    return {};
}

bool ExtensionReader::take_parameter(Extension& extension) {
    const std::string_view name = take_token();
    if (name.empty()) return false;
    std::string value;
    if (take('=') && (value = take_value()).empty()) return false;
    extension.add(name, value);
    return true;
}

std::optional<Extension> ExtensionReader::next() {
    while (take(',')) continue;
    if (rest_.empty()) return std::nullopt;
    const std::string_view from = rest_;
    Extension extension;
    extension.name = take_token();
    bool good = !extension.name.empty();
    while (good && take(';')) good = take_parameter(extension);
    extension.text = trim(from.substr(0, from.size() - rest_.size()));
    skip_blanks();
    malformed_ = !good || (!rest_.empty() && rest_.front() != ',');
    return malformed_ ? std::nullopt : std::optional(extension);
}

// Until `visit` says true; false: all were seen, as far as they can be read.
template <class Visit>
bool any_extension(const HeaderMap& headers, Visit&& visit) {
    for (const auto field : headers) {
        if (field.name != kField) continue;
        ExtensionReader reader(field.value);
        while (const auto extension = reader.next())
            if (visit(*extension)) return true;
    }
    return false;
}

// --- agreeing ---

std::optional<Deflation> agree(const Extension& offer, int window_bits, bool frugal) {
    // zlib makes no raw streams with windows of 8 bits.
    if (!offer.is_deflate() || offer.deflation.server_max_window_bits == 8) return std::nullopt;
    Deflation chosen = offer.deflation;
    chosen.server_max_window_bits = std::min(chosen.server_max_window_bits, window_bits);
    // RFC 7692, 7.1.2.2: only a client that named the parameter can be told.
    if (offer.names(client_bits)) chosen.client_max_window_bits = std::min(chosen.client_max_window_bits, window_bits);
    chosen.server_no_context_takeover |= frugal;
    chosen.client_no_context_takeover |= frugal;
    return chosen;
}

// RFC 7692, 7.1.1 and 7.1.2: what the client demands must be said again, what it can be told must have been named.
bool is_answer_to(const Extension& answer, const Extension& offer) {
    const Deflation &said = answer.deflation, &asked = offer.deflation;
    if (!offer.is_deflate()) return false;
    if (asked.server_no_context_takeover && !said.server_no_context_takeover) return false;
    if (offer.names(server_bits) && !answer.names(server_bits)) return false;
    if (answer.names(client_bits) && !offer.names(client_bits)) return false;
    return said.server_max_window_bits <= asked.server_max_window_bits &&
           (!answer.names(client_bits) || said.client_max_window_bits <= asked.client_max_window_bits);
}

bool was_offered(const Extension& answer, std::string_view offers) {
    if (!answer.is_deflate() || answer.leaves_client_bits_open) return false;
    ExtensionReader reader(offers);
    while (const auto offer = reader.next())
        if (is_answer_to(answer, *offer)) return true;
    return false;
}

}  // namespace

bool well_formed_extensions(const HeaderMap& headers) {
    for (const auto field : headers) {
        if (field.name != kField) continue;
        ExtensionReader reader(field.value);
        while (reader.next()) continue;
        if (reader.malformed()) return false;
    }
    return true;
}

bool chooses_offered_extension(const HeaderMap& answer, std::string_view offers) {
    std::size_t chosen = 0;
    const auto is_wrong = [&](const Extension& extension) { return ++chosen > 1 || !was_offered(extension, offers); };
    return well_formed_extensions(answer) && !any_extension(answer, is_wrong);
}

std::optional<Deflation> choose_deflation(const RequestHead& head, int window_bits, bool frugal) {
    std::optional<Deflation> chosen;
    any_extension(head.headers, [&](const Extension& offer) {
        chosen = agree(offer, window_bits, frugal);
        return chosen.has_value();
    });
    return chosen;
}

std::string to_string(const Deflation& deflation) {
    std::string text(kName);
    for (const Known& known : kKnown)
        if (known.flag && deflation.*known.flag) text.append("; ").append(known.name);
    // Said even if it is no limit: a client that named it takes an answer without it for none (RFC 7692, 7.1.2.1).
    text += "; server_max_window_bits=" + std::to_string(deflation.server_max_window_bits);
    if (deflation.client_max_window_bits < 15)
        text += "; client_max_window_bits=" + std::to_string(deflation.client_max_window_bits);
    return text;
}

std::string deflate_offers(const RequestHead& head) {
    std::string offers;
    any_extension(head.headers, [&](const Extension& offer) {
        if (offer.is_deflate()) offers.append(offers.empty() ? "" : ", ").append(offer.text);
        return false;
    });
    return offers;
}

}  // namespace sluice::websocket
