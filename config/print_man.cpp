#include "config/print.h"

#include "core/base/text.h"

namespace sluice::config {
namespace {

// Text that roff takes as it is: no escapes, no hyphen turned into a dash, no quote bent, no line that begins with a
// request. What stands between backticks is bold.
std::string roff(std::string_view text) {
    std::string out;
    bool bold = false;
    for (const char c : text) {
        if (c == '\\') out += "\\e";
        else if (c == '-') out += "\\-";
        else if (c == '^') out += "\\(ha";
        else if (c == '~') out += "\\(ti";
        else if (c == '`') out += (bold = !bold) ? "\\fB" : "\\fR";
        else if ((c == '.' || c == '\'') && (out.empty() || out.back() == '\n')) out += std::string("\\&") + c;
        else if (c == '\'') out += "\\(aq";
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
It has listeners, each with an address, a pool of connections and routes; upstreams, to which routes lead; and what
holds for the whole process.
Only
.B listeners
must be there, and what is left out has its default.
Keys that are not listed here are errors, and so are keys given twice.
.PP
.B sluiced \-\-check \-\-config
.I FILE
tells every problem at once, as
.IR file : line : column ": " path ": " message .
.B sluiced \-\-print\-defaults
prints all keys with their defaults as a commented file, and
.B sluiced \-\-print\-schema
a JSON Schema for editors.
.SS Values
Durations are whole numbers with a unit:
.BR ms ", " s ", " m ", " h " or " d .
Sizes are bytes, or whole numbers with one of the units
.BR B ", " KiB ", " MiB ", " GiB " and " TiB ;
rates have
.B /s
behind it.
A 0 needs no unit.
A list that has one element may be written as that element.
Values of headers that may be secrets are hidden in what
.BR sluicectl (1)
and the log show.
.SS Reload
Saving the file, SIGHUP,
.B systemctl reload sluice
and
.B sluicectl reload
do the same: the file is read and checked, all that can fail is prepared, such as to bind a new address, and only then
it is in force, as a whole.
A file with a mistake changes nothing.
The content of certificate, key, CA and OCSP files counts as a part of the file: one that is replaced is picked up by
itself.
.B sluicectl plan
.I FILE
shows beforehand what a file would change.
.PP
Each key has a class, the
.I Change
below, that says when a new value takes effect in a running daemon:
.TP
.B live
At once, for connections that are open too.
Requests that are running finish on the route that they began with.
.TP
.B new_connections
For connections that are accepted, or opened to an upstream, from then on; those that are open keep the old value.
.TP
.B rebind
At once, by listening anew; connections that are open stay.
.TP
.B restart
When the listener
.RB ( "sluicectl restart"
.IR NAME )
or the daemon is restarted; until then it is shown as pending.
)";

constexpr std::string_view kOutro = R"(.SH EXAMPLES
A web site with a service behind it.
Requests below /api go to one of two endpoints, over connections that are kept open; all others are answered from memory.
.PP
.EX
listeners:
  \- name: web
    protocol: http
    bind: 0.0.0.0:8080
    pool: {max_connections: 5000, keep_alive_timeout: 75s}
    routes:
      \- match: {path: /api}
        proxy: {upstream: api, strip_prefix: /api}
      \- match: {path: /}
        respond: {status: 200, body: "Hello, World!\en"}
upstreams:
  \- name: api
    endpoints: [127.0.0.1:9001, 127.0.0.1:9002]
    pool: {min_connections: 2, max_connections: 100}
    health_check: {path: /healthz}
.EE
.PP
HTTP/2 and WebSockets over TLS, and gRPC without.
.PP
.EX
listeners:
  \- name: secure
    protocol: http2
    bind: 0.0.0.0:8443
    tls: {certificate: self\-signed}
    routes:
      \- match: {host: www.example.com, path: /chat}
        websocket:
          relay: {upstream: chat}
          origins: ["https://www.example.com"]
      \- match: {host: example.com}
        redirect: {status: 301, location: "https://www.example.com{path}"}
      \- match: {path: /}
        respond: {status: 200, body: "Hello, HTTP/2!\en"}
  \- name: calls
    protocol: grpc
    bind: 127.0.0.1:50051
    routes:
      \- builtin: {services: [health, reflection]}
      \- match: {path: /shop.Orders/}
        proxy: {upstream: orders}
upstreams:
  \- name: chat
    protocol: websocket
    endpoints: dns:chat.internal:9100
  \- name: orders
    protocol: grpc
    endpoints: [10.1.0.7:50051, "10.1.0.8:50051 weight=2"]
    health_check: {service: shop.Orders}
.EE
.SH FILES
.TP
.I /etc/sluice/sluice.yaml
The file that is read unless
.B \-\-config
names another one.
.SH SEE ALSO
.BR sluicectl (1),
.BR sluiced (8)
)";

std::string default_text(const Setting& row) {
    const std::string own = row.own_default_text();
    return row.format(row.member.initial()) + (own.empty() ? "" : "; " + own);
}

std::string value_lines(const Setting& row) {
    std::string out = "Value: " + roff(row.expected()) + ".\n";
    if (row.presence == Presence::required) out += "Required.\n";
    if (row.presence == Presence::optional) out += "Default: " + roff(default_text(row)) + ".\n";
    if (row.presence == Presence::condition) out += "Default: no condition.\n";
    if (const std::string only = only_text(row); !only.empty()) out += "Protocols: " + roff(only) + ".\n";
    return out + "Change: " + roff(change_text(row)) + ".\n";
}

std::string row_entry(const Setting& row) {
    return ".TP\n.B " + roff(row.key) + "\n" + roff(row.help) + "\n.br\n" + value_lines(row);
}

// One for each part of the file, with the maps and lists in it below.
std::string heading(const SectionInfo& info) {
    if (info.id == Section::root) return ".SH TOP LEVEL\n";
    if (info.parent == Section::root) return ".SH " + to_upper(info.key) + "\n";
    return ".SS " + roff(section_path(info.id)) + "\n";
}

// By Form. What can come and go has a class of its own.
constexpr std::string_view kForms[] = {"", "May be left out.", "A list.", "One of several that exclude each other."};

std::string form_text(const SectionInfo& info) {
    if (info.form == Form::map) return {};
    std::string out = ".br\n" + std::string(kForms[static_cast<std::size_t>(info.form)]) + "\n";
    if (info.required) out += "Required, not empty.\n";
    if (info.form == Form::alternative) return out;
    return out + "Change, when one is added or removed: " + std::string(to_string(info.reload_class)) + ".\n";
}

std::string section_entry(const SettingsTable& table, const SectionInfo& info) {
    std::string out = heading(info) + roff(info.help) + "\n" + form_text(info);
    if (info.like) return out;
    for (const Setting* row : table.rows_of(info.id)) out += row_entry(*row);
    return out;
}

}  // namespace

std::string reference_man(const SettingsTable& table) {
    std::string out = ".TH SLUICE.YAML 5 \"\" \"sluice " SLUICE_VERSION "\" \"File formats\"\n.nh\n.ad l\n";
    out += std::string(kIntro) + section_entry(table, section_info(Section::root));
    for (const SectionInfo& info : sections()) out += section_entry(table, info);
    return out + std::string(kOutro);
}

}  // namespace sluice::config
