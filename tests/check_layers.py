#!/usr/bin/env python3
"""Checks the shape of the source tree: who may include whom, and that files and functions stay small.

    check_layers.py [ROOT]       checks the tree; exit code 1 and one line a finding
    check_layers.py --self-test  shows that each rule can fail
"""

import dataclasses
import pathlib
import re
import sys
import tempfile

MAX_FILE_LINES = 500
MAX_FUNCTION_LINES = 60
TOP_FOLDERS = ("core", "config", "protocols", "daemon")
ANYBODY_MAY_READ = ("config/config.h",)  # plain structs

# Folder -> folders it may include besides itself. The longest that fits counts; "*" is one path segment.
CORE_BASE = ["core/base"]
CORE_METRICS = ["core/metrics", *CORE_BASE]
CORE_NET = ["core/net", *CORE_METRICS]
CORE_HTTP = ["core/http", *CORE_NET]
CORE_UPSTREAM = ["core/upstream", *CORE_HTTP]
LAYERS = {
    "core/base": [],
    "core/metrics": CORE_BASE,
    "core/net": CORE_METRICS,
    "core/http": CORE_NET,
    "core/upstream": CORE_HTTP,
    "config": CORE_BASE,
    "protocols/*": CORE_UPSTREAM,
    "protocols/grpc": [*CORE_UPSTREAM, "protocols/http2"],  # gRPC is HTTP/2 with rules
    "daemon/ctl": CORE_BASE,
    "daemon/admin": [*CORE_UPSTREAM, "config"],
    "daemon": ["daemon/admin", "protocols", "config", *CORE_UPSTREAM],
}

# Library header -> the path prefixes that may include it.
LIBRARIES = {
    r"uv\.h$|uv/": ["core/net/", "daemon/"],
    r"openssl/": ["core/net/tls_"],
    r"llhttp": ["protocols/http1/"],
    r"nghttp2/": ["protocols/http2/"],
    r"grpc(pp)?/|google/protobuf/|.*\.pb\.h$": ["protocols/grpc/services"],
    r"yaml-cpp/": ["config/loader"],
    r"spdlog/": ["core/base/log"],
    r"systemd/sd-journal\.h": ["core/base/log"],
    r"systemd/": ["core/base/log", "daemon/"],
    r"nlohmann/": ["daemon/"],
    r"CLI/": ["daemon/"],
}

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^">]+)[">]', re.MULTILINE)


def row_of(path):
    """The key in LAYERS of a file: the longest that fits its folder."""
    folder = path.rpartition("/")[0]
    rows = [key for key in LAYERS if re.match(re.escape(key).replace(r"\*", "[^/]+") + "(/|$)", folder)]
    return max(rows, key=lambda key: (key.count("/"), "*" not in key), default=None)


def folder_of(path):
    """The folder whose rules a file follows: "protocols/http1" for its files, "daemon" for daemon/modules.cpp."""
    row = row_of(path)
    return row and "/".join(path.split("/")[: row.count("/") + 1])


def may_include(path, header):
    if header in ANYBODY_MAY_READ:
        return True
    mine, other = folder_of(path), folder_of(header)
    if mine == other:
        return True
    allowed = LAYERS[row_of(path)]
    return any(other == folder or other.startswith(folder + "/") for folder in allowed)


def check_includes(path, text):
    for match in INCLUDE.finditer(text):
        bracket, header = match.groups()
        line = text.count("\n", 0, match.start()) + 1
        if bracket == '"' and folder_of(header) is None:
            yield f"{path}:{line}: \"{header}\" is not a path from the top of the tree"
        elif bracket == '"' and not may_include(path, header):
            yield f"{path}:{line}: a file of {folder_of(path)} must not include {header}"
        elif bracket == "<":
            rule = next((places for name, places in LIBRARIES.items() if re.match(name, header)), None)
            if rule and not path.startswith(tuple(rule)):
                yield f"{path}:{line}: <{header}> belongs to {' and '.join(rule)}"


# --- functions -------------------------------------------------------------------------------------------------------

