"""Manual pages, completion, container and Kubernetes files say what the programs do: compared with --help, the settings
table and the sources."""

import json
import os
import re
import shlex
import shutil
import subprocess

import pytest

from support.daemon import clean_environment, run_sluiced
from support.settings import REPO, SLUICECTL, SLUICED, patient
from support.waiting import wait_until

MAN = REPO / "packaging" / "man"
COMPLETION = REPO / "packaging" / "completion"
CONTAINER = REPO / "packaging" / "container"
KUBERNETES = CONTAINER / "kubernetes.yaml"
SOURCES = ("core", "protocols", "daemon", "config")


def page(path):
    """A manual page as text; roff's warnings fail."""
    if not shutil.which("man"):
        pytest.skip("man is not installed")
    done = subprocess.run(["man", "--warnings", "-E", "UTF-8", "-Tutf8", "-l", str(path)], capture_output=True,
                          text=True, timeout=patient(30),
                          env={**clean_environment(), "LC_ALL": "C.UTF-8", "MANROFFOPT": ""})
    assert done.returncode == 0 and not done.stderr, done.stderr
    text = re.sub(".\b", "", done.stdout)  # bold and underlined are struck over
    return text.translate(str.maketrans("‐−’‘", "--''"))


def sections(text):
    """{heading: text} of a page: headings begin a line."""
    found = re.split(r"^(\S.*)\n", text, flags=re.MULTILINE)
    return {name.strip(): body for name, body in zip(found[1::2], found[2::2])}


def squeezed(text):
    return " ".join(text.split())


@pytest.fixture(scope="module")
def daemon_page():
    return page(MAN / "sluiced.8")


@pytest.fixture(scope="module")
def ctl_page():
    return page(MAN / "sluicectl.1")


@pytest.fixture(scope="module")
def file_page(tmp_path_factory):
    path = tmp_path_factory.mktemp("man") / "sluice.yaml.5"
    path.write_text(run_sluiced("--print-reference").stdout)
    return page(path)


def help_of(program, *command):
    done = subprocess.run([str(program), *command, "--help"], capture_output=True, text=True, timeout=patient(10),
                          env=clean_environment())
    assert done.returncode == 0, done.stderr
    return done.stdout


def options_in(text):
    """The options that a help text explains, short ones too."""
    lines = re.findall(r"^  (-\S*)", text, re.MULTILINE)
    found = {option for line in lines for option in line.split(",")}
    assert "--help" in found
    return found


def subcommands_in(text):
    below = text.partition("Subcommands:\n")[2]
    return re.findall(r"^  ([a-z]\S*)", below, re.MULTILINE)


def has_word(text, word):
    return re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", text)


# Options and commands


def test_each_option_of_sluiced_is_in_its_manual_and_completion(daemon_page):
    completion = (COMPLETION / "sluiced").read_text()
    for option in options_in(help_of(SLUICED)):
        assert has_word(sections(daemon_page)["OPTIONS"], option), option
        assert has_word(completion, option), option


def test_exit_codes_and_signals_are_in_the_manual(daemon_page):
    parts = sections(daemon_page)
    for code in ("0", "1", "64", "78"):
        assert re.search(rf"^\s+{code}\s", parts["EXIT STATUS"], re.MULTILINE), code
    for name in ("SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1"):
        assert has_word(parts["SIGNALS"], name), name


def test_each_command_of_sluicectl_is_in_its_manual_and_completion(ctl_page):
    completion = (COMPLETION / "sluicectl").read_text()
    offered = set(re.search(r'commands="([^"]*)"', completion)[1].split())
    commands = subcommands_in(help_of(SLUICECTL))
    assert offered == set(commands)
    explained = sections(ctl_page)["COMMANDS"]
    options = options_in(help_of(SLUICECTL))
    for command in commands:
        assert re.search(rf"^       {command}\b", explained, re.MULTILINE), command
        text = help_of(SLUICECTL, *([command, "NAME"] if command == "upstream" else [command]))
        options |= options_in(text)
        for below in subcommands_in(text):
            assert re.search(rf"^       {command} .*\b{below}\b", explained, re.MULTILINE), (command, below)
            assert has_word(completion, below), (command, below)
    for option in options:
        assert has_word(ctl_page, option), option
        assert has_word(completion, option), option


