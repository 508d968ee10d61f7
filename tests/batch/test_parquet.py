"""Row groups of a bounded size, dictionaries where values repeat, and names of nested types."""

# pyright: reportPrivateUsage=false

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batch import parquet
from batch.parquet import Writer, sql_name


def written(path: Path, *batches: list[int | None]) -> list[int]:
    """The rows of each row group of a file."""
    with Writer(path, pa.schema([("n", pa.int64())])) as writer:
        for batch in batches:
            writer.write([pa.array(batch, pa.int64())])
    metadata = pq.read_metadata(path)
    return [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)]


def test_a_row_group_has_so_many_rows_or_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "_ROWS", 5)
    assert written(tmp_path / "a", [1, 2], [3, 4], [5], [6], []) == [5, 1]
    assert written(tmp_path / "b", [1, 2, 3, 4], [5, 6], [7]) == [6, 1]
    monkeypatch.setattr(parquet, "_BYTES", 16)
    assert written(tmp_path / "c", [1], [2], [3]) == [2, 1]
    assert written(tmp_path / "d") == []


def test_what_fails_is_not_written_to_the_end(tmp_path: Path) -> None:
    def fail() -> None:
        with Writer(tmp_path / "a", pa.schema([("n", pa.int64())])) as writer:
            writer.write([pa.array([1])])
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert not (tmp_path / "a").exists()


def test_values_that_repeat_are_kept_in_a_dictionary() -> None:
    columns = {
        "half": [1, 1, 2, 2],
        "more": [1, 2, 3, 3],
        "nested": [[1], [2], [3], [4]],
    }
    assert parquet._repetitive(pa.table(columns)) == ["half", "nested"]
    many = {"late": [*range(10_000), *[1] * 10_000], "early": [*[1] * 10_000, *range(10_000)]}
    assert parquet._repetitive(pa.table(many)) == ["early"]


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (pa.bool_(), "BOOLEAN"),
        (pa.int64(), "BIGINT"),
        (pa.uint64(), "UBIGINT"),
        (pa.float64(), "DOUBLE"),
        (pa.string(), "VARCHAR"),
        (pa.list_(pa.list_(pa.string())), "VARCHAR[][]"),
        (
            pa.struct([("a", pa.int64()), ("B", pa.list_(pa.bool_())), ('q"', pa.string())]),
            'STRUCT(a BIGINT, "B" BOOLEAN[], "q""" VARCHAR)',
        ),
        (pa.struct([("é", pa.int64()), ("a b", pa.int64())]), 'STRUCT("é" BIGINT, "a b" BIGINT)'),
    ],
)
def test_a_nested_type_has_the_name_that_duckdb_gives_it(kind: pa.DataType, name: str) -> None:
    assert sql_name(kind) == name
