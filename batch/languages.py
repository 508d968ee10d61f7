"""How much sense a text makes, taken for one of the encodings that others are mistaken for."""

import re
from collections import Counter

# A text is refused if every so many of its characters are odd, and for less than this to go by.
_ODD = 8
_ODD_WESTERN = 10
# Two bytes of which EUC-JP, EUC-KR and GB2312 make a character each say less than those of CP932.
_EVIDENCE, _EVIDENCE_OF_EUC = 0.5, 1.1
_ALPHABET, _HALF_WIDTH, _SELDOM, _WESTERN = 0.5, 0.2, 0.1, 0.1
# Characters that tables in Japanese, and in Chinese, have more often than others.
_JAPANESE = frozenset(
    "一二三四五六七八九十百千万円年月日時分曜東西南北京都道府県市区町村丁目番号地名氏前住所電話郵便会社株式有限"
    "商品数量金額単価合計税込売上仕入在庫顧客取引先担当部課長員備考種類開始終了作成更新登録注文請求書支払名称内容"
    "山田中川本小大高木林森下井伊佐藤鈴加渡辺橋石原野島松清和子男女美郎花太次代正新古外人国語学校生見表示能力大阪"
    "列行値順位率比型欄項未済無要否可摘貸残勘科抜費荷配送発着後件給与控除勤休店舗倉棚個枚箱重幅色版級等階席券別"
    "割戻返製造材産業族齢歳性婚親続柄満点評画績差度伝票帳簿訳補助元口座銀振手形期締"
)
_CHINESE = frozenset(
    "一二三四五六七八九十百千万的是不在有个编号姓名称地址电话数量金额单价合计日期时间公司限客户订单商产品备注类型省"
    "市区县街路北京上海广州深圳中国人民王李张刘陈杨赵黄周吴徐孙马林男女年月元开始结束状态部门员工入库出货税大小新"
    "天河贸易科技股份"
)
# Syllables of Korean that names, places and the words of tables have.
_KOREAN = frozenset(
    "가각간갈감강개거건경계고공과관광교구국군권규그극근글금기길김나남내년노농누니다단당대도독동두드등라락람래량력로록료류리림"
    "마만말매면명모목무문물미민바박반발방배백번법변별병보복본부북분비빌사산삼상새서석선설성세소속손송수순술시식신실심아안암앙"
    "약양어업에여역연열영예오옥온완요용우욱운울원월위유육윤율은을음의이인일임입자작장재전점정제조종주준중증지직진차창채처천철"
    "청체초총최추춘출충층치카코타태터토통특파판팔평포표품하학한합항해행향허현형호홍화확환황회효후훈흥희"
)
_MARKS_OF_KOREAN = frozenset("　、。·‥…〈〉「」『』㈜№℃㎡")
# Makers' own characters that are in many names.
_IN_NAMES = frozenset("髙﨑德瀨")
# What no Japanese word has, nor a Korean one: in half width a mark, a sound or a small letter where
# none can stand, or one letter between others; one character of East Asia among Latin letters.
_NOT_ASIAN = re.compile(
    r"[｡-･]|(?<![ｳｶ-ﾄﾊ-ﾎ])ﾞ|(?<![ﾊ-ﾎ])ﾟ|(?<![ｦ-ﾟ])[ｧ-ｰﾝ]|(?<![ｷｼﾁﾆﾋﾐﾘﾞﾟﾃ])[ｬ-ｮ]|(?<![ﾌﾞﾃﾂﾄｳ])[ｧ-ｫ]"
    r"|(?<![ｦ-ﾟ\s,;\"])[ｦ-ﾟ](?![ｦ-ﾟ\s,;\"])|[ｦ-ﾟ](?=[A-Za-z])|[A-Za-z][^\x00-ÿ](?=[A-Za-z])"
    r"|[a-z][가-힣]{1,2}(?=[a-z])|(?<=[ｦ-ﾟ])[一-\u9fff](?=[ｦ-ﾟ])|(?<=[a-z])[一-\u9fff](?![^\x00-ÿ])|(?<![^\x00-ÿ])[一-\u9fff](?=[a-z])"
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


# The letters that one Western language has besides ASCII's: a word is of one language.
_ALPHABETS = [
    frozenset(letters)
    for letters in (
        *("àâæçéèêëîïñôœùûüÿ", "äöüßéèàêç", "áçéíïñóúü", "àçèéíïòóúü", "áàâãçéêíóôõúü"),
        *("àèéìíîòóùú", "áçèéêëíïóôöü", "åäöéüàèáõšž", "æøåéèêóòôäöü", "áæðéíóöúýþ"),
    )
]
_ANY = frozenset(map(chr, range(128))) | set("ªµºƒ½¼¾¹²³")
_WORD = re.compile(r"[^\W\d_]*[^\W\d_\x00-\x7f][^\W\d_]*")
# What no text of these has, and what is taken for it does: č, ć, ľ, ą and ł of the Slavs, ă of
# Romania, ű of Hungary; then a Macintosh's í, ò and Ä, and the ß of DOS; then two bytes of East
# Asia, which are neither a word nor the beginning of a quotation.
_STRANGE = re.compile(
    r"[èÈ][aeiou]|iæ|[^\W\d_][¾¼¹³¿]|[¾¼][^\W\d_]|ã[b-df-hj-np-rt-y]"
    r"|(?<![bcdeflmoqrs])û|û(?![ceehlmnqrst\W])"
    r"|(?<=[^\W\d_]{2})(?<!qu|ll|un|rd|nt|nd|st|ss)’(?=[^\W\d_])(?!(?:[sdmt]|re|ll|ve)\b)"
    r"|[^\W\d_][•˜]|€[a-z]|(?<![A-Z])[A-Z][À-ÖØ-ÞŒŠŽŸ][a-z]|ç[bdf-hj-np-tv-z]|aá"
    r"|(?<![^\W_])(?:(?![«»])[¡-ÿ]){2,}(?![^\W_])|[¡-º][«»]|»[¡-ÿ]"
    r"|(?<!\w)[¡-¯±-´¶-¿][A-Za-z](?![^\W_])|(?<![^\W_])[ŠŒŽšœžŸ•][@-~¡-ÿŒ-™](?![^\W_])"
    r"|(?<!\w)[‚ƒ…†‡ˆ‰’”–—˜™›][@-~¡-ÿŒ-™]"
    r"|[“„](?![^”“\n]+[”“])|‘(?![^’\n]+’)|‹(?![^›\n]+›)"
)
_STRANGE_SHARE = 0.02


def sense(text: str, encoding: str) -> float:
    """Return how much sense a text makes that was decoded as `encoding`: from 0 (none) to 1.

    One of cp932, euc-jp, gb18030, cp949, windows-1252: the same bytes are valid in several of them.
    """
    characters = Counter(character for character in text if not character.isascii())
    if encoding == "windows-1252":
        odd = len(_NOT_WESTERN.findall(text))
        few = 0 < characters.total() >= odd * _ODD_WESTERN
        return _WESTERN if few and not _is_strange(text) else 0
    odd = sum(map(len, _NOT_ASIAN.findall(text)))
    alone = len(_ALONE.findall(text))
    known, often = -alone, -alone * _HALF_WIDTH
    of_language = _OF_LANGUAGE.get(encoding, _japanese)
    for character, count in characters.items():
        share = of_language(character)
        if share is None:
            odd += count
        else:
            known += count if share else 0
            often += count * share
    least = _EVIDENCE if encoding == "cp932" else _EVIDENCE_OF_EUC
    return often / characters.total() if often >= least and odd * _ODD <= known else 0


def _is_strange(text: str) -> bool:
    """Say if words are of no Western language, as those in other encodings of Europe are."""
    words = _WORD.findall(text.lower())
    strange = len(_STRANGE.findall(text)) + sum(
        not any(alphabet.issuperset(word) for alphabet in _ALPHABETS)
        for word in (set(found) - _ANY for found in words)
    )
    hungarian = re.search("õ(?!e)", text) is not None and re.search("[áéíóú]", text) is not None
    # € and œ of ISO-8859-15
    latin9 = re.search(r"¤|[^\W\d_]½[^\W\d_]", text) is not None
    return hungarian or latin9 or strange > len(words) * _STRANGE_SHARE


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


def _korean(character: str) -> float | None:
    """Return how much a character speaks for Korean; None if it speaks against it."""
    # The 2,350 syllables that are most used are those of EUC-KR.
    if "가" <= character <= "힣" and len(character.encode("euc_kr", "ignore")) == 2:
        return 1 if character in _KOREAN else _SELDOM
    return 0 if character in _MARKS_OF_KOREAN else None


_OF_LANGUAGE = {"gb18030": _chinese, "cp949": _korean}