# Completion

ASK = """
source {file}
COMP_WORDS=({program} {words})
COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
_{name}
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


def completed(program, *words):
    script = ASK.format(file=COMPLETION / program.name, program=program, name=program.name, words=shlex.join(words))
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=patient(20),
                          env=clean_environment())
    assert not done.stderr, done.stderr
    return done.stdout.split()


def test_completion_knows_options_commands_and_files(tmp_path):
    assert completed(SLUICED, "--print-") == ["--print-defaults", "--print-schema", "--print-reference"]
    assert completed(SLUICECTL, "re") == ["reload", "restart"]
    assert completed(SLUICECTL, "connections", "--state", "h") == ["handshake", "header"]
    (tmp_path / "new.yaml").touch()
    assert completed(SLUICED, "--config", f"{tmp_path}/n") == [f"{tmp_path}/new.yaml"]
    assert completed(SLUICECTL, "plan", f"{tmp_path}/n") == [f"{tmp_path}/new.yaml"]


def test_completion_asks_the_running_daemon_for_names(start, serve):
    server = serve()
    sluice = start({"listeners": [{"name": name, "bind": "127.0.0.1:0", "routes": [
        {"proxy": {"upstream": "api"}}]} for name in ("web", "side")],
        "upstreams": [{"name": "api", "endpoints": [server.endpoint]}]})

    def offers(*words, expected):
        # It gives up after a second, so that nobody waits for it: on a busy machine it may know nothing.
        def asked():
            return completed(SLUICECTL, "--socket", str(sluice.socket_path), *words) == expected

        wait_until(asked, 10, what=f"{words}: {expected}")

    offers("restart", "w", expected=["web"])
    offers("drain", "s", expected=["side"])
    offers("connections", "--listener", "", expected=["side", "web"])
    offers("upstream", "", expected=["api"])
    offers("upstream", "api", "", expected=["decisions", "drain", "undrain"])
    offers("upstream", "api", "drain", "", expected=[server.endpoint])


def test_completion_without_a_daemon_says_nothing_wrong(tmp_path):
    assert completed(SLUICECTL, "--socket", str(tmp_path / "none.sock"), "upstream", "") == []


# sluice.yaml(5)


def keys_of(schema, path=""):
    """(section, key, schema) of each key that is no map and no list of maps."""
    for key, value in schema.get("properties", {}).items():
        here = f"{path}.{key}" if path else key
        if value.get("type") == "array" and "properties" in value["items"]:
            yield from keys_of(value["items"], here + "[]")
        elif "properties" in value:
            yield from keys_of(value, here)
        elif "$ref" not in value:
            yield path, key, value


def heading_of(path):
    # It has the keys of proxy, which are written once.
    path = path.replace("routes[].websocket.relay", "routes[].proxy")
    return "TOP LEVEL" if not path else path if "." in path else path.removesuffix("[]").upper()


def test_each_key_is_in_the_manual_with_value_default_and_class(file_page):
    parts = {}
    for name, body in sections(file_page).items():
        inner = re.split(r"^   (\S.*)\n", body, flags=re.MULTILINE)
        parts[name] = inner[0]
        parts.update({heading: text for heading, text in zip(inner[1::2], inner[2::2])})
    keys = list(keys_of(json.loads(run_sluiced("--print-schema").stdout)))
    assert len(keys) > 150
    for section, key, schema in keys:
        what = f"{section}.{key}"
        text = parts[heading_of(section)]
        entry = re.search(rf"^       {key}(?:\n|\s)(.*?)(?=^       \S|\Z)", text, re.MULTILINE | re.DOTALL)
        assert entry, what
        entry = squeezed(entry[1])
        description, _, facts = schema["description"].rpartition(" [")
        assert squeezed(description).replace("`", "") in entry, what
        assert "Value: " in entry, what
        assert "Required." in entry or "Default: " in entry, what
        assert facts.rstrip("]").endswith(re.search(r"Change: (.*)\.$", entry)[1]), what


def test_the_examples_of_the_manual_are_good(tmp_path):
    source = run_sluiced("--print-reference").stdout
    examples = re.findall(r"^\.EX\n(.*?)^\.EE", source, re.MULTILINE | re.DOTALL)
    assert len(examples) >= 2
    for number, text in enumerate(examples):
        text = text.replace("\\-", "-").replace("\\e", "\\")
        check_config(tmp_path / f"{number}.yaml", text)


def check_config(file, text):
    file.write_text(text)
    # Its addresses are tried, and those of an example may be taken on this machine.
    free = re.sub(r"^(\s*(?:- )?bind: \S*:)\d+", r"\g<1>0", text, flags=re.MULTILINE)
    file.write_text(free)
    done = run_sluiced("--check", "--config", file, "--admin-socket", file.with_suffix(".sock"))
    assert done.returncode == 0, done.stderr
    return done


# What the log says

# Messages that a site hands on, and what the manual calls them.
PASSED_ON = {
    ("core/upstream/endpoint.cpp", "text"): "endpoint: STATE -> STATE",
    ("daemon/daemon.cpp", "text"): "the certificate FILE (SUBJECT) expires on DATE",
    ("daemon/daemon.cpp", "warning"): "FILE:LINE:COLUMN: PATH: MESSAGE",
    ("daemon/reloader.cpp", "diagnostic.text()"): "FILE:LINE:COLUMN: PATH: MESSAGE",
    ("protocols/grpc/services_server.cpp", "args->message"): "MESSAGE LIBRARY=grpc",
}
SITES = r"\b(?:write|note|deliver|send)\(\s*"
CALL = re.compile(SITES + r"(?=(?:log::)?Level::(?:warning|error)\b|(?:\w+\.)?level\b)")
ANY_CALL = re.compile(SITES + r"(?=(?:log::)?Level::|(?:\w+\.)?level\b)")
FIELD = re.compile(r'\{"([A-Z][A-Z0-9_]*)",')
STRING = re.compile(r'"((?:[^"\\]|\\.)*)"')
WORDS = re.compile(r"[A-Za-z]{2,}")


def arguments(text, begin):
    """The arguments of a call, whose first begins at `begin`, as they stand in the source."""
    out, depth, start, at = [], 0, begin, begin
    while True:
        if text[at] == '"':
            at = STRING.match(text, at).end()
            continue
        if text[at] in ",)" and depth == 0:
            out.append(squeezed(text[start:at]))
            start = at + 1
            if text[at] == ")":
                return out
        depth += {"(": 1, "{": 1, "[": 1, ")": -1, "}": -1, "]": -1}.get(text[at], 0)
        at += 1


def message_of(text, call):
    """The expression of a call's message; of a variable, what it was set to a few lines above."""
    given = arguments(text, call.end())[1:]
    expression = next((one for one in given if not one.startswith("{") and STRING.search(one)), given[0])
    above = text[:call.start()][-400:].rpartition("\n}\n")[2]
    assigned = re.findall(rf"\b{re.escape(expression)} = ([^;]*);", above)
    return assigned[-1] if assigned and WORDS.search("".join(STRING.findall(assigned[-1]))) else expression


