#include "config/loader_yaml.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <sstream>

#include "core/base/text.h"

namespace sluice::config {
namespace {

constexpr std::size_t kMaxDepth = 32;  // the deepest sensible file has 7 levels
constexpr std::uint64_t kMaxAliases = 1000;
constexpr std::uint64_t kMaxExpandedSize = 32ULL << 20;
constexpr std::uint64_t kNodeSize = 8;  // what a node counts beside its text

struct Abort {
    Problem problem;
};

[[noreturn]] void abort_at(Position where, std::string message) { throw Abort{{where, std::move(message)}}; }

Position position_of(const YAML::Mark& mark) { return {mark.line + 1, mark.column + 1}; }

// Where a quoted text that begins at `open` ends; npos when it does not.
std::size_t closing_quote(std::string_view source, std::size_t open) {
    const char quote = source[open];
    const char skip = quote == '"' ? '\\' : '\'';  // \" in double quotes, '' in single ones
    for (std::size_t at = open + 1; at < source.size(); ++at) {
        const bool pair = source[at] == skip && at + 1 < source.size() && (quote == '"' || source[at + 1] == '\'');
        if (pair) ++at;
        else if (source[at] == quote) return at;
    }
    return source.npos;
}

class TreeBuilder final : public YAML::EventHandler {
public:
    explicit TreeBuilder(std::string_view source) : source_(source) {}

    Tree take() { return std::move(tree_); }

    void OnDocumentStart(const YAML::Mark& mark) override {
        if (!tree_.nodes.empty())
            abort_at(position_of(mark), "expected the end of the file: it holds one document only");
    }
    void OnDocumentEnd() override {}

    void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override { add(Node::Kind::null, mark, anchor); }

    void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  const std::string& value) override {
        refuse_tag(mark, tag);
        if (tag == "!") refuse_open_quote(mark);
        const auto index = add(Node::Kind::scalar, mark, anchor);
        tree_.nodes[index].text = value;
        grow(index, value.size(), 0);
    }

    void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                         YAML::EmitterStyle::value) override {
        open(Node::Kind::list, mark, tag, anchor);
    }
    void OnSequenceEnd() override { close(); }

    void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                    YAML::EmitterStyle::value) override {
        open(Node::Kind::map, mark, tag, anchor);
    }
    void OnMapEnd() override { close(); }

    void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
        const auto index = anchors_[anchor];
        if (std::ranges::find(open_, index) != open_.end()) {
            abort_at(position_of(mark), "an alias stands inside the value that it names");
        }
        tree_.nodes[open_.back()].children.push_back(index);
        grow(open_.back(), costs_[index].size, costs_[index].aliases + 1);
        check_cost(position_of(mark), costs_[open_.back()]);
    }

private:
    // What a node costs when every alias in it is followed.
    struct Cost {
        std::uint64_t size = kNodeSize;
        std::uint64_t aliases = 0;
    };

    std::uint32_t add(Node::Kind kind, const YAML::Mark& mark, YAML::anchor_t anchor) {
        const auto index = static_cast<std::uint32_t>(tree_.nodes.size());
        tree_.nodes.push_back({kind, position_of(mark), {}, {}});
        costs_.emplace_back();
        remember(anchor, index);
        if (open_.empty()) return index;
        tree_.nodes[open_.back()].children.push_back(index);
        grow(open_.back(), kNodeSize, 0);
        return index;
    }

    // The library numbers anchors 1, 2, 3 …, and 0 is none.
    void remember(YAML::anchor_t anchor, std::uint32_t index) {
        if (anchor == 0) return;
        anchors_.resize(std::max<std::size_t>(anchors_.size(), anchor + 1));
        anchors_[anchor] = index;
    }

    void open(Node::Kind kind, const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor) {
        refuse_tag(mark, tag);
        if (open_.size() >= kMaxDepth) {
            abort_at(position_of(mark), "maps and lists are nested more than " + std::to_string(kMaxDepth) + " deep");
        }
        open_.push_back(add(kind, mark, anchor));
    }

    // Sums reach the parent when the child is complete; those of a scalar's text go up at once, see grow().
    void close() {
        const auto index = open_.back();
        open_.pop_back();
        if (open_.empty()) return;
        grow(open_.back(), costs_[index].size - kNodeSize, costs_[index].aliases);
        check_cost(tree_.nodes[index].where, costs_[open_.back()]);
    }

    void grow(std::uint32_t index, std::uint64_t size, std::uint64_t aliases) {
        costs_[index].size += size;
        costs_[index].aliases += aliases;
        const bool scalar = tree_.nodes[index].kind == Node::Kind::scalar;
        if (scalar && !open_.empty()) grow(open_.back(), size, aliases);
    }

    // Sums cannot overflow: each is checked before it is added anywhere.
    void check_cost(Position where, const Cost& cost) const {
        if (cost.aliases > kMaxAliases) abort_at(where, "more than 1,000 alias expansions");
        if (cost.size > kMaxExpandedSize && cost.aliases > 0) abort_at(where, "the aliases expand to more than 32 MiB");
    }

    void refuse_tag(const YAML::Mark& mark, const std::string& tag) const {
        if (tag.empty() || tag == "?" || tag == "!") return;
        abort_at(position_of(mark), "tags (such as !!int) are not supported");
    }

    // The library takes a quoted text that is never closed, and a file that is cut off must not pass.
    void refuse_open_quote(const YAML::Mark& mark) const {
        auto at = static_cast<std::size_t>(mark.pos);
        while (at < source_.size() && source_[at] == '&') {
            at = source_.find_first_not_of(" \t\r\n", source_.find_first_of(" \t\r\n", at));
        }
        if (at >= source_.size() || (source_[at] != '"' && source_[at] != '\'')) return;
        if (closing_quote(source_, at) == source_.npos) {
            abort_at(position_of(mark), "the quoted text that begins here is not closed");
        }
    }

    std::string_view source_;
    Tree tree_;
    std::vector<Cost> costs_;  // by node
    std::vector<std::uint32_t> anchors_;
    std::vector<std::uint32_t> open_;
};

