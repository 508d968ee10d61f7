"""What may be declared of a job's files: here for the container, and by a link for the settings."""

ENCODINGS = (
    *("utf-8", "utf-16-le", "utf-16-be", "cp932", "euc-jp", "iso-2022-jp", "gb18030", "big5"),
    *("euc-kr", "cp949", "windows-1250", "windows-1251", "windows-1252", "iso-8859-1"),
    "iso-8859-15",
)
TYPE = (
    r"VARCHAR|BOOLEAN|BIGINT|DOUBLE|DATE|TIMESTAMP|TIMESTAMPTZ|TIME"
    r"|DECIMAL\(([1-9]|[12]\d|3[0-8]), ?(\d|[12]\d|3[0-8])\)"
)
"""The types that a column may have."""
REJECTED_SHARE = 0.1
