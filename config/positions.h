#pragma once
// Where each key of a file stands, by its path (listeners[0].pool.max_connections).
// Filled by the loader with what it could read, asked by config/validate, and gone when the file is loaded.
// A path that is not in it was left out or is wrong already, and the loader has said so.

#include <string>
#include <unordered_map>
#include <unordered_set>

#include "config/config.h"

namespace sluice::config {

class Positions {
public:
    void add(const std::string& path, Position where) { places_.emplace(path, where); }
    void add_wrong(const std::string& path) { wrong_.insert(path); }
    // Written with a value that was refused: what stands in the Config is not what was meant.
    bool wrong(const std::string& path) const { return wrong_.contains(path); }
    bool has(const std::string& path) const { return places_.contains(path); }

    Position of(const std::string& path) const {
        const auto found = places_.find(path);
        return found == places_.end() ? Position{} : found->second;
    }

private:
    std::unordered_map<std::string, Position> places_;
    std::unordered_set<std::string> wrong_;
};

}  // namespace sluice::config
