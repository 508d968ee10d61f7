"""Files as companies upload them: encodings, dialects, headers, declarations, no tables."""

# ruff: noqa: E501 -- a refusal is one line, here as there

import contextlib
import datetime as dt
import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from batch.dialect import unique_names
from batch.exits import BadDataError
from batch.report import Drift
from tests.batch.s3 import ROOT, environment
from tests.batch.test_convert import EXPECTED, EXPECTED_LINES, Ingest, convert_bytes

JAPANESE = (
    "番号,氏名,備考\n1,見本太郎,東京都千代田区\n2,見本花子,ありがとう\n3,見本一郎,表示能力テスト\n"
)
KATAKANA = "ID,ナマエ\n1,ミホンタロウ\n2,ミホンハナコ\n"
HALF_WIDTH = "番,ﾅﾏｴ\n1,ﾀﾛｳ\n2,ﾊﾅｺ\n"
CHINESE = "编号,姓名,城市\n1,张伟,北京\n2,王芳,上海\n3,李娜,广州市天河区\n"
FRENCH = "id,nom,ville\n1,Hélène,Genève\n2,Benoîte,Orléans\n"
GERMAN = "id,name,ort\n1,Müller,Köln\n2,Groß,München\n"
KOREAN = "번호,이름,도시\n1,김철수,서울\n2,이영희,부산\n"
EURO = "id,price\n1,€ 100\n2,“200”\n"


@pytest.fixture(name="ingest")
def fixture_ingest(tmp_path: Path) -> Ingest:
    return lambda body, **declared: convert_bytes(body, tmp_path, **declared)


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        *((text, name) for text in (JAPANESE, KATAKANA) for name in ("utf-8", "cp932", "euc-jp")),
        (HALF_WIDTH, "cp932"),
        (CHINESE, "gb18030"),
        (KOREAN, "cp949"),
        (FRENCH, "windows-1252"),
        (GERMAN, "windows-1252"),
        (EURO, "windows-1252"),
    ],
)
def test_an_encoding_is_told_by_the_whole_file_and_read_exactly(
    ingest: Ingest, text: str, encoding: str
) -> None:
    done = ingest(text.encode(encoding))
    lines = [line.split(",") for line in text.splitlines()]
    assert (done.encoding, list(done.types)) == (encoding, lines[0])
    assert [[str(cell) for cell in row] for row in done.rows] == lines[1:]
    assert ingest(text.encode(encoding), encoding=encoding).rows == done.rows


@pytest.mark.parametrize(
    "body",
    [
        "編號,姓名,城市\n1,張偉,臺北\n2,王芳,高雄\n".encode("big5"),
        "номер,имя\n1,Иван\n2,Мария\n".encode("cp1251"),
        "id,miasto\n1,Łódź\n2,Wąbrzeźno\n3,Żyrardów\n".encode("cp1250"),
        (FRENCH * 99 + "2,x,10 €\n").encode("iso8859-15"),
        (FRENCH * 99 + "2,x,cœur\n").encode("iso8859-15"),
        b"id,v\n" + b"".join(b"%d,%s\n" % (n, bytes((0x81, 0xFF, n + 128))) for n in range(20)),
    ],
    ids=["big5", "windows-1251", "windows-1250", "iso-8859-15 €", "iso-8859-15 œ", "none"],
)
def test_characters_that_fit_no_known_encoding_are_refused(ingest: Ingest, body: bytes) -> None:
    with pytest.raises(BadDataError, match=r"encodings UTF-8.*jobs\.NAME\.ingest\.encoding"):
        ingest(body)


