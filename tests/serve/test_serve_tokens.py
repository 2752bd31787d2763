# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Who may do what: tokens, scopes, rates, quotas, the audit log."""
import json
import os
import re
import sqlite3
import time

import pytest

from anybpfd import HELLO, run


def add(server, name, *options):
    done = run("--state", server.state, "token", "add", name, *options)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def bearer(secret):
    return {"Authorization": "Bearer " + secret}


def test_scopes(new_server):
    s = new_server("--anonymous", "none", open_to_all=False)
    a = s.build()
    assert a.status == 401 and a.headers["WWW-Authenticate"].startswith("Bearer")
    reader, builder = add(s, "reader", "--scopes", "read"), add(s, "builder", "--scopes", "build")
    assert s.get("/v1/kernels").status == 401
    assert s.get("/v1/kernels", **bearer(reader)).status == 200
    refused = s.build(headers=bearer(reader))
    assert refused.status == 403 and "'build'" in refused.json()["detail"]
    assert s.build(headers=bearer(builder)).status == 200
    assert s.get("/v1/kernels", **bearer(builder)).status == 403
    assert s.get("/healthz").status == s.get("/v1/keys").status == 200


def test_anonymous_may_read(new_server):
    s = new_server(open_to_all=False)
    assert s.get("/v1/kernels").status == 200 and s.build().status == 401


def test_wrong_tokens(new_server):
    s = new_server()
    secret = add(s, "me")
    for wrong in (secret[:-1], secret + "0", "", "abt_", "x" * 3000, secret.upper()):
        assert s.build(headers=bearer(wrong)).status == 401
    assert s.build(headers={"Authorization": "Basic " + secret}).status == 401
    assert s.build(headers={"Authorization": "bearer " + secret}).status == 200
    assert s.get("/version", **bearer("wrong")).status == 200  # needs none


def test_revoked_at_once_and_expired(new_server):
    s = new_server("--anonymous", "none", open_to_all=False)
    secret = add(s, "me", "--days", "1")
    assert s.build(headers=bearer(secret)).status == 200
    db = sqlite3.connect(s.state / "tokens.db")
    db.execute("UPDATE token SET expires = ?", (int(time.time()) - 1,))
    db.commit()
    assert "expired" in s.build(headers=bearer(secret)).json()["detail"]
    db.execute("UPDATE token SET expires = 0")
    db.commit()
    assert s.build(headers=bearer(secret)).status == 200
    assert run("--state", s.state, "token", "revoke", "me").returncode == 0
    assert s.build(headers=bearer(secret)).status == 401
    assert run("--state", s.state, "token", "revoke", "me").returncode == 4
    assert add(s, "me") != secret  # the name is free again


def test_list_and_what_is_kept(new_server):
    s = new_server()
    secret = add(s, "one", "--scopes", "read,build,metrics", "--rate", "5", "--quota", "7")
    again = run("--state", s.state, "token", "add", "one")
    assert again.returncode == 8 and "already" in again.stderr
    rows = [json.loads(line) for line in run("--state", s.state, "token", "list", "--json").stdout.splitlines()]
    assert rows[0]["name"] == "one" and (rows[0]["rate"], rows[0]["quota"], rows[0]["scopes"]) == (5, 7, "read,build,metrics")
    assert "one" in run("--state", s.state, "token", "list").stdout
    for path in s.state.glob("tokens.db*"):
        assert secret.encode() not in path.read_bytes()


def test_bad_token_commands(tmp_path):
    for arguments in (["add"], ["add", "a b"], ["add", "x" * 65], ["add", "a", "--scopes", "fly"], ["add", "a", "--rate", "-1"],
                      ["add", "a", "--rate"], ["add", "a", "--color", "1"], ["revoke"], ["dance"], []):
        done = run("--state", tmp_path / "state", "token", *arguments)
        assert done.returncode in (2, 4) and done.stderr.count("\n") == 1, arguments


def test_rate_of_an_address(new_server):
    s = new_server("--anonymous", "read,build", "--limits-rate", "20", open_to_all=False)
    answers = [s.get("/v1/kernels") for _ in range(25)]
    assert [a.status for a in answers[:20]] == [200] * 20
    refused = [a for a in answers if a.status == 429]
    assert len(refused) >= 4 and refused[0].json()["type"] == "/problems/rate" and 1 <= int(refused[0].headers["Retry-After"]) <= 4
    assert s.get("/healthz").status == 200
    # A token has its own rate.
    token = bearer(add(s, "me"))
    assert all(s.get("/v1/kernels", **token).status == 200 for _ in range(50))
    time.sleep(int(refused[-1].headers["Retry-After"]))
    assert s.get("/v1/kernels").status == 200