def sources():
    """(name, text without comments) of each file of the programs."""
    for folder in SOURCES:
        for file in sorted((REPO / folder).rglob("*.cpp")):
            yield str(file.relative_to(REPO)), re.sub(r"^\s*//.*$", "", file.read_text(), flags=re.MULTILINE)


def messages():
    """(file, expression of the message) of all sites that log a warning or an error, or whose level is a variable."""
    for name, text in sources():
        for call in CALL.finditer(text):
            message = message_of(text, call)
            # The log hands on what others say.
            if words_of(message) or not name.startswith("core/base/log"):
                yield name, message


def words_of(expression):
    """What a message says for certain: the literals of its expression."""
    parts = [part for literal in STRING.findall(expression) for part in re.split(r"\{[^}]*\}", literal)]
    return [squeezed(part) for part in parts if WORDS.search(part)]


def test_each_warning_and_error_of_the_log_is_explained(daemon_page):
    explained = squeezed(sections(daemon_page)["DIAGNOSTICS"])
    found = list(messages())
    assert len(found) >= 12
    for file, expression in found:
        words = words_of(expression)
        if not words:
            assert (file, expression) in PASSED_ON, f"name it in PASSED_ON: {file}: {expression}"
            words = [PASSED_ON[file, expression]]
        for text in words:
            assert text in explained, (file, text)


