"""What a stack is warned of before an update, though nothing is refused."""

from datetime import UTC, datetime

import pytest

from settings.advice import clock_changes

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SKIPPED = "when the clocks of Europe/Berlin go from 02:00 to 03:00; choose another time, or UTC"
FIRST = "of which Scheduler takes the first,"
TWICE = "when the clocks of Europe/Berlin go from 03:00 to 02:00; choose another time, or UTC"


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        (
            "cron(30 2 * * ? *)",
            [
                f"cron(30 2 * * ? *) is skipped on 2026-03-29, {SKIPPED}",
                f"cron(30 2 * * ? *) comes twice, {FIRST} on 2026-10-25, {TWICE}",
            ],
        ),
        ("cron(0 2 ? 3 SUN *)", [f"cron(0 2 ? 3 SUN *) is skipped on 2026-03-29, {SKIPPED}"]),
        ("cron(0 1,3 * * ? *)", []),
        ("cron(59 1 * * ? *)", []),
        ("cron(30 2 ? * MON-FRI *)", []),
        ("cron(0 * * * ? *)", []),
        (
            "at(2026-03-29T02:59:59)",
            [f"at(2026-03-29T02:59:59) is skipped on 2026-03-29, {SKIPPED}"],
        ),
        ("at(2026-03-28T02:59:59)", []),
        ("at(2026-03-29T03:00:00)", []),
    ],
)
def test_a_time_that_the_clocks_skip_or_show_twice_is_told(
    expression: str, said: list[str]
) -> None:
    assert list(clock_changes(expression, "Europe/Berlin", NOW)) == said


def test_zones_that_keep_their_clocks_are_quiet() -> None:
    for zone in ("UTC", "Asia/Tokyo"):
        assert not list(clock_changes("cron(30 2 * * ? *)", zone, NOW))


def test_clocks_that_change_at_midnight_or_by_half_an_hour_are_told_too() -> None:
    [skipped, _] = clock_changes("cron(30 0 * * ? *)", "America/Havana", NOW)
    assert "is skipped on 2026-03-08, when the clocks of America/Havana go from 00:00" in skipped
    told = list(clock_changes("cron(15 2 * * ? *)", "Australia/Lord_Howe", NOW))
    assert [text.split(" on ")[1][:10] for text in told] == ["2026-10-04"]