Position position_at(std::string_view text, std::size_t offset) {
    const auto before = text.substr(0, offset);
    const auto line_start = before.rfind('\n') + 1;  // npos + 1 is 0: the first line
    return {static_cast<int>(std::ranges::count(before, '\n')) + 1, static_cast<int>(offset - line_start) + 1};
}

bool is_forbidden(char c) {
    return (static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\r' && c != '\t') || c == 0x7f;
}

std::string name_of_byte(char c) { return c == 0 ? "a NUL byte" : "the control character " + escape_control({&c, 1}); }

tl::expected<void, Problem> check_bytes(std::string_view text) {
    if (const auto broken = first_invalid_utf8(text)) {
        return tl::unexpected(Problem{position_at(text, *broken), "expected UTF-8 text, got a byte that is not"});
    }
    const auto found = std::ranges::find_if(text, is_forbidden);
    if (found == text.end()) return {};
    const auto offset = static_cast<std::size_t>(found - text.begin());
    return tl::unexpected(Problem{position_at(text, offset), "expected text, got " + name_of_byte(*found)});
}

std::string_view line_at(std::string_view text, int line) {
    std::size_t start = 0;
    for (int i = 1; i < line; ++i) {
        const auto end = text.find('\n', start);
        if (end == text.npos) return {};
        start = end + 1;
    }
    return text.substr(start, text.find('\n', start) - start);
}

bool is_indented_by_tab(std::string_view line) {
    const auto tab = line.find('\t');
    return tab != line.npos && line.find_first_not_of(" \t") > tab;
}

// What people write and YAML does not mean.
std::string_view syntax_hint(std::string_view line) {
    if (is_indented_by_tab(line)) return " (indentation is made of spaces, not of tabs)";
    if (line.find(": [") != line.npos && line.find("]:") != line.npos)
        return " (a v6 address in brackets needs quotes)";
    return {};
}

Problem syntax_problem(std::string_view text, const YAML::Exception& error) {
    const Position where = error.mark.is_null() ? Position{} : position_of(error.mark);
    return {where, "wrong YAML: " + error.msg + std::string(syntax_hint(line_at(text, where.line)))};
}

Tree build(std::string_view text) {
    std::istringstream in{std::string(text)};
    YAML::Parser parser(in);
    TreeBuilder builder(text);
    // Called a second time only to find what should not be there: that call throws, or finds nothing.
    if (parser.HandleNextDocument(builder)) parser.HandleNextDocument(builder);
    return builder.take();
}

}  // namespace

tl::expected<Tree, Problem> parse_tree(std::string_view text) {
    constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
    if (text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
    if (const auto bytes = check_bytes(text); !bytes) return tl::unexpected(bytes.error());
    try {
        return build(text);
    } catch (const Abort& abort) {
        return tl::unexpected(abort.problem);
    } catch (const YAML::Exception& error) {
        return tl::unexpected(syntax_problem(text, error));
    } catch (const std::exception& error) {
        return tl::unexpected(Problem{{}, std::string("wrong YAML: ") + error.what()});
    }
}

}  // namespace sluice::config
