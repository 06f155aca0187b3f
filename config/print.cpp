#include "config/print.h"

#include <algorithm>
#include <vector>

#include "core/base/text.h"

namespace sluice::config {
namespace {

using Lines = std::vector<std::string>;

constexpr std::size_t kCommentWidth = 90;

enum class Comments { none, all };

void append(Lines& lines, const Lines& more, const std::string& indent) {
    for (const std::string& line : more) lines.push_back(line.empty() ? line : indent + line);
}

// "# " before each line, no line longer than kCommentWidth.
Lines comment(std::string_view text) {
    Lines lines;
    while (!text.empty()) {
        std::size_t end = text.size();
        if (end > kCommentWidth) end = text.rfind(' ', kCommentWidth);
        if (end == text.npos) end = std::min(text.find(' '), text.size());
        lines.push_back("# " + std::string(text.substr(0, end)));
        text.remove_prefix(std::min(end + 1, text.size()));
    }
    return lines;
}

bool is_comment(const std::string& line) { return line.empty() || line.starts_with('#'); }

class YamlWriter {
public:
    YamlWriter(const SettingsTable& table, Comments comments) : table_(table), comments_(comments) {}

    Lines section(Section section, ConstTarget target) const {
        Lines lines;
        for (const Setting* row : table_.rows_of(section)) append(lines, setting(*row, target), "");
        for (const SectionInfo* info : children_of(section)) append(lines, child(*info, target), "");
        return lines;
    }

private:
    Lines setting(const Setting& row, ConstTarget target) const {
        const Value value = row.member.get(target);
        if (row.presence == Presence::condition && value == row.member.initial()) return {};
        Lines lines = remark(std::string(row.help) + " [" + row_facts(row) + "]");
        lines.push_back(std::string(row.key) + ": " + row.format(value));
        return lines;
    }

    Lines child(const SectionInfo& info, ConstTarget target) const {
        const auto elements = info.elements(target);
        if (elements.empty() && info.form == Form::alternative) return {};
        Lines lines = remark(info.help);
        if (comments_ == Comments::all) lines.insert(lines.begin(), "");
        const Lines inner = info.form == Form::list ? list(info, elements) : section(info.id, elements[0]);
        const std::string empty = info.form == Form::list ? " []" : " {}";
        lines.push_back(std::string(info.key) + ":" + (inner.empty() ? empty : ""));
        append(lines, inner, "  ");
        return lines;
    }

    Lines list(const SectionInfo& info, const std::vector<ConstTarget>& elements) const {
        Lines lines;
        for (const ConstTarget& element : elements) append(lines, item(section(info.id, element)), "");
        return lines;
    }

    // The dash goes to the first line that is no comment.
    static Lines item(Lines lines) {
        const auto first = std::ranges::find_if_not(lines, is_comment);
        for (auto line = lines.begin(); line != lines.end(); ++line) {
            if (!line->empty()) line->insert(0, line == first ? "- " : "  ");
        }
        return lines;
    }

    Lines remark(std::string_view text) const { return comments_ == Comments::all ? comment(text) : Lines{}; }

    const SettingsTable& table_;
    Comments comments_;
};

std::string joined(const Lines& lines) {
    std::string out;
    for (const std::string& line : lines) out += line + "\n";
    return out;
}

void set_examples(const SettingsTable& table, Section section, Target target) {
    for (const Setting* row : table.rows_of(section)) {
        if (row->example.empty()) continue;
        const auto value = parse_scalar(row->type, row->names, std::string(row->example));
        if (value) row->member.set(target, *value);
    }
}

RouteConfig example_route(std::string path, RouteAction action) {
    RouteConfig route;
    route.match.path = std::move(path);
    route.action = std::move(action);
    return route;
}

// The defaults, and what has none: one listener, with a route of each kind.
Config example_config(const SettingsTable& table) {
    Config config;
    ListenerConfig& listener = config.listeners.emplace_back();
    set_examples(table, Section::listener, &listener);
    RedirectAction redirect;
    set_examples(table, Section::redirect, &redirect);
    listener.routes = {example_route("/", RespondAction{}), example_route("/old", redirect),
                       example_route("/echo", EchoAction{})};
    return config;
}

}  // namespace

std::string row_facts(const Setting& row) {
    std::string out = row.type == Type::choice ? row.expected() : row.range_text();
    if (!out.empty()) out += "; ";
    return out + std::string(to_string(row.reload_class(Protocol::http)));
}

std::string to_yaml(const Config& config, const SettingsTable& table) {
    return joined(YamlWriter(table, Comments::none).section(Section::root, &config));
}

std::string defaults_yaml(const SettingsTable& table) {
    const Config config = example_config(table);
    const Lines intro = comment(
        "Every key with its default. In brackets: the range, and when a change takes effect. live: at once, for "
        "connections that are open too. new_connections: for those to come. rebind: by listening anew. restart: with "
        "the next restart. What has no default (listeners and routes) stands here as an example.");
    return joined(intro) + "\n" + joined(YamlWriter(table, Comments::all).section(Section::root, &config));
}

}  // namespace sluice::config
