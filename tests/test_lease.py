"""Leases and scratch folders: only a dead owner loses what is its own, and nobody else anything."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from hybridkp.files import lease
from hybridkp.files.lease import LEASE, RUN, Held, abandoned, clear_abandoned, hold, scratch_folder, work_in
from hybridkp.structures import InputError


def owned(folder: Path, **changed: object) -> Path:
    """A folder with a lease inside, of this process where nothing else is said."""
    folder.mkdir(parents=True)
    owner = {"hybridkp": 1, "machine": lease.machine(), "pid": os.getpid(), "started": ""} | changed
    (folder / LEASE).write_text(json.dumps(owner))
    (folder / "crops.npy").write_bytes(b"x")
    return folder


def dead_pid() -> int:
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    child.wait()
    return child.pid


def test_a_scratch_folder_lives_as_long_as_its_body(tmp_path: Path) -> None:
    with scratch_folder(tmp_path / "cache", "crops") as folder:
        assert folder.parent == tmp_path / "cache" and (folder / LEASE).is_file()
        assert clear_abandoned(tmp_path / "cache") == []
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_killed_owner_loses_its_folder(tmp_path: Path) -> None:
    code = (
        "import sys, time; from hybridkp.files.lease import scratch_folder\n"
        "with scratch_folder(sys.argv[1], 'crops') as f: print(f, flush=True); time.sleep(60)"
    )
    child = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    folder = Path(child.stdout.readline().strip())
    assert clear_abandoned(tmp_path) == [] and folder.is_dir()
    child.send_signal(signal.SIGKILL)
    child.communicate()
    assert clear_abandoned(tmp_path) == [folder] and not folder.exists()


@pytest.mark.parametrize("name", ["crops-2023-faces", "crops-128-train", "crops-1-x", "predictions"])
def test_folders_of_others_stay_whatever_their_name(tmp_path: Path, name: str) -> None:
    for folder in (tmp_path / name, tmp_path / "deep" / "down" / name):
        folder.mkdir(parents=True)
        (folder / "face.png").write_bytes(b"dear")
    assert clear_abandoned(tmp_path) == []
    assert (tmp_path / name / "face.png").read_bytes() == b"dear"


def test_only_folders_directly_inside_are_asked(tmp_path: Path) -> None:
    deep = owned(tmp_path / "mine" / "crops-1", pid=dead_pid())
    assert clear_abandoned(tmp_path) == [] and deep.is_dir()


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    target = owned(tmp_path / "elsewhere" / "crops-1", pid=dead_pid())
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "crops-1").symlink_to(target)
    assert clear_abandoned(tmp_path / "cache") == [] and (target / "crops.npy").is_file()


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", '{"hybridkp": 1}', '{"hybridkp": 1, "machine": "a", "pid": "x", "started": ""}'],
)
def test_what_is_no_lease_protects_its_folder(tmp_path: Path, text: str) -> None:
    folder = tmp_path / "crops-1"
    folder.mkdir()
    (folder / LEASE).write_text(text)
    assert clear_abandoned(tmp_path) == [] and folder.is_dir()


def test_an_owner_that_cannot_be_seen_is_judged_by_its_heartbeat(tmp_path: Path) -> None:
    """A container or another machine: its process number says nothing here."""
    folder = owned(tmp_path / "crops-1", machine="another", pid=dead_pid())
    assert clear_abandoned(tmp_path) == []
    then = time.time() - lease.PATIENCE - 60
    os.utime(folder / LEASE, (then, then))
    assert clear_abandoned(tmp_path) == [folder]


def test_a_sleeping_owner_on_this_machine_keeps_its_folder(tmp_path: Path) -> None:
    folder = owned(tmp_path / "crops-1")
    os.utime(folder / LEASE, (1, 1))
    assert clear_abandoned(tmp_path) == [] and folder.is_dir()


@pytest.mark.skipif(
    not Path("/proc/self/stat").exists(), reason="the system does not say when a process started"
)
def test_a_later_process_of_the_same_number_is_another(tmp_path: Path) -> None:
    folder = owned(tmp_path / "crops-1", started="1")
    assert clear_abandoned(tmp_path) == [folder]


def test_a_lease_is_held_by_one(tmp_path: Path) -> None:
    with hold(tmp_path / "a.lease") as path:
        with pytest.raises(Held, match=f"process {os.getpid()}"), hold(path):
            pass
        assert path.is_file()
    with hold(path):
        pass
    assert not path.exists()


def test_who_waits_holds_it_next_and_nobody_waits_for_what_is_no_lease(tmp_path: Path) -> None:
    path, order = tmp_path / "a.lease", []

    def second() -> None:
        with lease.hold_in_turn(path, look=0.01):
            order.append("second")

    with lease.hold_in_turn(path):
        other = threading.Thread(target=second)
        other.start()
        other.join(0.2)
        order.append("first")
    other.join(10)
    assert order == ["first", "second"] and not path.exists()
    path.mkdir()
    with lease.hold_in_turn(path):
        order.append("third")
    path.rmdir()
    path.write_bytes(b"")  # of a power cut
    os.utime(path, (1, 1))
    with lease.hold_in_turn(path):
        order.append("fourth")


def test_a_dead_owners_lease_is_taken_over(tmp_path: Path) -> None:
    path = owned(tmp_path / "f", pid=dead_pid()) / LEASE
    assert abandoned(path)
    with hold(path):
        assert json.loads(path.read_text())["pid"] == os.getpid()


def test_the_heart_beats(tmp_path: Path) -> None:
    with hold(tmp_path / "a.lease", beat=0.02) as path:
        os.utime(path, (1, 1))
        deadline = time.time() + 10
        while path.stat().st_mtime < 2 and time.time() < deadline:
            time.sleep(0.01)
        assert path.stat().st_mtime > 2


def test_a_lease_is_there_with_its_text_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty one, of a kill or a full disk at its first moment, would protect its folder for ever."""

    def full(self: Path, *_: object, **__: object) -> int:
        self.touch()
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as m:
        m.setattr(Path, "write_text", full)
        with pytest.raises(InputError, match="No space left"), hold(tmp_path / RUN):
            pass
    assert list(tmp_path.iterdir()) == []
    with monkeypatch.context() as m:  # a disk without links
        m.setattr(os, "link", lambda *_: (_ for _ in ()).throw(PermissionError(1, "Operation not permitted")))
        with hold(tmp_path / RUN) as path, pytest.raises(Held), hold(path):
            pass
    assert list(tmp_path.iterdir()) == []


