#pragma once
// Reader: walks a YAML tree along the settings table and fills a Config, collecting every problem on the way.
// Made by load_text for one file and gone with it. A wrong value leaves the default in place and the walk goes on.
// Not to be asked what spans keys: config/validate has the whole Config before it.

#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "config/diagnostic.h"
#include "config/loader_yaml.h"
#include "config/positions.h"
#include "config/settings.h"

namespace sluice::config {

class Reader {
public:
    Reader(const Tree& tree, const SettingsTable& table, std::string file)
        : tree_(tree), table_(table), file_(std::move(file)) {}

    Config read();
    Diagnostics take_problems() { return std::move(problems_); }
    const Positions& positions() const { return positions_; }

private:
    // A node, and where a person would look for it: null has no place of its own, so it gets its key's.
    struct Spot {
        const Node& node;
        Position where;
        std::string path;
    };
    using SeenKeys = std::unordered_map<std::string, Position>;

    void read_section(const Spot& spot, const SectionInfo& info, Target parent);
    void read_list(const Spot& spot, const SectionInfo& info, Target parent);
    void read_element(const Spot& spot, Section section, Target target);
    void read_map(const Spot& spot, Section section, Target target);
    bool read_entry(const Spot& value, const std::string& key, Section section, Target target);
    void read_setting(const Spot& spot, const Setting& row, Target target);

    std::optional<Value> read_value(const Spot& spot, const Setting& row);
    std::optional<Value> read_scalar(const Spot& spot, const Setting& row);
    std::optional<Value> read_texts(const Spot& spot, const Setting& row);
    std::optional<Value> read_headers(const Spot& spot, const Setting& row);
    std::optional<std::pair<std::string, std::string>> read_header(const Spot& name, const Spot& value,
                                                                   const Setting& row);
    std::optional<std::string> checked(const Spot& spot, TextCheck check);

    std::optional<std::string> read_key(const Spot& key, const SeenKeys& seen);
    void check_complete(const Spot& map, Section section, const SeenKeys& seen);
    void check_alternatives(const Spot& map, Section section, const SeenKeys& seen);
    void unknown_key(const Spot& value, const std::string& key, Section section);
    void note_place(Target target, const Spot& spot);
    void look_for_protocol(const Node& map, Section section, Target target);

    Spot child(const Spot& parent, std::size_t at, const std::string& path) const;
    Spot value_of(const Spot& map, std::size_t entry, const std::string& path) const;
    std::nullopt_t fail(const Spot& spot, std::string message);

    const Tree& tree_;
    const SettingsTable& table_;
    std::string file_;
    Diagnostics problems_;
    Positions positions_;
    Protocol protocol_ = Protocol::http;  // of the listener or upstream that is read just now
};

}  // namespace sluice::config