def test_rate_of_a_token(new_server):
    s = new_server()
    token = bearer(add(s, "slow", "--rate", "3"))
    assert [s.get("/v1/kernels", **token).status for _ in range(5)] == [200, 200, 200, 429, 429]
    assert s.get("/v1/kernels").status == 200


def test_addresses_behind_a_proxy(new_server):
    s = new_server("--anonymous", "read", "--limits-rate", "3", "--trusted-proxies", "127.0.0.1", open_to_all=False)
    for _ in range(3):
        assert s.get("/v1/kernels", X_Forwarded_For="evil, 192.0.2.1").status == 200
    assert s.get("/v1/kernels", X_Forwarded_For="192.0.2.1").status == 429
    assert s.get("/v1/kernels", X_Forwarded_For="192.0.2.1, 192.0.2.2").status == 200
    assert s.get("/v1/kernels", X_Forwarded_For="2001:db8::1").status == 200
    assert s.wait_for_log(lambda e: e.get("address") == "2001:db8::1")
    assert [s.get("/v1/kernels", X_Forwarded_For=f"2001:db8::{i}:{i}").status for i in range(2, 5)] == [200, 200, 429]  # one client has a /64
    assert s.get("/v1/kernels", X_Forwarded_For="2001:db8:0:1::1").status == 200
    assert s.get("/metrics", X_Forwarded_For="192.0.2.9").status == 401  # not from here, though the proxy is
    t = new_server("--anonymous", "read", "--limits-rate", "3", open_to_all=False)
    statuses = [t.get("/v1/kernels", X_Forwarded_For=f"192.0.2.{i}").status for i in range(5)]
    assert statuses == [200, 200, 200, 429, 429]


def test_quota_counts_compiles(new_server):
    s = new_server()
    token = bearer(add(s, "poor", "--quota", "2"))
    for i in (1, 1, 2, 2, 1):
        assert s.build(HELLO % i, headers=token).status == 200
    over = s.build(HELLO % 3, headers=token)
    assert over.status == 429 and over.json()["type"] == "/problems/quota"
    assert s.build(HELLO % 1, headers=token).status == 200  # cached
    assert s.build(HELLO % 3).status == 200
    s.stop()
    rows = [json.loads(line) for line in run("--state", s.state, "token", "list", "--json").stdout.splitlines()]
    assert rows[0]["used_today"] == 2
    s.start()
    assert s.build(HELLO % 4, headers=token).status == 429


def test_audit_log(new_server, tmp_path):
    audit = tmp_path / "audit"
    s = new_server("--log-audit", audit)
    done = run("--state", s.state, "--log-audit", audit, "token", "add", "me")
    assert s.build(HELLO % 5, headers={**bearer(done.stdout.strip()), "X-Request-Id": "mine"}).status == 200
    assert s.build(headers=bearer("wrong")).status == 401
    assert run("--state", s.state, "--log-audit", audit, "token", "revoke", "me").returncode == 0
    rows = [json.loads(line) for line in audit.read_text().splitlines()]
    assert [r["event"] for r in rows] == ["token-add", "build", "unauthorized", "token-revoke"]
    assert rows[1]["token"] == "me" and rows[1]["request"] == "mine" and re.fullmatch("[0-9a-f]{64}", rows[1]["detail"])
    assert rows[2]["address"] == "127.0.0.1"
    assert audit.stat().st_mode & 0o777 == 0o600


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_what_root_makes_is_the_services(tmp_path):
    """An administrator's commands in the directories of a service that is another user."""
    state, log = tmp_path / "state", tmp_path / "log"
    state.mkdir(mode=0o700), log.mkdir(mode=0o700)
    os.chown(state, 65534, 65534), os.chown(log, 65534, 65534)
    for command in (["token", "add", "ci"], ["key", "new"], ["token", "list"]):
        done = run("--state", state, "--log-audit", log / "audit", *command)
        assert done.returncode == 0, done.stderr
    made = [state / "tokens.db", state / "keys", *(state / "keys").iterdir(), log / "audit"]
    assert len(made) == 4 and {p.stat().st_uid for p in made} == {65534}
    assert "key-new" in (log / "audit").read_text()
