"""How much sense a text makes, taken for one of the encodings that others are mistaken for."""

import re
from collections import Counter

# A text is refused if every so many of its characters are odd, and for less than this to go by.
_ODD = 8
_ODD_WESTERN = 10
_EVIDENCE = 0.5
_ALPHABET, _HALF_WIDTH, _SELDOM, _WESTERN = 0.5, 0.2, 0.1, 0.1
# Characters that tables in Japanese, and in Chinese, have more often than others.
_JAPANESE = frozenset(
    "一二三四五六七八九十百千万円年月日時分曜東西南北京都道府県市区町村丁目番号地名氏前住所電話郵便会社株式有限"
    "商品数量金額単価合計税込売上仕入在庫顧客取引先担当部課長員備考種類開始終了作成更新登録注文請求書支払名称内容"
    "山田中川本小大高木林森下井伊佐藤鈴加渡辺橋石原野島松清和子男女美郎花太次代正新古外人国語学校生見表示能力大阪"
)
_CHINESE = frozenset(
    "一二三四五六七八九十百千万的是不在有个编号姓名称地址电话数量金额单价合计日期时间公司限客户订单商产品备注类型省"
    "市区县街路北京上海广州深圳中国人民王李张刘陈杨赵黄周吴徐孙马林男女年月元开始结束状态部门员工入库出货税大小新"
    "天河贸易科技股份"
)
# Makers' own characters that are in many names.
_IN_NAMES = frozenset("髙﨑德瀨")
# What no Japanese word has: in half width a mark, a sound or a small letter where none can stand,
# or one letter between others; one character of East Asia among Latin letters.
_NOT_JAPANESE = re.compile(
    r"[｡-･]|(?<![ｳｶ-ﾄﾊ-ﾎ])ﾞ|(?<![ﾊ-ﾎ])ﾟ|(?<![ｦ-ﾟ])[ｧ-ｰﾝ]|(?<![ｷｼﾁﾆﾋﾐﾘﾞﾟﾃ])[ｬ-ｮ]|(?<![ﾌﾞﾃﾂﾄｳ])[ｧ-ｫ]"
    r"|(?<![ｦ-ﾟ\s,;\"])[ｦ-ﾟ](?![ｦ-ﾟ\s,;\"])|[ｦ-ﾟ](?=[A-Za-z])|[A-Za-z][^\x00-ÿ](?=[A-Za-z])"
    r"|(?<=[ｦ-ﾟ])[一-\u9fff](?=[ｦ-ﾟ])|(?<=[a-z])[一-\u9fff](?![^\x00-ÿ])|(?<![^\x00-ÿ])[一-\u9fff](?=[a-z])"
)
_ALONE = re.compile(r"(?<![ｦ-ﾟ])[ｦ-ﾟ](?![ｦ-ﾟ])")
# What Western words have not: a symbol inside or beside them, a capital behind a small letter, a
# digit beside an accent, accents alone or three in a row, signs and letters of other languages.
_NOT_WESTERN = re.compile(
    r"[a-zß-öø-ÿ][À-ÖØ-ÞŒŠŽŸ]|[ß-öø-ÿ][A-Z]"
    r"|[^\W\d_][¡-©«-¯±-¹»-¿×÷†‡•…‰‹›™ˆ˜“”][^\W\d_]"
    r"|[£¥§¤¦¬±¹²³¶¸»¼½¾][a-zß-öø-ÿ]|[^\W\d_][‚„ƒˆ]|\w¡|[¼½¾]\d|[†‡‰][^\W\d_]|[¤¨¯´¸ÐÝÞðýþ]"
    r"|\d[À-ÖØ-çê-öø-ÿœ]|[À-ÖØ-öø-ÿœŒ]\d|[À-ÖØ-öø-ÿ]{3,}"
    r"|(?<![^\W\d_])[À-ÖØ-öø-ÿ]{2,}(?![^\W\d_])|[õÕ](?![eE])|\b[ûÛ]|ø\w*[áéíóúý]"
)


def sense(text: str, encoding: str) -> float:
    """Return how much sense a text makes that was decoded as `encoding`: from 0 (none) to 1.

    One of cp932, euc-jp, gb18030 and windows-1252: the same bytes are valid in several of them.
    """
    characters = Counter(character for character in text if not character.isascii())
    if encoding == "windows-1252":
        odd = len(_NOT_WESTERN.findall(text))
        return _WESTERN if 0 < characters.total() >= odd * _ODD_WESTERN else 0
    odd = sum(map(len, _NOT_JAPANESE.findall(text)))
    alone = len(_ALONE.findall(text))
    known, often = -alone, -alone * _HALF_WIDTH
    of_language = _chinese if encoding == "gb18030" else _japanese
    for character, count in characters.items():
        share = of_language(character)
        if share is None:
            odd += count
        else:
            known += count if share else 0
            often += count * share
    return often / characters.total() if often >= _EVIDENCE and odd * _ODD <= known else 0


def _chinese(character: str) -> float | None:
    """Return how much a character speaks for Chinese; None if it speaks against it."""
    code = character.encode("gb2312", "ignore")
    # Marks and letters, and the 3,755 characters that are most used: lower codes.
    usual = b"\xa1" <= code[:1] <= b"\xa3" or b"\xb0" <= code[:1] <= b"\xd7"
    return None if not usual else 1 if character in _CHINESE else _SELDOM


def _japanese(character: str) -> float | None:
    """Return how much a character speaks for Japanese; None if it speaks against it."""
    if "ぁ" <= character <= "ヿ":
        return _ALPHABET
    if "｡" <= character <= "ﾟ":
        return _HALF_WIDTH
    code = character.encode("euc_jp", "ignore")
    if not code and (character in _IN_NAMES or not "一" <= character <= "\ufaff"):
        return 0
    # The 2,965 characters of level 1 are those that are most used: lower codes.
    if len(code) != 2 or code[:1] > b"\xcf":
        return None
    return 1 if character in _JAPANESE else _SELDOM
