#include "config/loader.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <tuple>

#include "config/loader_reader.h"
#include "config/loader_yaml.h"
#include "config/validate.h"

namespace sluice::config {
namespace {

constexpr std::size_t kMaxFileSize = 4 << 20;
constexpr std::size_t kMaxProblems = 1000;  // a file of another kind altogether has one in each line
constexpr std::size_t kReadSize = 64 * 1024;

tl::unexpected<Diagnostics> refuse(const std::string& file, Position where, std::string message) {
    return tl::unexpected(Diagnostics{{file, where, {}, std::move(message)}});
}

tl::unexpected<Diagnostics> refuse_size(const std::string& file) {
    return refuse(file, {}, "expected at most 4 MiB, the file is larger");
}

Diagnostics in_order(Diagnostics problems) {
    const auto order = [](const Diagnostic& d) { return std::tie(d.where.line, d.where.column, d.path, d.message); };
    std::ranges::stable_sort(problems, {}, order);
    return problems;
}

Diagnostics cut(Diagnostics problems, const std::string& file) {
    if (problems.size() <= kMaxProblems) return problems;
    const std::size_t more = problems.size() - kMaxProblems;
    problems.resize(kMaxProblems);
    problems.push_back({file, {}, {}, "and " + std::to_string(more) + " more problems"});
    return problems;
}

class File {
public:
    explicit File(const std::string& path) : fd_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {}
    ~File() {
        if (fd_ >= 0) ::close(fd_);
    }
    File(const File&) = delete;
    File& operator=(const File&) = delete;

    bool ok() const { return fd_ >= 0; }

    // Bytes appended, 0 at the end, -1 with errno.
    ssize_t append_to(std::string& text) const {
        const std::size_t before = text.size();
        text.resize(before + kReadSize);
        ssize_t count = 0;
        do count = ::read(fd_, text.data() + before, kReadSize);
        while (count < 0 && errno == EINTR);
        text.resize(before + static_cast<std::size_t>(std::max<ssize_t>(count, 0)));
        return count;
    }

private:
    int fd_;
};

Checked<std::string> read_file(const std::string& path) {
    const auto unreadable = [&] { return refuse(path, {}, std::string("cannot be read: ") + std::strerror(errno)); };
    const File file(path);
    if (!file.ok()) return unreadable();
    std::string text;
    for (ssize_t count = 1; count > 0;) {
        count = file.append_to(text);
        if (count < 0) return unreadable();
        if (text.size() > kMaxFileSize) return refuse_size(path);
    }
    return text;
}

}  // namespace

Checked<Loaded> load_text(std::string_view yaml, const std::string& file_name, const SettingsTable& table) {
    if (yaml.size() > kMaxFileSize) return refuse_size(file_name);
    const auto tree = parse_tree(yaml);
    if (!tree) return refuse(file_name, tree.error().where, tree.error().message);
    if (tree->nodes.empty() || tree->at(tree->root).kind == Node::Kind::null) {
        return refuse(file_name, {}, "the file is empty, expected at least one listener");
    }
    Reader reader(*tree, table, file_name);
    Loaded loaded{reader.read(), {}};
    Findings findings = validate(loaded.config, reader.positions(), file_name, table);
    Diagnostics problems = reader.take_problems();
    problems.insert(problems.end(), findings.errors.begin(), findings.errors.end());
    if (!problems.empty()) return tl::unexpected(cut(in_order(std::move(problems)), file_name));
    loaded.warnings = in_order(std::move(findings.warnings));
    return loaded;
}

Checked<Loaded> load_file(const std::string& path, const SettingsTable& table) {
    const auto text = read_file(path);
    if (!text) return tl::unexpected(text.error());
    return load_text(*text, path, table);
}

}  // namespace sluice::config
