"""How far a file is, every half second, on a terminal alone."""

import io

import pytest

from batch.progress import Progress


class Screen(io.StringIO):
    def __init__(self, *, terminal: bool) -> None:
        super().__init__()
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal


def shown(monkeypatch: pytest.MonkeyPatch, *times: float, terminal: bool = True) -> list[str]:
    """What is on the line after each of the times, the last of which is the end's."""
    clock = iter([100.0, *(100.0 + time for time in times)])
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    screen = Screen(terminal=terminal)
    progress = Progress(screen)
    progress.received(2_000_000)
    progress.received(1_234_000_000)
    progress.converted(400_000_000)
    progress.converted(600_000_000)
    progress.end()
    return screen.getvalue().split("\r\x1b[K")


def test_a_large_file_shows_how_far_it_is_and_its_line_goes_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert shown(monkeypatch, 0.4, 0.5, 0.9, 1.6) == [
        "",
        "1,236 MB received, 0 s",
        "1,000 of 1,236 MB read, 2 s",
        "",
    ]


def test_a_small_file_and_one_without_a_terminal_show_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert shown(monkeypatch, 0.1, 0.2, 0.3, 0.4) == [""]
    assert shown(monkeypatch, 1, 2, 3, 4, terminal=False) == [""]