NOISE = re.compile(
    r"""(?P<comment>//[^\n]*|/\*.*?\*/)
      | (?P<raw>R"(?P<mark>[^(\s]*)\(.*?\)(?P=mark)")
      | (?P<string>"(?:\\.|[^"\\\n])*")
      | (?P<char>(?<![0-9a-fA-F])'(?:\\.|[^'\\\n])+')
      | (?P<directive>^[ \t]*\#(?:\\\n|[^\n])*)""",
    re.VERBOSE | re.DOTALL | re.MULTILINE,
)
TEMPLATE = re.compile(r"\btemplate\s*<[^;{}]*?>\s*(?=[\w\[:~])")
TYPE = re.compile(r"\b(class|struct|union|enum)\b")
LAMBDA = re.compile(r"\[[^\[\]]*\]\s*(\([^;]*\))?[^;()\[\]]*$")
FUNCTION = re.compile(r"\)\s*(const|noexcept|override|final|mutable|&&?|\s|->[\s\w:<>,*&]+|requires\b.*)*$", re.DOTALL)
MEMBER_INIT = re.compile(r"\)[^;{}]*:(?!:)[^;]*[\w>]\s*$", re.DOTALL)


@dataclasses.dataclass
class Scope:
    kind: str  # "outer" (namespace, type), "value" (braces of an initialiser) or "function"
    head: str
    line: int


@dataclasses.dataclass
class Function:
    name: str
    line: int
    length: int


def without_noise(text):
    """The text without comments, literals and directives, with its newlines."""
    return NOISE.sub(lambda match: " " + "\n" * match.group().count("\n"), text)


def kind_of(head, inside):
    bare = TEMPLATE.sub("", head).strip()
    if inside == "function":
        return "function"
    if inside == "value":
        return "function" if LAMBDA.search(bare) else "value"
    if re.search(r"\bnamespace\b", bare) or bare == "extern":
        return "outer"
    if MEMBER_INIT.search(bare) and not re.search(r"->\s*[\w:<>,*& ]+$", bare):
        return "value"
    if bare.endswith("=") or "(" not in bare:
        return "outer" if TYPE.search(bare) and not bare.endswith("=") else "value"
    return "function" if FUNCTION.search(bare) or bare.endswith("}") or LAMBDA.search(bare) else "value"


def name_of(head):
    match = re.search(r"([\w:~]+|operator\s*\S+)\s*\(", TEMPLATE.sub("", head))
    return match.group(1) if match else "lambda"


def functions(text):
    """Every outermost function of a file, lambdas of a table at namespace scope included."""
    scopes, head, head_line, line = [Scope("outer", "", 0)], "", 1, 1
    for char in without_noise(text):
        if char == "{":
            scopes.append(Scope(kind_of(head, scopes[-1].kind), head, head_line))
            head = ""
        elif char == "}" and len(scopes) > 1:
            scope = scopes.pop()
            if scope.kind == "function" and scopes[-1].kind != "function":
                yield Function(name_of(scope.head), scope.line, line - scope.line + 1)
            # An initialiser is not the end of what it stands in: `Pool() : size_{1} {`.
            keep = scope.kind == "value" and scopes[-1].kind == "outer"
            head, head_line = (scope.head + "{}", scope.line) if keep else ("", line)
        elif char == ";" or (char == "," and scopes[-1].kind == "value"):
            head = ""
        else:
            if not head.strip():
                head, head_line = "", line
            head += char
        if char == "\n":
            line += 1


# --- the tree --------------------------------------------------------------------------------------------------------


def check_file(path, text):
    yield from check_includes(path, text)
    lines = text.count("\n")
    if lines > MAX_FILE_LINES:
        yield f"{path}:{MAX_FILE_LINES + 1}: the file has {lines} lines, more than {MAX_FILE_LINES}"
    for function in functions(text):
        if function.length > MAX_FUNCTION_LINES:
            yield (f"{path}:{function.line}: {function.name} has {function.length} lines, "
                   f"more than {MAX_FUNCTION_LINES}")


def check_tree(root):
    findings, lengths, files = [], [], 0
    for top in TOP_FOLDERS:
        for file in sorted((root / top).rglob("*")):
            if file.suffix not in (".h", ".cpp"):
                continue
            files += 1
            path, text = file.relative_to(root).as_posix(), file.read_text(encoding="utf-8")
            if folder_of(path) is None:
                findings.append(f"{path}:1: this folder has no place among the layers")
                continue
            findings += check_file(path, text)
            lengths += [function.length for function in functions(text)]
    return findings, files, sorted(lengths)


