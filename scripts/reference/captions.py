"""200 captions for the tokenizer fixture: every kind of text people put next to training images."""

from formula import hash24

ENGLISH = """a photo of a cat
a photograph of an astronaut riding a horse
An oil painting of a harbour at dawn, in the style of the Dutch masters.
The quick brown fox jumps over the lazy dog.
a close-up portrait of an old fisherman with a grey beard, 85mm, f/1.8, ISO 400
two children playing football in the rain; one wears a red coat, the other a blue one
A 3-storey house (built in 1894) with green shutters and a slate roof
Sks dog in a bucket
a painting of sks person wearing a hat, trending on artstation
close up, black & white, 50% contrast, film grain #kodak @home
Breakfast: eggs, toast, & coffee -- no sugar!
WHAT IS THIS?! It's a "quoted" sentence...
an antidisestablishmentarianism supercalifragilisticexpialidocious test
floccinaucinihilipilification
aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
qwrtpsdfghjklzxcvbnm
the the the the the the
I
a
A.
.
!!!!!!!!!!!!!!!!
-----
hello,world,without,spaces
hello , world , with , spaces
C++ and C# and F# and .NET
user@example.com https://example.com/a/b?c=d&e=f#g
path/to/file_name.v2.final-FINAL.png
snake_case CamelCase kebab-case SCREAMING_CASE
50mm f1.4 1/200s iso100 4k 8K 1920x1080 16:9""".split("\n")

CONTRACTIONS = """it's
don't stop, I can't, won't, shouldn't've
I'm, you're, he'll, she'd, they've, we'd've
IT'S DON'T I'M YOU'RE WE'LL THEY'VE HE'D
rock 'n' roll, the '90s, o'clock, ma'am
dogs' toys and cats's bowls
's 't 're 've 'm 'll 'd
''s''t''
it’s a typographic apostrophe, don’t you think
‘single’ “double” «guillemets» „low“ quotes
the artist's mother's sister's painting
'tis the season
x'sy'tz're
l'été d'Albert""".split("\n")

NUMBERS = """0
42
1234567890
3.14159 2,718 -1.5e-10
1girl 2boys 3d 4koma
year 2023, 19th century, no. 7
007 0x1F 1_000_000
½ ⅓ ² ³ ①②③ Ⅳ
٠١٢٣ १२३ １２３
1st 2nd 3rd 4th""".split("\n")

UNICODE = """café naïve résumé façade
cafe\u0301 nai\u0308ve (combining marks)
Ångström Øresund Þór Łódź Gdańsk
straße STRASSE ẞ
İstanbul ıspanak Iğdır
Москва, Россия: зимний пейзаж
Αθήνα, η Ακρόπολη τη νύχτα
ΟΔΥΣΣΕΥΣ ὈΔΥΣΣΕΎΣ
שלום עולם
مرحبا بالعالم
नमस्ते दुनिया
สวัสดีชาวโลก
xin chào thế giới
北京的春天
東京タワーの夜景
カタカナ ひらがな 漢字 まじり
ｶﾀｶﾅ ﾊﾝｶｸ
ＦＵＬＬ ＷＩＤＴＨ ｔｅｘｔ！？
서울의 밤
ㅎㅏㄴㄱㅡㄹ 한글
a 猫 and a 犬, side by side
你好，世界！
「括弧」『二重』【隅付き】
𝓯𝓪𝓷𝓬𝔂 𝕥𝕖𝕩𝕥 𝐛𝐨𝐥𝐝
𠮷野家 (outside the basic plane)
ﬁne ﬂow eﬀort aﬃne baﬄe
æsthetic œuvre
…ellipsis… — em dash – en dash
price: €20, £15, ¥300, ₹99, 5¢
±5° ≤10 ≠ ∞ √2 ∑ ∂ µm
→ ← ↑ ↓ ⇒ ★☆♥♪
Ａ★Ｂ☆Ｃ
zero\u200bwidth joiner\u200dtext soft\u00adhyphen
left\u200eto\u200fright \ufeffbom
nbsp\u00a0between thin\u2009space ideographic\u3000space
line\u2028separator next\u0085line
Z̷a̷l̷g̷o̷ t̶e̶x̶t̶
\u1e9b\u0323 \u212b \u2126 \u00c5
mojibake: caf\u00c3\u00a9 \u00e2\u20ac\u0153quoted\u00e2\u20ac\u009d""".split("\n")
UNICODE = [line.encode("utf-8").decode("utf-8") for line in UNICODE]

