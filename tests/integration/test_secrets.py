"""Values of headers may be secrets: they are used, and shown nowhere."""

import json

from support import configs
from support.daemon import run_sluiced
from support.proxying import ask

KEYS = ("set_request_headers", "add_request_headers", "set_response_headers", "add_response_headers")


def route(secret, more=""):
    headers = {key: {f"x-{key.replace('_', '-')}": secret + more} for key in KEYS}
    return {"match": {"path": "/", "headers": {"x-token": ""}}, **headers}


def proxying(server, secret, more=""):
    keys = route(secret, more)
    return configs.proxying(server, route={**keys, "match": {**keys["match"], "headers": {"x-token": secret}}})


def test_values_of_headers_are_used_and_hidden(serve, start, tmp_path):
    server = serve()
    sluice = start(proxying(server, "s3cret"))
    answer = ask(sluice, headers=[("x-token", "s3cret")])
    assert answer.status == 200
    assert answer.get("x-set-response-headers") == "s3cret"
    assert server.last.get("x-set-request-headers") == "s3cret"

    file = tmp_path / "plan.yaml"
    file.write_text(sluice.text_for(proxying(server, "s3cret", "-two")))
    shown = [sluice.ctl("plan", file, check=True).stdout,
             sluice.admin.ask("POST", "/v1/plan", body=file.read_bytes()).body.decode()]
    changes = sluice.changes(sluice.apply(proxying(server, "s3cret", "-two")))
    assert len(changes) == len(KEYS)
    for key, change in changes.items():
        assert "(hidden, changed)" in change["new"] and "(hidden)" in change["old"], key
    assert server.last and ask(sluice, headers=[("x-token", "s3cret")]).get("x-set-response-headers") == "s3cret-two"

    sluice.write_config(sluice.text_for(proxying(server, "s3cret")).replace('"s3cret"', '"s3cret\\u0001"'))
    refused = sluice.reload()
    assert not refused["ok"]
    checked = run_sluiced("--config", sluice.file, "--check")
    assert checked.returncode == 1
    shown += [json.dumps([changes, refused, sluice.status(), sluice.get("/v1/config"), sluice.events()]),
              sluice.ctl("status", check=True).stdout, checked.stderr, sluice.log]
    for text in shown:
        assert "s3cret" not in text, text
    assert "x-set-request-headers: (hidden)" in sluice.get("/v1/config")["yaml"]