# What others are mistaken for, in as few characters as a small table has; of the symbols of old
# code pages nobody can tell more.
SMALL = {
    "東京": ("cp932", "euc-jp"),
    "山田太郎 鈴木花子": ("cp932", "euc-jp"),
    "薔薇 麒麟 檸檬": ("cp932", "euc-jp"),
    "㈱髙島屋 ①Ⅲ期": ("cp932",),
    "ﾔﾏﾀﾞ ﾀﾛｳ ｼｬﾁｮｳ": ("cp932", "euc-jp"),
    "北京 上海": ("gb18030",),
    "张伟是中国人 李娜": ("gb18030",),
    "café": ("cp1252", "mac_roman", "cp437"),
    "Müller Größe Ärger": ("cp1252", "cp850"),
    "Peña niño ¿Qué?": ("cp1252", "mac_roman"),
    "São Paulo coração ações": ("cp1252", "mac_roman"),
    "20°C 5µm £5 ½ “x” §": ("cp1252",),
    "Łódź żółw Kraków": ("cp1250", "iso8859-2", "cp852"),
    "Dvořák Plzeň žluťoučký": ("cp1250", "iso8859-2"),
    "őrült Győr űr": ("cp1250", "iso8859-2"),
    "İstanbul ışık şeker": ("cp1254",),
    "Москва Иван Мария": ("cp1251", "koi8-r", "iso8859-5", "cp866", "mac_cyrillic"),
    "Αθήνα Θεσσαλονίκη": ("cp1253",),
    "שלום": ("cp1255",),
    "مرحبا القاهرة": ("cp1256",),
    "กรุงเทพ เชียงใหม่": ("cp874",),
    "臺北 高雄": ("big5",),
    "서울 부산": ("euc-kr",),
    "Kozarčev Ajdovščina Marinič": ("cp1250", "iso8859-2"),
    "Furdőfalu Mészárosné Petőfi": ("cp1250", "iso8859-2"),
    "Stănescu Pătru Agăţa": ("cp1250", "iso8859-2"),
    "Lüneburg Jürgen Groß": ("cp1252", "mac_roman", "cp850"),
    "値 列 学": ("cp932",),
    "１２３ ４５６": ("cp932",),
    "名 茜 愛": ("euc-jp", "gb18030"),
    "García Martínez Benício": ("cp1252", "mac_roman", "cp850"),
}
READ = {"cp932", "euc-jp", "euc-kr", "gb18030", "cp1252"}


@pytest.mark.parametrize("times", [1, 9])
@pytest.mark.parametrize(
    ("text", "encoding"), [(text, encoding) for text, names in SMALL.items() for encoding in names]
)
def test_few_characters_are_read_exactly_or_not_at_all(
    ingest: Ingest, text: str, encoding: str, times: int
) -> None:
    words = text.split(" ") * times
    rows = [f"{number},{word}" for number, word in enumerate(words)]
    try:
        done = ingest("\n".join(["id,name", *rows]).encode(encoding))
    except BadDataError:
        return
    read = {f"{number},{word}" for number, word in done.rows}
    assert len(read) + done.converted.rejected.count == len(rows)
    assert read <= set(rows)
    if encoding not in READ:
        assert not any(str(word) in words for _, word in done.rows)


@pytest.mark.parametrize("header", ["列0,列1", "No,数量,単価", "コード,値", "商品,借方,貸方"])
def test_a_header_alone_can_tell_the_encoding(ingest: Ingest, header: str) -> None:
    width = header.count(",") + 1
    done = ingest(f"{header}\n{','.join('1' * width)}\n".encode("cp932"))
    assert (done.encoding, list(done.types)) == ("cp932", header.split(","))


@pytest.mark.parametrize("name", ["値", "列", "学", "園", "院"])
@pytest.mark.parametrize("encoding", ["cp932", "euc-jp"])
def test_the_only_character_of_a_file_is_none_of_another_language(
    ingest: Ingest, name: str, encoding: str
) -> None:
    body = f"id,{name}\n1,2\n".encode(encoding)
    with contextlib.suppress(BadDataError):
        assert list(ingest(body).types) == ["id", name]


@pytest.mark.parametrize("text", ["20°C", "£5", "½", "§ 5", "5µm", "Foo®", "a – b", "l’eau", "¥5"])
def test_a_single_symbol_of_the_west_is_no_character_of_east_asia(
    ingest: Ingest, text: str
) -> None:
    body = f"id,name\n1,{text}\n2,x\n3,{text}\n".encode("cp1252")
    assert ingest(body).rows == [(1, text), (2, "x"), (3, text)]


