#include "config/print.h"

namespace sluice::config {
namespace {

// Text that roff takes as it is: no escapes, no hyphen turned into a dash, no line that begins with a request.
std::string roff(std::string_view text) {
    std::string out;
    for (const char c : text) {
        if (c == '\\') out += "\\e";
        else if (c == '-') out += "\\-";
        else if ((c == '.' || c == '\'') && (out.empty() || out.back() == '\n')) out += std::string("\\&") + c;
        else out += c;
    }
    return out;
}

constexpr std::string_view kIntro = R"(.SH NAME
sluice.yaml \- configuration of the connection gateway sluiced
.SH SYNOPSIS
.I /etc/sluice/sluice.yaml
.SH DESCRIPTION
The file is YAML, in UTF\-8, of at most 4 MiB.
Keys that are not listed here are errors, and so are keys given twice.
.B sluiced \-\-check
tells every problem at once, with its line and column.
.PP
Durations are whole numbers with a unit:
.BR ms ", " s ", " m ", " h " or " d .
Sizes are bytes, or whole numbers with one of the units
.BR B ", " KiB ", " MiB ", " GiB " and " TiB ;
rates have
.B /s
behind it.
A 0 needs no unit.
.PP
Each key says when a change takes effect in a running daemon:
.TP
.B live
At once, for connections that are open too.
.TP
.B new_connections
For connections that are accepted, or opened to an upstream, from then on.
.TP
.B rebind
At once, by listening anew.
.TP
.B restart
When the listener or the daemon is restarted; until then it is shown as pending.
)";

constexpr std::string_view kOutro = R"(.SH FILES
.I /etc/sluice/sluice.yaml
.SH SEE ALSO
.BR sluiced (8),
.BR sluicectl (1)
)";

std::string default_text(const Setting& row) {
    const std::string own = row.own_default_text();
    return row.format(row.member.initial()) + (own.empty() ? "" : "; " + own);
}

std::string value_lines(const Setting& row) {
    std::string out = "Value: " + roff(row.expected()) + ".\n";
    if (row.presence == Presence::required) out += "Required.\n";
    if (row.presence == Presence::optional) out += "Default: " + roff(default_text(row)) + ".\n";
    if (const std::string only = only_text(row); !only.empty()) out += "Protocols: " + roff(only) + ".\n";
    return out + "Change: " + roff(change_text(row)) + ".\n";
}

std::string row_entry(const Setting& row) {
    return ".TP\n.B " + roff(row.key) + "\n" + roff(row.help) + "\n.br\n" + value_lines(row);
}

std::string section_entry(const SettingsTable& table, const SectionInfo& info) {
    const std::string path = section_path(info.id);
    std::string out = ".SS " + (path.empty() ? "Top level" : roff(path)) + "\n" + roff(info.help) + "\n";
    if (info.like) return out;
    for (const Setting* row : table.rows_of(info.id)) out += row_entry(*row);
    return out;
}

}  // namespace

std::string reference_man(const SettingsTable& table) {
    std::string out = ".TH SLUICE.YAML 5 \"\" \"sluice " SLUICE_VERSION "\" \"File formats\"\n";
    out += std::string(kIntro) + ".SH KEYS\n" + section_entry(table, section_info(Section::root));
    for (const SectionInfo& info : sections()) out += section_entry(table, info);
    return out + std::string(kOutro);
}

}  // namespace sluice::config
