#include "core/http/header_map.h"

#include <cstring>

namespace sluice {

namespace {

// Eight bytes at a time: a byte of them is a capital if it is ASCII and its seven bits are in A to Z.
std::uint64_t lowered(std::uint64_t eight) {
    constexpr std::uint64_t kEach = 0x0101'0101'0101'0101, kHigh = 0x80 * kEach;
    const std::uint64_t sevens = eight & ~kHigh;
    const std::uint64_t from_a = sevens + (0x80 - 'A') * kEach, above_z = sevens + (0x7f - 'Z') * kEach;
    return eight | ((from_a & ~above_z & ~eight & kHigh) >> 2);
}

void lower(char* text, std::size_t size) {
    std::uint64_t word = 0;
    for (; size >= sizeof word; text += sizeof word, size -= sizeof word) {
        std::memcpy(&word, text, sizeof word);
        word = lowered(word);
        std::memcpy(text, &word, sizeof word);
    }
    // Without a branch: names come in all spellings.
    for (std::size_t i = 0; i < size; ++i)
        text[i] = static_cast<char>(text[i] | (static_cast<unsigned char>(text[i] - 'A') < 26) << 5);
}

std::string_view trimmed(std::string_view value) {
    while (!value.empty() && (value.front() == ' ' || value.front() == '\t')) value.remove_prefix(1);
    while (!value.empty() && (value.back() == ' ' || value.back() == '\t')) value.remove_suffix(1);
    return value;
}

}  // namespace

void HeaderMap::clear() {
    text_.clear();
    index_.clear();
}

void HeaderMap::add(std::string_view name, std::string_view value) {
    value = trimmed(value);
    const auto at = static_cast<std::uint32_t>(text_.size());
    const auto name_size = static_cast<std::uint32_t>(name.size());
    text_.append(name).append(value);
    lower(text_.data() + at, name.size());
    index_.push_back({at, name_size, at + name_size, static_cast<std::uint32_t>(value.size())});
}

std::string_view HeaderMap::store(Bytes text) {
    text_.assign(text);
    return text_;
}

void HeaderMap::add_stored(std::string_view name, std::string_view value) {
    value = trimmed(value);
    lower(text_.data() + offset(name), name.size());
    const auto value_at = value.empty() ? 0 : offset(value);
    index_.push_back(
        {offset(name), static_cast<std::uint32_t>(name.size()), value_at, static_cast<std::uint32_t>(value.size())});
}

std::string_view HeaderMap::get(std::string_view name) const {
    for (const Field field : *this)
        if (field.name == name) return field.value;
    return {};
}

std::size_t HeaderMap::count(std::string_view name) const {
    std::size_t found = 0;
    for (const Field field : *this) found += field.name == name;
    return found;
}

}  // namespace sluice