@pytest.mark.parametrize(
    ("body", "declared", "found"),
    [
        ("id,name\n1,東京\n".encode(), "cp932", "UTF-8"),
        ("\ufeffid,name\n1,x\n".encode(), "cp932", "UTF-8"),
        ("\ufeffid,name\n".encode("utf-16-be"), "utf-16-le", "UTF-16-BE"),
    ],
)
def test_a_declared_encoding_that_is_plainly_another_is_refused(
    ingest: Ingest, body: bytes, declared: str, found: str
) -> None:
    with pytest.raises(BadDataError) as refused:
        ingest(body, encoding=declared)
    assert str(refused.value) == (
        f"the file is {found}, and jobs.NAME.ingest.encoding is {declared}: correct one of them, or"
        " declare none where files differ"
    )


def test_a_7_bit_encoding_is_refused_by_name_and_read_if_it_is_declared(ingest: Ingest) -> None:
    body = JAPANESE.encode("iso2022_jp")
    with pytest.raises(BadDataError, match=r"ISO-2022-JP.*ingest\.encoding: iso-2022-jp"):
        ingest(body)
    assert ingest(body, encoding="iso-2022-jp").rows[0] == (1, "見本太郎", "東京都千代田区")


@pytest.mark.parametrize(
    ("text", "encoding", "name"),
    [
        (CHINESE, "hz", "HZ"),
        (KOREAN, "iso2022_kr", "ISO-2022-KR"),
        (KATAKANA, "utf-7", "UTF-7"),
        (JAPANESE, "utf-7", "UTF-7"),
        (FRENCH, "iso2022_jp_1", "ISO-2022-JP"),
        (FRENCH, "iso2022_jp_2004", "ISO-2022-JP"),
        (KOREAN, "iso2022_jp_2", "ISO-2022-JP"),
        (HALF_WIDTH, "iso2022_jp_ext", "ISO-2022-JP"),
        (FRENCH.replace("é", "e"), "cp037", "EBCDIC"),
        (GERMAN, "cp273", "EBCDIC"),
    ],
)
def test_an_encoding_that_looks_like_ascii_is_refused_by_name(
    ingest: Ingest, text: str, encoding: str, name: str
) -> None:
    with pytest.raises(BadDataError, match=rf"^the file is {name}, .*convert it to UTF-8"):
        ingest(text.encode(encoding))


def test_what_windows_adds_to_japanese_encodings_is_read(ingest: Ingest) -> None:
    # Row 13 and rows 89 to 92 of JIS X 0208, as https://www.iana.org/assignments/charset-reg/CP50220
    # and CP51932 have them.
    rows = [(1, "①㈱"), (2, "髙﨑"), (3, "東京都"), (4, "山田太郎")]
    jis = [b"-!-j", b"|byu", *(text.encode("iso2022_jp")[3:-3] for _, text in rows[2:])]
    euc = [bytes(byte | 0x80 for byte in text) for text in jis]
    mail = [b"\x1b$B%b\x1b(B" % text for text in jis]
    for encoding, texts in (("euc-jp", euc), ("iso-2022-jp", mail)):
        body = b"id,name\n" + b"".join(b"%d,%b\n" % (n, text) for n, text in enumerate(texts, 1))
        assert ingest(body, encoding=encoding).rows == rows
    assert ingest(HALF_WIDTH.encode("iso2022_jp_ext"), encoding="iso-2022-jp").rows[0][1] == "ﾀﾛｳ"


@pytest.mark.parametrize(
    "text",
    [
        "id,phone\n1,+819012345678\n2,+14155552671\n3,+442071838750\n4,+4989123456\n",
        "id,mail\n1,a+news@example.com\n2,b+shop@example.com\n3,c+foo@example.com\n",
        "id,v\n1,C++\n2,1+1\n3,~{}~\n4,\x1b[31mred\x1b[0m\n5,+abc\n6,a+/b+c=\n",
    ],
)
def test_pluses_and_escapes_of_ascii_are_text(ingest: Ingest, text: str) -> None:
    done = ingest(text.encode())
    lines = [line.split(",") for line in text.splitlines()]
    assert [[str(cell) for cell in row] for row in done.rows] == lines[1:]


def test_carriage_returns_end_records_where_the_only_other_line_end_is_the_last(
    ingest: Ingest,
) -> None:
    assert ingest(b"id,name\r1,a\r2,b\r\n").rows == [(1, "a"), (2, "b")]


