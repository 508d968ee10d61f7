"""What a file may not exceed: checked as it is read, refused with 65 by the name given here."""

ROW_BYTES = 8 << 20
"""A longer record is rejected, and the rest of the file read on."""

COLUMNS = 2_000
"""Of a table, and different keys of all objects of a JSON Lines file."""

DEPTH = 100
"""Of nested JSON values; a deeper row is rejected."""

NESTED_KEYS = 200
"""Of a nested object; one with more is a dictionary, and stays JSON text."""

EXPANDED_BYTES = 50 << 30
"""Of a compressed file, after decompression."""

PREAMBLE_LINES = 100
"""Before the table begins: titles, conditions, comments."""

SHEET_BYTES = 1 << 30
"""Of a workbook's sheet, as XML: some ten million cells."""

STRINGS_BYTES = 64 << 20
"""Of a workbook's different texts, as XML."""

STRINGS = 1_000_000
"""Different texts of a workbook."""
