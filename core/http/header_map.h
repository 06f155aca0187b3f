#pragma once
// Header or trailer fields in the order they came: one text buffer and an index into it, so that a message costs no
// allocation per field. Cleared and reused by its owner. Names are lower case; values are trimmed, not interpreted.
// Views that it returns are valid until it is changed.

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/base/byte_queue.h"

namespace sluice {

class HeaderMap {
public:
    struct Field {
        std::string_view name, value;
    };

    HeaderMap() = default;
    HeaderMap(std::initializer_list<std::pair<std::string_view, std::string_view>> fields) {
        for (const auto& [name, value] : fields) add(name, value);
    }

    void clear();
    void add(std::string_view name, std::string_view value);  // the name is stored in lower case

    // For parsers: keeps `text` as the buffer, then fields are pieces of it. A name's letters are lowered in place.
    std::string_view store(Bytes text);
    void add_stored(std::string_view name, std::string_view value);

    // For what passes messages on. `keep` and `drop` are asked once for each field. The text is taken over as a whole,
    // and keeps what was dropped.
    template <class Keep>
    void assign_if(const HeaderMap& from, Keep&& keep) {
        text_ = from.text_;
        index_.clear();
        for (const Place& place : from.index_)
            if (keep(field_at(place))) index_.push_back(place);
    }
    template <class Drop>
    void remove_if(Drop&& drop) {
        std::erase_if(index_, [&](const Place& place) { return drop(field_at(place)); });
    }

    std::size_t size() const { return index_.size(); }
    bool empty() const { return index_.empty(); }
    Field operator[](std::size_t i) const { return field_at(index_[i]); }
    // The value of the first field of that (lower case) name; a null view if there is none.
    std::string_view get(std::string_view name) const;
    std::size_t count(std::string_view name) const;
    bool has(std::string_view name) const { return count(name) > 0; }
    // At least those of all names and values.
    std::size_t bytes() const { return text_.size(); }
    std::size_t capacity() const { return text_.capacity() + index_.capacity() * sizeof(Place); }

    class Iterator {
    public:
        Iterator(const HeaderMap& map, std::size_t at) : map_(map), at_(at) {}
        Field operator*() const { return map_[at_]; }
        Iterator& operator++() {
            ++at_;
            return *this;
        }
        bool operator!=(const Iterator& other) const { return at_ != other.at_; }

    private:
        const HeaderMap& map_;
        std::size_t at_;
    };
    Iterator begin() const { return {*this, 0}; }
    Iterator end() const { return {*this, size()}; }

private:
    struct Place {
        std::uint32_t name, name_size, value, value_size;
    };
    Field field_at(const Place& place) const {
        return {{text_.data() + place.name, place.name_size}, {text_.data() + place.value, place.value_size}};
    }
    std::uint32_t offset(std::string_view piece) const {
        return static_cast<std::uint32_t>(piece.data() - text_.data());
    }

    std::string text_;
    std::vector<Place> index_;
};

}  // namespace sluice