def test_a_character_cut_off_at_the_end_costs_its_row(ingest: Ingest) -> None:
    done = ingest("id,memo\n1,ok\n2,東京\n3,東".encode()[:-1])
    assert (done.encoding, done.rows) == ("utf-8", [(1, "ok"), (2, "東京")])
    assert done.rejected == [(4, "a character is not valid in the file's encoding")]


@pytest.mark.parametrize(
    ("body", "header"),
    [
        ("id,name\n1,a\n2,b\n", True),
        ("name,city\na,tokyo\nb,osaka\n", True),
        ("部門,2024,2025\nA,1,2\nB,3,4\n", True),
        ("部門,2026/04,2026/05\nA,1,2\nB,3,4\n", True),
        ("13999,100,ｱ,見本市\n13999,101,ｲ,見本区\n", False),
        ("2026年4月1日,1000\n2026年4月2日,2000\n", False),
        ("10:00:00,5\n10:01:00,6\n", False),
        ("a1,tokyo\na2,osaka\na3,tokyo\n", False),
        ("tokyo,a\nosaka,b\ntokyo,c\n", False),
        ("1001,見本太郎,東京\n", False),
        ("N/A,1.5\nx,2.5\n", False),
    ],
)
def test_a_header_is_told_by_types_and_repetition(ingest: Ingest, body: str, header: bool) -> None:  # noqa: FBT001 - a case
    done = ingest(body.encode())
    assert done.converted.detected.header is header
    assert len(done.rows) == body.count("\n") - header
    assert ingest(body.encode(), header=not header).converted.detected.header is not header


@pytest.mark.parametrize(
    ("body", "preamble", "names"),
    [
        ("売上一覧\nid\tname\tn\n1\ta\t2\n2\tb\t3\n", 1, ["id", "name", "n"]),
        ("sep=;\r\nid;name\r\n1;a\r\n2;b\r\n", 1, ["id", "name"]),
        (
            "開始日,2026/04/01\n件数,3\n\nid,name,qty\n1,a,2\n2,b,3\n3,c,4\n",
            3,
            ["id", "name", "qty"],
        ),
        ("売上一覧,,\nid,name,n\n1,a,2\n2,b,3\n", 1, ["id", "name", "n"]),
        ("売上一覧,,\n,,\nid,name,n\n1,a,2\n2,b,3\n", 2, ["id", "name", "n"]),
        ("# made by x, at 10\n# y\nid;name\n1;a\n2;b\n", 2, ["id", "name"]),
        ("\n\nid,name\n1,a\n2,b\n", 2, ["id", "name"]),
    ],
)
def test_lines_before_the_table_are_left_out_and_counted(
    ingest: Ingest, body: str, preamble: int, names: list[str]
) -> None:
    done = ingest(body.encode())
    assert (done.converted.detected.preamble, list(done.types)) == (preamble, names)
    assert [row[:2] for row in done.rows[:2]] == [(1, "a"), (2, "b")]


