"""Under a real systemd: start, reload and stop as a service of Type=notify.

Where systemd is PID 1 (and this is root) it is used; else SLUICE_SYSTEMD_RUNNER names a command that runs
its arguments under one, for example in a container.
"""

import os
import pathlib
import shlex
import subprocess
import uuid

import pytest

from support import configs
from support.settings import REPO, SLUICECTL, SLUICED, patient

RUNNER = shlex.split(os.environ.get("SLUICE_SYSTEMD_RUNNER", ""))
PID1 = pathlib.Path("/proc/1/comm").read_text().strip()

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not RUNNER and (PID1 != "systemd" or os.geteuid() != 0),
                       reason=f"PID 1 is {PID1}, not systemd run by root, and SLUICE_SYSTEMD_RUNNER is not set"),
]

SCRIPT = """\
set -eu
unit={unit}
ended() {{ systemctl stop $unit || true; rm -f /run/systemd/system/$unit; systemctl daemon-reload || true; }}
trap ended EXIT
mkdir -p /run/systemd/system
cat > /run/systemd/system/$unit <<'UNIT'
{text}
UNIT
systemctl daemon-reload
systemctl start $unit
{steps}
"""


def unit_text(directory, hardened):
    """The unit as shipped, on this build and this configuration; without the sandbox where paths would be hidden."""
    shipped = (REPO / "systemd" / "sluice.service").read_text()
    config = directory / "sluice.yaml"
    lines = []
    for line in shipped.splitlines():
        key = line.partition("=")[0]
        if key == "ExecStart":
            line = f"ExecStart={SLUICED} --config {config}"
        elif key == "ExecStartPre":
            line = f"ExecStartPre={SLUICED} --config {config} --check"
        elif key in ("User", "Group", "DynamicUser"):
            continue
        elif not hardened and key.startswith(("Protect", "Private", "Restrict", "SystemCall", "Memory", "Capability",
                                              "Ambient", "Read", "Inaccessible", "ProcSubset", "LimitNOFILE")):
            continue
        lines.append(line)
    return "\n".join(lines)


@pytest.fixture
def under_systemd(tmp_path):
    unit = f"sluice-test-{uuid.uuid4().hex[:8]}.service"
    config = configs.config(configs.listener())
    config["admin"] = {"socket": str(tmp_path / "admin.sock")}
    (tmp_path / "sluice.yaml").write_text(configs.text_of(config))

    def run(steps, hardened=False):
        script = SCRIPT.format(unit=unit, text=unit_text(tmp_path, hardened), steps=steps.format(
            unit="$unit", ctl=f"{SLUICECTL} --socket {tmp_path}/admin.sock", config=tmp_path / "sluice.yaml"))
        done = subprocess.run([*RUNNER, "bash", "-c", script], capture_output=True, text=True, timeout=patient(120))
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def test_start_reload_stop(under_systemd):
    output = under_systemd("""\
test "$(systemctl is-active {unit})" = active
before=$(systemctl show -P MainPID {unit})
sed -i 's/hello/changed/' {config}
systemctl reload {unit}
for i in $(seq 50); do {ctl} --json status | grep respond.body >/dev/null && break; sleep 0.1; done
{ctl} --json status | grep respond.body >/dev/null
test "$(systemctl is-active {unit})" = active
test "$before" = "$(systemctl show -P MainPID {unit})"
systemctl show -P StatusText {unit}
systemctl stop {unit}
systemctl show -P Result {unit}
""")
    lines = output.strip().splitlines()
    assert lines[-1] == "success"
    assert lines[-2], "no STATUS= was sent"


def test_journal_has_fields(under_systemd):
    output = under_systemd("""\
sed -i 's/hello/changed/' {config}
systemctl reload {unit}
for i in $(seq 50); do {ctl} --json status | grep respond.body >/dev/null && break; sleep 0.1; done
journalctl --sync || true
journalctl -u {unit} -o json --no-pager
""")
    assert "respond.body" in output and '"PRIORITY"' in output


def test_broken_configuration_does_not_start(under_systemd):
    output = under_systemd("""\
systemctl stop {unit}
echo 'listeners: [' > {config}
systemctl start {unit} && exit 1
systemctl reset-failed {unit} || true
echo refused
""")
    assert "refused" in output


def test_crash_is_restarted(under_systemd):
    output = under_systemd("""\
before=$(systemctl show -P MainPID {unit})
kill -KILL $before
for i in $(seq 100); do
  now=$(systemctl show -P MainPID {unit})
  test "$now" != 0 && test "$now" != "$before" && test "$(systemctl is-active {unit})" = active && break
  sleep 0.1
done
{ctl} status > /dev/null && echo back
""")
    assert "back" in output