EMOJI = """🙂
a cat 😺 and a dog 🐶
👍🏽 thumbs with skin tone
👩‍👩‍👧‍👦 family 🏳️‍🌈 flag
🇯🇵🇩🇪 flags
keycaps 1️⃣2️⃣3️⃣
❤️ vs ❤
🔥🔥🔥 lit 🔥
☕☕️
text🙂without🙂spaces""".split("\n")

ENTITIES = """Tom &amp; Jerry
&lt;b&gt;bold&lt;/b&gt;
&quot;quoted&quot; &#39;apostrophe&#39; &#x27;hex&#x27;
caf&eacute; &hearts; &nbsp; &copy; 2020
&amp;amp; double &amp;lt;
AT&T, R&D, &c.
<b>html</b> tag &amp; entity
5 &lt; 6 &gt; 4
&unknown; &amp &#0;""".split("\n")

SPACES = [
    "", " ", "     ", "\t", "\n", "\r\n", "  leading", "trailing  ", "two  spaces   three", "tab\tbetween\twords",
    "line one\nline two\r\nline three", "\u3000", " , , , ", "word\u00a0\u00a0word", "\u200b", "a\x00b", "a\x07bell\x1b[0m", "\x0b\x0c",
]

SPECIAL = [
    "<|startoftext|>", "<|endoftext|>", "a cat<|endoftext|>a dog", "<|startoftext|>a cat<|endoftext|>", "<|END OF TEXT|>",
    "a <sks> cat", "<lora:style:0.8> portrait", "(masterpiece:1.2), [blurry], {{best quality}}", r"hatsune miku \(vocaloid\)",
    "wildcard __colour__ {red|green|blue}", "cat</w>", "Ġcat Ċ", "a | b || c ||| d", "tag1,tag2,,tag3,", "&", "''", '"',
    "C:\\images\\cat.png", "\\n \\t", "^_^ >_< :) ;-) xD :3 T_T",
]

TAGS = """1girl solo long hair blue eyes smile looking at viewer school uniform serafuku outdoors cherry blossoms petals wind sky
cloud holding sword armour cape from below dutch angle depth of field bokeh masterpiece best quality highres absurdres
rating:safe artist:unknown copyright_original thighhighs zettai_ryouiki hair_ribbon very_long_hair heterochromia :d ^_^ @_@ >:)
year_2021 score_9 black-framed_eyewear off-shoulder_dress v-neck t-shirt no_humans scenery sunset 2boys multiple_girls""".split()


def booru(index: int) -> str:
    """A comma separated tag list of 3 to 40 tags."""
    count = 3 + int(hash24(f"captions/{index}/count", 1)[0]) % 38
    picks = hash24(f"captions/{index}/tags", count) % len(TAGS)
    return ", ".join(TAGS[i] for i in picks)


def words(name: str, count: int) -> str:
    vocabulary = " ".join(ENGLISH).split()
    return " ".join(vocabulary[i] for i in hash24(name, count) % len(vocabulary))


def captions() -> list[str]:
    fixed = ENGLISH + CONTRACTIONS + NUMBERS + UNICODE + EMOJI + ENTITIES + SPACES + SPECIAL
    long = [words("captions/long300", 300), words("captions/long80", 80), "猫" * 80, "🙂" * 60, "1" * 77]
    return fixed + long + [booru(i) for i in range(200 - len(fixed) - len(long))]