def test_a_header_of_several_rows_is_refused(ingest: Ingest) -> None:
    body = "時刻：10:00\n\n,東京,東京\n年月日,気温,気温\n,,品質\n2026/3/1,8.5,8\n2026/3/2,9.1,8\n"
    with pytest.raises(BadDataError, match="the header has 3 rows, lines 3 to 5"):
        ingest(body.encode())


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("<TABLE border=1>\n<TR><TD>1</TD></TR></TABLE>\n", f"the file is HTML: {EXPECTED}"),
        ("\n <!-- x -->\n<!DocType Html>\n<p>a,b</p>\n", f"the file is HTML: {EXPECTED}"),
        ('<?xml version="1.0"?>\n<rows/>\n', f"the file is XML: {EXPECTED}"),
        ("<Error><Code>AccessDenied</Code></Error>\n", f"the file is XML: {EXPECTED}"),
        ("-- dump\nINSERT INTO t VALUES (1,'a');\n", f"the file is SQL: {EXPECTED}"),
        ("CREATE TABLE t (a int, b int);\n", f"the file is SQL: {EXPECTED}"),
        (
            "{'a': 1, 'b': None}\n{'a': 2, 'b': True}\n",
            f"the file is Python dicts and no JSON: {EXPECTED}",
        ),
        ("| a | b |\n|---|---|\n| 1 | 2 |\n", f"the file is a Markdown table: {EXPECTED}"),
        (
            "id   name     qty\n1    pen      10\n2    ink box  5\n",
            "the file is a list of fixed width: expected a delimiter: comma, tab, semicolon or bar",
        ),
        (
            "id name qty\n1 pen 10\n2 ink 5\n",
            "the file is a list separated by spaces: expected a delimiter: comma, tab, semicolon or bar",
        ),
        ('[\n{"a":1},\n{"a":2}\n]\n', f"the file is a JSON array: {EXPECTED_LINES}"),
        (
            '{\n  "meta": {"v":1},\n  "rows": [\n    {"id":1},\n    {"id":2}\n  ]\n}\n',
            f"the file is one JSON document over several lines: {EXPECTED_LINES}",
        ),
    ],
)
def test_what_is_no_table_is_refused_by_its_name(ingest: Ingest, body: str, reason: str) -> None:
    with pytest.raises(BadDataError) as refused:
        ingest(body.encode())
    assert str(refused.value) == reason


def test_texts_of_several_words_and_times_are_columns_of_their_own(ingest: Ingest) -> None:
    assert ingest(b"title\nthe old man\nthe sea wolf\nthe lost world\n").types == {
        "title": "VARCHAR"
    }
    times = b"at\n2026-04-01 10:00:00\n2026-04-01 10:00:01\n"
    assert ingest(times).types == {"at": "TIMESTAMP"}


def test_more_than_a_tenth_of_rejected_rows_refuses_the_file_but_one_alone_never(
    ingest: Ingest,
) -> None:
    assert ingest(b"a,b\n1,2\n3\n").converted.rejected.count == 1
    body = b"a,b\n" + b"1,2\n" * 17 + b"3\n" * 2
    with pytest.raises(BadDataError, match=r"2 of 19 records are rejected, 10\.5%.*found 1 \(2\)"):
        ingest(body)
    assert ingest(b"1,2\n" + body).converted.rejected.count == 2
    assert ingest(body, rejected_share=0.2).converted.rejected.reasons == {
        "expected 2 columns, found 1": 2
    }


def test_a_row_that_does_not_fit_the_declared_types_is_rejected_with_its_column(
    ingest: Ingest,
) -> None:
    body = 'day,amount,code\n20260401,"1.234",001\n20260431,5,2\n20260402,"2,5",-\n'
    done = ingest(
        body.replace("1.234", "1,25").encode(),
        schema={"day": "DATE", "amount": "DECIMAL(10,2)", "code": "VARCHAR"},
        date_format="%Y%m%d",
        decimal=",",
        null_values=("-",),
    )
    assert [(row[0], str(row[1]), row[2]) for row in done.rows] == [
        (dt.date(2026, 4, 1), "1.25", "001"),
        (dt.date(2026, 4, 2), "2.50", None),
    ]
    assert done.rejected == [(3, "day: 20260431 is no date as %Y%m%d")]


def test_columns_that_are_not_those_declared_are_refused_or_told(ingest: Ingest) -> None:
    body, schema = b"a,c\n1,7\n2,8\n", {"a": "BIGINT", "b": "DATE"}
    with pytest.raises(BadDataError) as refused:
        ingest(body, schema=schema)
    assert str(refused.value) == (
        "the file has no column b; it has the undeclared c: correct the file or jobs.NAME.ingest.schema,"
        " or set jobs.NAME.ingest.schemaDrift: allow"
    )
    done = ingest(body, schema=schema, schema_drift="allow")
    assert done.types == {"a": "BIGINT", "b": "DATE", "c": "VARCHAR"}
    assert done.rows == [(1, None, "7"), (2, None, "8")]
    assert done.converted.drift == Drift(missing=("b",), additional=("c",))