def test_of_two_that_take_over_one_loses(tmp_path: Path) -> None:
    """Who judged the old lease dead, and comes when the new one lies there, puts it back."""
    path = owned(tmp_path / "f", pid=dead_pid()) / LEASE
    assert abandoned(path)
    with hold(path):
        text = path.read_text(encoding="utf-8")
        lease._take_away(path)
        assert path.read_text(encoding="utf-8") == text
    assert not path.exists()


def test_a_runs_folder_is_held_for_what_it_calls_and_for_nobody_else(tmp_path: Path) -> None:
    heard: list[str] = []

    def another() -> None:
        try:
            with work_in(tmp_path):
                heard.append("worked")
        except Held as error:
            heard.append(str(error))

    with work_in(tmp_path), work_in(tmp_path):
        thread = threading.Thread(target=another)
        thread.start()
        thread.join()
        assert len(heard) == 1 and f"{tmp_path}: another process works there" in heard[0]
    another()
    assert heard[1:] == ["worked"] and list(tmp_path.iterdir()) == []


def test_no_folder_of_a_run_is_ever_removed(tmp_path: Path) -> None:
    """A bench's results may lie in another's cache; what marks them is no mark of a scratch folder."""
    folder = tmp_path / "results"
    owned(folder, pid=dead_pid())
    (folder / LEASE).rename(folder / RUN)
    assert clear_abandoned(tmp_path) == [] and folder.is_dir()
