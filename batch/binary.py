"""Files that are no text: refused by name, from their first bytes."""

from batch.exits import BadDataError

EXPECTED = "expected CSV, JSON Lines or an Excel workbook (.xlsx)"
_MAGIC = (
    (b"%PDF-", "a PDF"),
    (b"PAR1", "a Parquet file"),
    (b"\xd0\xcf\x11\xe0", "an old Office file, or an encrypted one"),
    (b"BZh", "bzip2-compressed"),
    (b"\xfd7zXZ", "xz-compressed"),
    (b"7z\xbc\xaf", "a 7-Zip archive"),
    (b"\x1f\x8b", "compressed twice"),
    (b"\x28\xb5\x2f\xfd", "compressed twice"),
    (b"SQLite format 3\0", "an SQLite database"),
    (b"Obj\x01", "an Avro file"),
    (b"ORC", "an ORC file"),
    (b"ARROW1", "an Arrow file"),
    (b"{\\rtf", "a rich text document"),
)
# Letters, digits, the space, what is common between them and the line ends of EBCDIC, which has
# few of these where ASCII has the same: https://www.unicode.org/Public/MAPPINGS/VENDORS/MICSFT/EBCDIC/CP037.TXT
_EBCDIC = bytes(
    byte
    for byte in range(256)
    if (text := bytes((byte,)).decode("cp037")).isalnum() and text.isascii()
) + " \n\x85\r,;\t\"'.-/:".encode("cp037")
_CONTROLS = bytes({*range(9), *range(16, 32)} - {0x1A, 0x1B})


def refuse_binary(start: bytes, *, wide: bool) -> None:
    """Refuse a file whose first bytes are no text, or that is compressed twice.

    `wide` says that it has the byte order mark of an encoding with zero bytes.
    """
    for magic, kind in _MAGIC:
        if start.startswith(magic):
            raise BadDataError(f"the file is {kind}: {EXPECTED}")
    if len(start.translate(None, _EBCDIC)) * 6 < len(start) and not wide and b"\n" not in start:
        raise BadDataError("the file is EBCDIC, the encoding of mainframes: convert it to UTF-8")
    controls = len(start) - len(start.translate(None, _CONTROLS))
    if controls * 100 > len(start) and not wide:
        raise BadDataError("the file is binary, or UTF-16 without a byte order mark: expected text")