def self_test():
    body = "    a();\n"
    long_body, full_body = body * (MAX_FUNCTION_LINES - 1), body * (MAX_FUNCTION_LINES - 2)
    bad = {
        "core/base/a.h": '#include "core/net/b.h"\n',
        "core/net/a.h": '#include "protocols/http1/b.h"\n',
        "core/http/a.h": "#include <uv.h>\n",
        "core/http/b.cpp": "  #  include <llhttp.h>\n",
        "core/net/b.h": '#include "config/loader.h"\n',
        "core/net/c.h": '#include "event_loop.h"\n',
        "config/a.cpp": '#include "core/net/b.h"\n',
        "config/b.cpp": "#include <yaml-cpp/yaml.h>\n",
        "core/metrics/a.cpp": "#include <spdlog/spdlog.h>\n",
        "core/net/d.cpp": "#include <systemd/sd-journal.h>\n",
        "protocols/http1/a.h": '#include "protocols/http2/b.h"\n',
        "protocols/http2/a.h": '#include "protocols/grpc/b.h"\n',
        "protocols/http1/b.h": '#include "daemon/options.h"\n',
        "protocols/grpc/module.cpp": "#include <grpcpp/server.h>\n",
        "protocols/grpc/target.h": "#include <google/protobuf/message.h>\n",
        "daemon/health.cpp": "#include <health.pb.h>\n",
        "daemon/admin/a.h": '#include "daemon/daemon.h"\n',
        "daemon/ctl/a.h": '#include "core/net/b.h"\n',
        "daemon/long.cpp": "\n" * (MAX_FILE_LINES + 1),
        "core/base/free.cpp": "int f(int a,\n      int b) {\n" + full_body + "}\n",
        "core/base/member.cpp": "namespace a {\nclass B {\n void f() const {\n" + long_body + "}\n};\n}\n",
        "core/base/constructor.cpp": "B::B(int a) : a_{a}, b_(2) {\n" + long_body + "}\n",
        "core/base/template.cpp": "template <class T>\nauto f(T t) -> Result<T> {\n" + long_body + "}\n",
        "core/base/table.cpp": "const Row kRows[] = {{1, [](int a) {\n" + long_body + "}}};\n",
        "core/base/literal.cpp": 'int f() {\n const char* a = "}"; char b = \'}\'; // }\n' + long_body + "}\n",
    }
    good = {
        "core/net/a.cpp": '#include "core/base/result.h"\n#include "config/config.h"\n#include <uv.h>\n',
        "protocols/http1/a.cpp": '#include "protocols/http1/parser.h"\n#include "core/http/stream.h"\n#include <llhttp.h>\n',
        "protocols/grpc/a.cpp": '#include "protocols/http2/server_session.h"\n',
        "protocols/grpc/services_call.cpp": "#include <grpcpp/server.h>\n#include <reflection.pb.h>\n",
        "daemon/a.cpp": '#include "protocols/http1/module.h"\n#include "daemon/admin/api.h"\n#include <uv.h>\n',
        "config/loader_nodes.cpp": "#include <yaml-cpp/yaml.h>\n",
        "daemon/service_manager.cpp": "#include <systemd/sd-daemon.h>\n",
        "core/base/full.cpp": "int f() {\n" + full_body + "}\nint g() {\n" + full_body + "}\n",
        "core/base/type.h": "struct A {\n" + "    int a{1};\n" * 100 + "};\nenum class B {\n" + "    a,\n" * 100 + "};\n",
        "core/base/table.cpp": "const Row kRows[] = {\n" + "    {1, [](int a) { return a; }},\n" * 100 + "};\n",
        "daemon/full.cpp": "\n" * MAX_FILE_LINES,
    }
    failures = [f"found nothing in {path}" for path, text in bad.items() if not list(check_file(path, text))]
    failures += [finding for path, text in good.items() for finding in check_file(path, text)]
    with tempfile.TemporaryDirectory() as folder:
        stray = pathlib.Path(folder) / "protocols" / "stray.h"
        stray.parent.mkdir()
        stray.write_text("")
        if not check_tree(pathlib.Path(folder))[0]:
            failures.append("found nothing in protocols/stray.h")
    return failures


def main(arguments):
    if arguments == ["--self-test"]:
        findings = self_test()
        summary = "self-test passed"
    else:
        root = pathlib.Path(arguments[0] if arguments else pathlib.Path(__file__).parent.parent)
        findings, files, lengths = check_tree(root)
        if not lengths:
            findings.append(f"{root}: no functions found")
        else:
            summary = (f"{files} files, {len(lengths)} functions: "
                       f"median {lengths[len(lengths) // 2]} lines, longest {lengths[-1]}")
    print("\n".join(findings) or summary)
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
