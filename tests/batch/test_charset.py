"""What is seen of a file's bytes, and what is made of them in an encoding."""

# pyright: reportPrivateUsage=false

from collections.abc import Sequence

import pytest

from batch import charset
from batch.charset import Seen, Watch, decoded


def seen(*blocks: bytes) -> Seen:
    watch = Watch()
    for block in blocks:
        watch.see(block)
    return watch.end()


def test_plain_text_is_ascii_and_nothing_is_kept_of_it() -> None:
    assert seen(b"a,b\n", b"1,2\n") == Seen(None, ascii=True, seven_bit=None, utf8=True, lines=())


@pytest.mark.parametrize(
    ("mark", "name"),
    [
        (b"\xef\xbb\xbf", "utf-8"),
        (b"\xff\xfe\0\0", "utf-32-le"),
        (b"\0\0\xfe\xff", "utf-32-be"),
        (b"\xff\xfe", "utf-16-le"),
        (b"\xfe\xff", "utf-16-be"),
    ],
)
def test_a_mark_is_one_at_the_very_beginning_only(mark: bytes, name: str) -> None:
    assert seen(mark + b"a\n", b"b").mark == name
    assert seen(b"a\n", mark).mark is None


def test_a_character_may_be_cut_between_blocks_but_not_at_the_end() -> None:
    assert seen(b"\xe3", b"\x81\x82,", b"x").utf8
    assert not seen(b"\xe3", b"\x81").utf8
    assert not seen(b"\xe3", b"x").utf8
    assert not seen(b"\xe9,\xe3\x81\x82").utf8


def test_lines_that_are_not_ascii_are_kept_whole_across_blocks() -> None:
    lines = seen(b"a\n\xe9b", b"\xe8c\nd\n\xe7", b"\xe9").lines
    assert lines == (b"\xe9b\xe8c", b"\xe7\xe9")


def test_a_line_that_is_long_is_cut_where_no_character_is() -> None:
    (kept,) = seen(b"\xe9" * 1000 + b',"' + b"\xe8" * 3000 + b"\n").lines
    assert kept == b"\xe9" * 1000 + b',"'
    (kept,) = seen(b"\xe9" * 1000 + b"\t" + b"\xe8" * 3000).lines
    assert kept == b"\xe9" * 1000 + b"\t"


def test_the_last_block_of_a_large_file_has_its_say_and_no_more_than_so_much_is_kept() -> None:
    many = (b"\xe9" * 99 + b"\n") * 10_000
    lines = seen(many, many, b"\xe8\n").lines
    assert lines[-1] == b"\xe8"
    assert sum(map(len, lines)) <= 256 << 10


@pytest.mark.parametrize(
    ("block", "name"),
    [
        (b"\x1b$B", "ISO-2022-JP"),
        (b"\x1b$@", "ISO-2022-JP"),
        (b"\x1b(J", "ISO-2022-JP"),
        (b"\x1b(I", "ISO-2022-JP"),
        (b"\x1b.A", "ISO-2022-JP"),
        (b"\x1b$)C", "ISO-2022-KR"),
        (b"\x1b$)A", "ISO-2022-CN"),
        (b"\x1b$)E", "ISO-2022-CN"),
        (b"\x1b$)G", "ISO-2022-CN"),
        (b"\x1b[31m", None),
        (b"\x1b(0", None),
        (b"~{VPND~}", "HZ"),
        (b"~{}", None),
        (b"~{a~}", None),
    ],
)
def test_escapes_name_an_encoding_of_seven_bits(block: bytes, name: str | None) -> None:
    assert seen(b"a,b\n" + block).seven_bit == name
    assert seen(b"a,b\n" + block, b"\xe9").seven_bit is None


@pytest.mark.parametrize(
    ("runs", "are"),
    [
        ([b"AOk", b"AOg", b"AOc"], True),
        ([b"AOk", b"AOg", b"AOc", b""], True),
        ([b"AOk", b"AOg"], False),
        ([b"AOk", b"AOg", b"AOc", b"81"], False),
        ([b"AOk", b"AOg", b"AOc", b"AGE"], False),
        ([b"AOk", b"AOg", b"AOc", b"A"], False),
    ],
)
def test_what_stands_behind_pluses_is_text_or_is_not(runs: Sequence[bytes], are: bool) -> None:  # noqa: FBT001 - a case
    assert charset._is_utf7(runs) is are


@pytest.mark.parametrize(
    ("line", "mostly"),
    [
        ("éé".encode() + b"\xff", True),
        ("é".encode() + b"\xff", False),
        ("ééé".encode() + b"\xff\xff", False),
        ("é".encode(), False),
        (b"\xff", False),
    ],
)
def test_a_file_is_mostly_utf8_with_two_characters_for_each_that_is_none(
    line: bytes,
    mostly: bool,  # noqa: FBT001 - a case
) -> None:
    assert charset._mostly_utf8([line]) is mostly


@pytest.mark.parametrize(
    ("good", "bad", "fits"), [(40, 2, True), (40, 3, False), (39, 2, False), (1, 1, True)]
)
def test_an_encoding_fits_with_a_twentieth_of_characters_that_are_none(
    good: int,
    bad: int,
    fits: bool,  # noqa: FBT001 - a case
) -> None:
    body = "あ".encode("cp932") * good + b"\n" + b"\x80\n" * bad
    assert charset._fits("cp932", iter([b"a\n", body])) is fits


@pytest.mark.parametrize(
    ("row", "cell", "character"),
    [
        (0x2D, 0x21, "①"),
        (0x2D, 0x6A, "㈱"),
        (0x79, 0x21, "纊"),
        (0x7C, 0x6E, "黑"),
        (0x7C, 0x71, "ⅰ"),
        (0x2E, 0x21, None),
        (0x78, 0x21, None),
        (0x2C, 0x21, None),
        (0x2D, 0x7E, None),
    ],
)
def test_windows_has_characters_in_rows_of_its_own(
    row: int, cell: int, character: str | None
) -> None:
    assert charset._of_windows(row, cell) == character


@pytest.mark.parametrize(
    ("encoding", "body", "text"),
    [
        ("cp932", b"\x82\xa0\x80a\x82", "あ\udcffa\udcff"),
        ("euc-jp", b"\xad\xa1\xa4\xa2\xff,", "①あ\udcff,"),
        ("windows-1252", b"\xe9\xff\x81", "é\udcff\udcff"),
        ("utf-16-le", b"a\0\xd8\xdfb\0", "a\udcffb"),
    ],
)
def test_what_is_no_character_becomes_a_byte_that_is_in_no_text(
    encoding: str, body: bytes, text: str
) -> None:
    blocks = [body[place : place + 1] for place in range(len(body))]
    made = b"".join(decoded(blocks, encoding, marked=False))
    assert made == text.encode("utf-8", "surrogateescape")


def test_a_mark_is_left_out_once() -> None:
    blocks = [b"\xff\xfea\0", b"\xff\xfeb\0"]
    assert b"".join(decoded(blocks, "utf-16-le", marked=True)) == "a\ufeffb".encode()
