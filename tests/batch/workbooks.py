"""Workbooks as Excel writes them, made of their parts."""

import io
import zipfile
from collections.abc import Sequence
from xml.sax.saxutils import escape, quoteattr

MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
LINKS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006/relationships"

FORMATS = (
    *("General", "yyyy/m/d", "yyyy/mm/dd h:mm", "h:mm:ss", "[h]:mm:ss", 'ggge"年"m"月"d"日"'),
    *('#,##0"円";[Red]-#,##0"円"', "00000", "0.00E+00"),
)
"""How numbers of the styles 0, 1, … are shown."""


def cell(
    reference: str, value: object, *, kind: str = "", style: int = 0, formula: str = ""
) -> str:
    """A cell: a text in place, unless another type or a number is given."""
    kind = kind or ("inlineStr" if isinstance(value, str) else "n")
    inner = f"<f>{escape(formula)}</f>" if formula else ""
    if kind == "inlineStr":
        inner += f"<is><t>{escape(str(value))}</t></is>"
    elif value is not None:
        inner += f"<v>{escape(str(value))}</v>"
    return f'<c r="{reference}" t="{kind}" s="{style}">{inner}</c>'


def row(number: int, *values: object, style: int = 0) -> str:
    """A row of values from column A on; a string that begins with < is a cell, None is none."""
    cells = [
        value
        if isinstance(value, str) and value.startswith("<")
        else cell(f"{chr(65 + place)}{number}", value, style=style)
        for place, value in enumerate(values)
        if value is not None
    ]
    return f'<row r="{number}">{"".join(cells)}</row>'


def workbook(
    *sheets: str,
    states: Sequence[str] = (),
    since_1904: bool = False,
    uncalculated: bool = False,
    strings: Sequence[str] = (),
    parts: dict[str, bytes] | None = None,
) -> bytes:
    """A workbook of sheets made of rows; `strings` are the shared ones, as XML.

    `parts` are put in the place of others.
    """
    sheets = sheets or ("",)
    names = [f"S{number}" for number in range(1, len(sheets) + 1)]
    shown = [*states, *["visible"] * len(sheets)][: len(sheets)]
    tabs = "".join(
        f'<sheet name="{name}" sheetId="{number}" state="{state}" r:id="r{number}"/>'
        for number, (name, state) in enumerate(zip(names, shown, strict=True), start=1)
    )
    codes = "".join(
        f"<numFmt numFmtId={quoteattr(str(170 + place))} formatCode={quoteattr(code)}/>"
        for place, code in enumerate(FORMATS)
    )
    styles = "".join(f'<xf numFmtId="{170 + place}"/>' for place in range(len(FORMATS)))
    links = [(f"r{n}", "worksheet", f"worksheets/sheet{n}.xml") for n in range(1, len(sheets) + 1)]
    links += [("rs", "styles", "styles.xml"), ("rt", "sharedStrings", "sharedStrings.xml")]
    made = {
        "[Content_Types].xml": '<Types xmlns="http://schemas.openxmlformats.org/package/2006/'
        'content-types"><Default Extension="xml" ContentType="application/xml"/></Types>',
        "_rels/.rels": _links([("r1", "officeDocument", "xl/workbook.xml")]),
        "xl/workbook.xml": f'<workbook xmlns="{MAIN}" xmlns:r="{LINKS}">'
        f'<workbookPr date1904="{int(since_1904)}"/><sheets>{tabs}</sheets>'
        f'<calcPr fullCalcOnLoad="{int(uncalculated)}"/></workbook>',
        "xl/_rels/workbook.xml.rels": _links(links),
        "xl/styles.xml": f'<styleSheet xmlns="{MAIN}"><numFmts>{codes}</numFmts>'
        f'<cellStyleXfs><xf numFmtId="14"/></cellStyleXfs><cellXfs>{styles}</cellXfs></styleSheet>',
        "xl/sharedStrings.xml": f'<sst xmlns="{MAIN}">{"".join(strings)}</sst>',
    } | {
        f"xl/worksheets/sheet{number}.xml": f'<worksheet xmlns="{MAIN}"><sheetData>{rows}'
        "</sheetData></worksheet>"
        for number, rows in enumerate(sheets, start=1)
    }
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, body in (made | (parts or {})).items():
            archive.writestr(name, body)
    return stream.getvalue()


def _links(parts: Sequence[tuple[str, str, str]]) -> str:
    links = "".join(
        f'<Relationship Id="{name}" Type="{LINKS}/{kind}" Target="{target}"/>'
        for name, kind, target in parts
    )
    return f'<Relationships xmlns="{PACKAGE}">{links}</Relationships>'
