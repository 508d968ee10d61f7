"""Keys that the printed commands upload to."""

from pathlib import Path
from typing import Any

import pytest

from local.commands.hints import key_for


@pytest.mark.parametrize(
    ("upload", "key"),
    [
        ({"prefix": "a/"}, "a/f.csv"),
        ({"prefix": ["a/", "b/"], "suffix": [".gz", ".zst"]}, "a/f.csv.gz"),
        ({"suffix": ".csv"}, "f.csv"),
        ({"key": ["a/done", "b/done"]}, "a/done"),
        ({"wildcard": ["*/in/*.csv"]}, "demo/in/demo.csv"),
    ],
)
def test_a_key_is_one_that_the_filter_takes(upload: dict[str, Any], key: str) -> None:
    assert key_for(upload, Path("f.csv")) == key
