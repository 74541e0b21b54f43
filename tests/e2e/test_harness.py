# SPDX-License-Identifier: Apache-2.0
"""The helpers themselves: a peer is up when they say so, gone when they say so, and a wrong counter
is noticed."""
import os

import e2e


def login(practice):
    return e2e.json.loads(e2e.http("POST", practice.url + "/practice/login", "")[1])


def refresh(practice, token):
    form = f"grant_type=refresh_token&client_id=practice&refresh_token={token}"
    status, text = e2e.http("POST", practice.url + "/oauth/token", form)
    return status, e2e.json.loads(text)


def port_by_descriptor(run):
    """A parent that spawns it reads the port from a descriptor, and takes it along when it goes."""
    reader, writer = os.pipe()
    process = e2e.subprocess.Popen(
        [os.environ["E2E_PRACTICE"], f"--ready-fd={writer}", "--end-with-fd"], pass_fds=[writer],
        stdout=e2e.subprocess.DEVNULL)
    os.close(writer)
    try:
        port = int(os.read(reader, 16))
        status, text = e2e.http("GET", f"http://127.0.0.1:{port}/")
        assert status == 200 and "practice" in text, text
        assert process.poll() is None
        os.close(reader)
        assert process.wait(5) == 0
    finally:
        process.kill()
        process.wait()


def config_is_json(run):
    path = run.config("http://127.0.0.1:9", "http://127.0.0.1:9/token", "practice", spread=True)
    with open(path, encoding="utf-8") as file:
        config = e2e.json.load(file)
    assert len(config["agents"]["entries"]) == 5
    assert {entry.get("node") for entry in config["agents"]["entries"].values()} == {None, "b"}


def main():
    with e2e.Run() as run:
        practice = run.practice("--access-life=2s")
        tokens = login(practice)
        for _ in range(3):
            status, tokens = refresh(practice, tokens["refresh_token"])
            assert status == 200, tokens
        practice.expect(rotations=3, reused=0, logins_active=1)
        try:
            practice.expect(rotations=4)
        except AssertionError as error:
            assert "rotations is 3" in str(error), error
        else:
            raise SystemExit("a wrong counter went unnoticed")
        second = run.practice()
        second.kill()
        assert second.process.returncode == -9
        port_by_descriptor(run)
        config_is_json(run)
        pid = practice.process.pid
    assert not os.path.exists(f"/proc/{pid}"), "a peer outlived its run"
    assert not os.path.exists(run.folder), "the folder outlived its run"


main()
