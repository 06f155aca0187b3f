#pragma once
// A YAML text as a tree with the place of every node: what the loader reads, and all it knows of YAML.
// The tree is a value; aliases are shared nodes, so a small file stays small whatever it expands to.
// The limits here (depth, aliases, size once expanded) are checked while the text is read, before any walk.
// Not to be asked what the keys mean. The YAML library is used behind this header and nowhere else.

#include <cstdint>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <vector>

#include "config/config.h"

namespace sluice::config {

struct Node {
    enum class Kind { null, scalar, list, map } kind = Kind::null;
    Position where;
    std::string text;                     // of a scalar
    std::vector<std::uint32_t> children;  // of a list; of a map key, value, key, value …
};

struct Tree {
    std::vector<Node> nodes;
    std::uint32_t root = 0;  // there is none when nodes is empty: a file of comments
    const Node& at(std::uint32_t index) const { return nodes[index]; }
};

struct Problem {
    Position where;  // {0,0}: the whole text
    std::string message;
};

tl::expected<Tree, Problem> parse_tree(std::string_view text);

}  // namespace sluice::config