def test_what_a_reload_is_refused_for_by_the_system_is_explained(daemon_page):
    """The problems that are not of the file's text: texts of the daemon that begin with `cannot` or `there is no`."""
    explained = squeezed(sections(daemon_page)["DIAGNOSTICS"])
    texts = set()
    for name in ("reload_plan.cpp", "process.cpp"):
        texts |= set(re.findall(r'"((?:user: )?(?:cannot|there is no) [^"]*)"', (REPO / "daemon" / name).read_text()))
    assert len(texts) >= 4
    for text in texts:
        assert squeezed(text).rstrip(" '") in explained, text


def test_each_field_of_the_journal_is_explained(daemon_page):
    explained = sections(daemon_page)["JOURNAL"]
    found = {"CODE_FILE", "CODE_LINE"}
    for _, text in sources():
        for call in ANY_CALL.finditer(text):
            found |= {key for given in arguments(text, call.end()) for key in FIELD.findall(given)}
    assert found > {"LISTENER", "UPSTREAM", "ENDPOINT", "CONNECTION_ID", "REASON", "CONFIG_KEY"}
    for name in found:
        assert has_word(explained, name), name


# README


def test_the_readme_names_files_that_are_there():
    for file in (REPO / "README.md", CONTAINER / "README.md"):
        text = file.read_text()
        for link in re.findall(r"\]\((?!#|https?:)([^)]+)\)", text):
            assert (file.parent / link).exists(), link
        for path in re.findall(r"(?<![\w/])((?:packaging|systemd|config|tests|daemon)/[\w./@-]*\w)", text):
            if not re.search("[A-Z]{2,}", path) or path.endswith("README.md"):
                assert list((REPO / path).parent.glob((REPO / path).name + "*")), path


# Container and Kubernetes


def test_the_containerfile_names_what_is_there():
    text = re.sub(r"\\\n\s*", " ", (CONTAINER / "Containerfile").read_text())
    steps = re.findall(r"^([A-Z]+) (.*)$", text, re.MULTILINE)
    for step, rest in steps:
        if step == "COPY" and not rest.startswith("--from"):
            *sources, target = rest.split()
            for source in sources:
                assert (REPO / source).exists(), source
                assert (REPO / source).is_dir() == (target == source), rest
        for script in re.findall(r"packaging/(?!container)[\w-]+", rest if step == "RUN" else ""):
            assert os.access(REPO / script, os.X_OK), script
    copied = {path for step, rest in steps if step == "COPY" for path in rest.split()}
    for top in REPO.iterdir():
        if top.is_dir() and top.name not in ("build",) and not top.name.startswith("."):
            assert f"{top.name}/" in copied, top
    last = dict(steps)
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", last["USER"]), "Kubernetes asks for a number"
    assert last["STOPSIGNAL"] == "SIGTERM"
    assert json.loads(last["ENTRYPOINT"]) == ["/usr/bin/sluiced"]
    assert json.loads(last["CMD"])[0] in options_in(help_of(SLUICED))


