"""The folder of a running cloud: whose it is, and what becomes of it."""

import json
import os
import subprocess
import sys
import tempfile
import threading
from io import BytesIO, TextIOWrapper
from pathlib import Path
from unittest.mock import Mock

import pytest

from local import cleaner
from local.instance import Instance, InstanceError, read_token
from local.services.ecs.build import with_command
from local.services.ecs.processes import CannotStart, OnThisMachine, Process
from tests.local.probe import eventually


@pytest.fixture(autouse=True)
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return tmp_path / f"fargate-batch-{os.getuid()}"


def test_the_token_is_for_this_user_alone_and_goes_with_the_cloud(base: Path) -> None:
    opened = Instance(1)
    try:
        assert read_token(1) == opened.token
        paths = (opened.folder / "token", opened.folder, base)
        assert [path.stat().st_mode & 0o777 for path in paths] == [0o600, 0o700, 0o700]
    finally:
        opened.close()
    opened.close()
    assert read_token(1) is None
    assert list(base.iterdir()) == []


def test_each_cloud_has_a_token_of_its_own() -> None:
    one, other = Instance(1), Instance(2)
    assert one.token != other.token
    assert (read_token(1), read_token(2)) == (one.token, other.token)
    one.close()
    other.close()


def test_a_folder_that_others_may_enter_is_not_used(base: Path) -> None:
    base.mkdir(mode=0o755)
    base.chmod(0o755)
    with pytest.raises(InstanceError, match="is not a folder of this user's alone"):
        Instance(1)
    assert read_token(1) is None


def test_a_link_to_a_folder_is_not_used(base: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    base.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InstanceError, match="is not a folder of this user's alone"):
        Instance(1)


def test_what_a_cloud_that_is_gone_left_is_removed_and_what_runs_is_kept(base: Path) -> None:
    running = Instance(1)
    for port in (2, 3):
        (base / str(port) / "tasks").mkdir(parents=True)
        (base / str(port) / "lock").touch()
    next_one = Instance(3)
    assert sorted(path.name for path in base.iterdir()) == ["1", "3"]
    assert not (next_one.folder / "tasks").exists()
    assert read_token(1) == running.token
    running.close()
    next_one.close()


def test_what_is_large_is_with_temporary_files_and_goes_with_the_cloud(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "disk").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "disk"))
    closed, killed = Instance(1), Instance(2)
    for one in (closed, killed):
        assert tmp_path / "disk" in one.scratch("objects").parents
    closed.close()
    assert len(list((tmp_path / "disk").iterdir())) == 1
    # As a process that ends without closing it lets go of the lock.
    (base / "2" / "lock").unlink()
    (base / "2" / "lock").touch()
    Instance(3).close()
    assert list((tmp_path / "disk").iterdir()) == []
    killed.close()


def test_a_relative_folder_of_temporary_files_is_cleaned_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    # What Python makes of a TMPDIR that is the working directory.
    monkeypatch.setattr(tempfile, "tempdir", os.curdir)
    opened = Instance(1)
    assert opened.scratch("objects").is_absolute()
    opened.close()
    assert [list(left.iterdir()) for left in tmp_path.iterdir()] == [[]]


def test_a_disk_that_cannot_be_written_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/nonexistent")
    with pytest.raises(InstanceError, match=r"^/nonexistent/\S+ cannot be used: No such file"):
        Instance(1)


def test_what_is_left_ends_with_the_process_that_began_it(base: Path, tmp_path: Path) -> None:
    code = (
        "import subprocess, sys, time\n"
        "from local.instance import Instance\n"
        "opened = Instance(1)\n"
        f"done, left = (['touch', {str(tmp_path)!r} + name] for name in ('/done', '/left'))\n"
        "opened.leave(done)\n"
        "opened.leave(left)\n"
        "opened.done(done)\n"
        "for kept in (True, False):\n"
        "    child = subprocess.Popen(['sleep', '600'], start_new_session=True)\n"
        "    opened.began(child.pid)\n"
        "    if not kept:\n"
        "        opened.ended(child.pid)\n"
        "    print(child.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    ours, no_more = _printed_before_it_was_killed(code)
    eventually(lambda: not ((base / "1").exists() or Path(f"/proc/{ours}").exists()) or None)
    os.kill(no_more, 9)
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["left"]


def _printed_before_it_was_killed(code: str) -> tuple[int, int]:
    """The two process ids that a program prints first."""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as one:
        assert one.stdout is not None
        first, second = (int(one.stdout.readline()) for _ in range(2))
        one.kill()
    return first, second


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="there is no /proc here")
def test_a_process_that_left_its_group_ends_with_the_cloud(base: Path) -> None:
    code = (
        "import subprocess, time\n"
        "from local.instance import Instance\n"
        "home = Instance(1).scratch('tasks') / 'task'\n"
        "for folder in (home, home.parent.parent.with_suffix('.other')):\n"
        "    own = {'HOME': str(folder)}\n"
        "    print(subprocess.Popen(['/bin/sleep', '600'], env=own).pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    ours, another = _printed_before_it_was_killed(code)
    eventually(lambda: not ((base / "1").exists() or _runs(ours)) or None)
    assert _runs(another)
    os.kill(another, 9)


def _runs(process: int) -> bool:
    # One that nobody has waited for is there, without an environment.
    try:
        return bool(Path(f"/proc/{process}/environ").read_bytes())
    except OSError:
        return False


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="there is no /proc here")
def test_a_container_ends_with_all_that_it_started(tmp_path: Path) -> None:
    program = (
        "from subprocess import DEVNULL, Popen\n"
        "print(Popen(['sleep', '600'], start_new_session=True, stdout=DEVNULL).pid)\n"
    )
    ended, lines = threading.Event(), list[str]()
    image = with_command((), tmp_path)
    Process(
        OnThisMachine(image, [sys.executable, "-c", program], {}, tmp_path),
        Mock(),
        lambda written: lines.extend(line.message for line in written),
        lambda _: ended.set(),
    )
    assert ended.wait(60)
    assert not _runs(int(lines[0]))


def test_a_command_that_does_not_end_is_ended_and_the_folder_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cleaner, "COMMAND_SECONDS", 0.5)
    began = tmp_path / "began"
    command = ["/bin/sh", "-c", f"echo $$ > {began}; exec sleep 86400"]
    given = TextIOWrapper(BytesIO(f"!{json.dumps(command)}\n".encode()))
    monkeypatch.setattr(sys, "stdin", given)
    folder = tmp_path / "folder"
    folder.mkdir()
    cleaner.main(str(folder))
    assert not folder.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(int(began.read_text()), 0)


def test_a_container_whose_folder_cannot_be_written_does_not_start(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    image = with_command((), tmp_path)
    nobody = Mock()
    for where in (tmp_path / "file", tmp_path / "gone"):
        with pytest.raises(CannotStart, match="the folder of the container cannot be written"):
            Process(OnThisMachine(image, ["true"], {}, where), nobody, print, print)
    assert nobody.mock_calls == []