def test_a_schema_holds_for_json_lines_and_without_a_header(ingest: Ingest) -> None:
    schema = {"a": "VARCHAR", "b": "DOUBLE"}
    assert ingest(b'{"a":1.50,"b":1e3}\n{"b":2,"a":[1]}\n', schema=schema).rows == [
        ("1.50", 1000.0),
        ("[1]", 2.0),
    ]
    assert ingest(b"1,2\n3,4\n", schema=schema, header=False).rows == [("1", 2.0), ("3", 4.0)]


def test_the_report_says_why_a_column_was_left_as_text(ingest: Ingest) -> None:
    rows = [f"2026/4/{n % 30 + 1},{n},{n}.5" for n in range(1200)]
    rows[15], rows[700], rows[900] = "4/31,1,1", "x,1,1", "2026/2/30,1,1e5"
    done = ingest("\n".join(["day,n,v", *rows]).encode())
    assert done.types == {"day": "VARCHAR", "n": "BIGINT", "v": "VARCHAR"}
    assert [column.reason for column in done.converted.columns] == [
        "3 of 1,200 values are no date, the first at line 17: 4/31",
        None,
        "1 of 1,200 values is no number of at most 15 digits, the first at line 902: 1e5",
    ]


def test_json_numbers_keep_their_digits(ingest: Ingest) -> None:
    done = ingest(
        b'{"a":12345678901234567890.12,"b":{"x":99999999999999.99},"c":1e400,"d":1e5,"e":-0}\n'
        b'{"a":1,"b":{"x":12345678901234567890123},"c":1,"d":2.5,"e":1}\n'
    )
    assert done.types == {
        "a": "DECIMAL(38,2)",
        "b": "VARCHAR",
        "c": "VARCHAR",
        "d": "DOUBLE",
        "e": "DOUBLE",
    }
    assert [str(value) for value in done.rows[0]] == [
        "12345678901234567890.12",
        '{"x":99999999999999.99}',
        "1e400",
        "100000.0",
        "-0.0",
    ]


def test_what_begins_as_json_does_is_a_table_where_it_is_none(ingest: Ingest) -> None:
    assert ingest(b"[x],y\na,1\nb,2\n").rows == [("a", 1), ("b", 2)]
    assert ingest(b"{x},y\na,1\nb,2\n").rows == [("a", 1), ("b", 2)]


def test_a_percent_sign_of_a_declared_date_is_one(ingest: Ingest) -> None:
    done = ingest(b"id,d\n1,1%4%2026\n2,31%12%2026\n", date_format="%d%%%m%%%Y")
    assert done.rows == [(1, dt.date(2026, 4, 1)), (2, dt.date(2026, 12, 31))]


def test_values_nested_too_deep_cost_their_row_and_many_levels_are_text(ingest: Ingest) -> None:
    def nested(levels: int) -> bytes:
        return b'{"a":' + b"[" * levels + b"1" + b"]" * levels + b"}\n"

    done = ingest(nested(99) + nested(100_000) + nested(99))
    assert (done.types, len(done.rows)) == ({"a": "VARCHAR"}, 2)
    assert done.rejected == [(2, "values are nested deeper than 100")]


def test_line_ends_inside_values_stay(ingest: Ingest) -> None:
    done = ingest(b'id,note,n\n1,a\rb,2\n2,"c\r\nd",3\n3,"e\rf\n",4\n')
    assert [row[1] for row in done.rows] == ["a\rb", "c\r\nd", "e\rf\n"]


@pytest.mark.parametrize(
    ("body", "rows"),
    [
        (b"a,b\r1,2\n3,4\r", [(1, 2), (3, 4)]),
        (b"a,b\n1,2\r3,4\r5,6\n", [(1, 2), (3, 4), (5, 6)]),
        (b"a,b\r\r\n1,2\r\r\n3,4\r\r\n", [(1, 2), (3, 4)]),
        (b'a,b\r1,"x\ry"\r3,"4\n"', [(1, "x\ry"), (3, "4\n")]),
        (b"a,b\n1,x\ry\n3,\r\n", [(1, "x\ry"), (3, None)]),
    ],
)
def test_line_ends_of_several_kinds_end_records_where_more_of_them_are_alike_so(
    ingest: Ingest, body: bytes, rows: list[tuple[object, ...]]
) -> None:
    done = ingest(body)
    assert (done.rows, done.converted.rejected.count) == (rows, 0)