@pytest.fixture(scope="module")
def objects():
    yaml = pytest.importorskip("yaml")
    found = list(yaml.safe_load_all(KUBERNETES.read_text()))
    return {(one["kind"], one["metadata"]["name"]): one for one in found}


def test_the_configuration_for_kubernetes_is_good(objects, tmp_path):
    text = objects["ConfigMap", "sluice"]["data"]["sluice.yaml"]
    done = check_config(tmp_path / "sluice.yaml", text)
    assert "has no effect" not in done.stderr, done.stderr


def pod_of(objects):
    return objects["Deployment", "sluice"]["spec"]["template"]["spec"]


def seconds(text):
    return int(re.fullmatch(r"(\d+)s", text)[1])


def test_a_pod_has_time_to_drain(objects):
    import yaml
    config = yaml.safe_load(objects["ConfigMap", "sluice"]["data"]["sluice.yaml"])
    drain = max(seconds(one["pool"]["drain_timeout"]) for one in config["listeners"])
    assert pod_of(objects)["terminationGracePeriodSeconds"] > seconds(config["drain_delay"]) + drain
    probe = pod_of(objects)["containers"][0]["readinessProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] < seconds(config["drain_delay"])


def test_the_objects_of_kubernetes_fit_together(objects):
    import yaml
    assert {kind for kind, _ in objects} == {"ConfigMap", "Deployment", "Service", "HorizontalPodAutoscaler",
                                             "PodDisruptionBudget"}
    deployment, pod = objects["Deployment", "sluice"], pod_of(objects)
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    for selector in (deployment["spec"]["selector"]["matchLabels"], objects["Service", "sluice"]["spec"]["selector"],
                     objects["PodDisruptionBudget", "sluice"]["spec"]["selector"]["matchLabels"]):
        assert selector.items() <= labels.items()
    target = objects["HorizontalPodAutoscaler", "sluice"]["spec"]["scaleTargetRef"]
    assert ("replicas" not in deployment["spec"]
            and (target["kind"], target["name"]) == ("Deployment", "sluice"))

    container, = pod["containers"]
    config = yaml.safe_load(objects["ConfigMap", "sluice"]["data"]["sluice.yaml"])
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports["http"] == int(config["listeners"][0]["bind"].rpartition(":")[2])
    assert ports["admin"] == int(config["admin"]["bind"].rpartition(":")[2])
    for probe in ("readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"]["port"] in ports
    volumes = {volume["name"] for volume in pod["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == volumes
    assert not any("subPath" in mount for mount in container["volumeMounts"]), "it would never reload"

    endpoint = config["upstreams"][0]["endpoints"]
    service, port = re.fullmatch(r"dns:([a-z-]+):(\d+)", endpoint).groups()
    headless = objects["Service", service]["spec"]
    assert headless["clusterIP"] == "None" and headless["ports"][0]["port"] == int(port)


def test_the_container_may_do_nothing_that_it_need_not(objects):
    pod = pod_of(objects)
    image_user = re.search(r"^USER (\d+)", (CONTAINER / "Containerfile").read_text(), re.MULTILINE)[1]
    assert pod["securityContext"]["runAsNonRoot"] and pod["securityContext"]["runAsUser"] == int(image_user)
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert pod["containers"][0]["securityContext"] == {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}


def test_the_image_has_the_version_of_the_program(objects):
    version = re.search(r"project\(sluice VERSION ([\d.]+)", (REPO / "CMakeLists.txt").read_text())[1]
    assert pod_of(objects)["containers"][0]["image"] == f"sluice:{version}"
    for file in (CONTAINER / "Containerfile", CONTAINER / "README.md"):
        assert set(re.findall(r"sluice:(\d[\d.]*\d)", file.read_text())) == {version}, file