def test_a_byte_order_mark_is_no_part_of_a_name_and_stays_in_a_value(ingest: Ingest) -> None:
    assert list(ingest("\ufeff\ufeffid,n\n1,2\n".encode()).types) == ["id", "n"]
    body = "a,b\n" + "\ufeffx,1\n" * 300_000
    done = ingest(body.encode())
    assert {row[0] for row in done.rows} == {"\ufeffx"}


def test_a_year_that_other_readers_have_not_is_text(ingest: Ingest) -> None:
    done = ingest(b"a,b\n0000-01-01,0000-01-01 10:00:00\n2026-04-01,2026-04-01 10:00:00\n")
    assert list(done.types.values()) == ["VARCHAR", "VARCHAR"]
    assert ingest(b"a\n0001-01-01\n9999-12-31\n").types == {"a": "DATE"}


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["2026/04/01 9:05", "2026/4/1 10:05"], "TIMESTAMP"),
        (["2026/04/01 9:05:07", "2026年4月1日 10:05"], "TIMESTAMP"),
        (["2026/04/01 9:05", "2026/02/29 9:05"], "VARCHAR"),
        (["2026/04/01 9:05", "2026/04/01 24:05"], "VARCHAR"),
        (["2026/4/1", "2026年12月31日", "2026-04-01"], "DATE"),
        (["2026/4/1", "2026/4/31"], "VARCHAR"),
        (["2026/4/1", "2026/4/1 9:05"], "VARCHAR"),
        (["20260401", "20260402"], "BIGINT"),
    ],
)
def test_dates_as_japan_writes_them_are_dates_where_every_value_is_one(
    ingest: Ingest, values: list[str], kind: str
) -> None:
    done = ingest("\n".join(["at", *values]).encode(), header=True)
    assert done.types == {"at": kind}


def test_digits_alone_are_dates_only_where_that_is_declared(ingest: Ingest) -> None:
    done = ingest(b"at,n\n20260401,20260431\n20260402,1\n", date_format="%Y%m%d")
    assert done.types == {"at": "DATE", "n": "BIGINT"}
    done = ingest(b'{"at":"20260401"}\n{"at":"20260402"}\n', date_format="%Y%m%d")
    assert done.types == {"at": "DATE"}


def test_what_is_declared_of_text_holds_for_the_text_of_json_only(ingest: Ingest) -> None:
    body = b'{"a":1.5,"b":"-","c":-9.0}\n{"a":123456789012345678.25,"b":"x","c":2}\n'
    done = ingest(body, decimal=",", null_values=("-", "-9.0"))
    assert done.types == {"a": "DECIMAL(38,2)", "b": "VARCHAR", "c": "DOUBLE"}
    assert [row[1:] for row in done.rows] == [(None, -9.0), ("x", 2.0)]


def test_numbers_that_are_written_otherwise_than_they_are_read_are_text(ingest: Ingest) -> None:
    done = ingest(b"a,b,c,d,e\n00.5,-01.5,1.5e3,-.5,5.\n1.5,2.5,1,1.5,1.5\n", header=True)
    assert list(done.types.values()) == ["VARCHAR", "VARCHAR", "VARCHAR", "DOUBLE", "DOUBLE"]


def test_a_point_where_a_comma_is_declared_costs_its_row_only(ingest: Ingest) -> None:
    done = ingest(
        b"a;b\n1,5;1.000,5\n2;2,25\n", decimal=",", schema={"a": "DOUBLE", "b": "DECIMAL(10,2)"}
    )
    assert [str(value) for value in done.rows[0]] == ["2.0", "2.25"]
    assert [line for line, _ in done.rejected] == [2]


def test_quotes_of_a_tab_separated_file_are_text_wherever_that_shows(ingest: Ingest) -> None:
    body = b"id\ttitle\n" + b"1\tplain\n" * 300_000 + b'2\t"Open\n3\t"Hello" world\n'
    done = ingest(body)
    assert done.rows[-2:] == [(2, '"Open'), (3, '"Hello" world')]
    assert (done.converted.rejected.count, done.converted.detected.quoting) == (0, False)


def test_names_that_are_all_the_same_take_no_time() -> None:
    assert unique_names(["a"] * 100_000)[-1] == "a_100000"
    assert unique_names(["a", "a_2", "a", "A"]) == ("a", "a_2", "a_3", "A_4")


def test_more_columns_than_the_limit_are_refused_by_name(ingest: Ingest) -> None:
    with pytest.raises(BadDataError, match="2,001 columns: at most 2,000"):
        ingest(b"c" + b",c" * 2000 + b"\n")
    keys = b"".join(b'{"k%d":1}\n' % n for n in range(2001))
    with pytest.raises(BadDataError, match="more than 2,000 different keys"):
        ingest(keys)


def on_a_file(file: Path, out: Path, **variables: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "batch", "--file", str(file), "--out", str(out)],
        env=environment("") | variables,
        cwd=ROOT,
        capture_output=True,
        check=False,
    )


def test_a_file_is_ingested_without_s3(tmp_path: Path) -> None:
    file, out = tmp_path / "a.csv", tmp_path / "out"
    file.write_bytes(b"a,b\n1,2\n3\n")
    done = on_a_file(file, out, INGEST='{"schema": {"a": "DOUBLE", "b": "VARCHAR"}}')
    assert (done.returncode, done.stderr) == (0, b"")
    report: dict[str, Any] = json.loads((out / "report.json").read_bytes())
    assert report["source"] == {"file": str(file)}
    assert [column["type"] for column in report["columns"]] == ["DOUBLE", "VARCHAR"]
    assert report["result"] == {
        "file": str(out / "result.parquet"),
        "bytes": (out / "result.parquet").stat().st_size,
    }
    assert json.loads(done.stdout.splitlines()[-1])["event"] == "result"
    assert sorted(os.listdir(out)) == ["report.json", "result.parquet"]  # noqa: PTH208 - names are enough


@pytest.mark.slow
def test_how_far_a_big_file_is_shows_on_a_terminal_and_goes_away(tmp_path: Path) -> None:
    file, out = tmp_path / "a.csv", tmp_path / "out"
    file.write_bytes(b"a,b,c\n" + b"1,2026-04-01 10:00:00,x\n" * 3_000_000)
    screen, terminal = pty.openpty()
    with os.fdopen(screen, "rb", buffering=0) as shown:
        with os.fdopen(terminal, "wb") as stderr:
            process = subprocess.Popen(
                [sys.executable, "-m", "batch", "--file", str(file), "--out", str(out)],
                env=environment(""),
                cwd=ROOT,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
            )
        text = b""
        # Linux ends a terminal that nobody writes to any more with an error.
        with contextlib.suppress(OSError):
            while some := shown.read(1024):
                text += some
    assert process.wait() == 0
    assert re.search(rb"\r\x1b\[K\d+ of 72 MB read, \d+ s", text)
    assert text.endswith(b"\r\x1b[K")
    assert b"\n" not in text
    assert on_a_file(file, out).stderr == b""


@pytest.mark.parametrize(
    ("body", "declared", "code"), [(None, "{}", 66), (b"<html>", "{}", 65), (b"a\n1\n", "[]", 78)]
)
def test_a_file_that_is_not_ingested_ends_with_its_exit_code(
    tmp_path: Path, body: bytes | None, declared: str, code: int
) -> None:
    if body is not None:
        (tmp_path / "a.csv").write_bytes(body)
    done = on_a_file(tmp_path / "a.csv", tmp_path / "out", INGEST=declared)
    assert (done.returncode, done.stderr) == (code, b"")
    assert json.loads(done.stdout.splitlines()[-1])["exit"] == code


@pytest.mark.parametrize(
    ("cell", "absent"),
    [
        *((cell, True) for cell in ("", "-", "--", "N/A", "na", "NULL", "None", "NaN")),
        *((cell, True) for cell in ("なし", "―", "ー")),
        ("some", False),
    ],
)
def test_what_stands_for_no_value_makes_no_column_one_of_words(
    ingest: Ingest, cell: str, *, absent: bool
) -> None:
    """The first row may be one like the others, unless it has a word above numbers."""
    done = ingest(f"x,amount\nx,1\nx,{cell}\ny,2\n".encode())
    assert (list(done.types) == ["x", "amount"]) is absent
