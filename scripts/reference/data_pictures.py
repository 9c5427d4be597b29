"""Writes test/fixtures/data_oracle/pictures/: the pictures, captions and metadata that data_oracle.py shows to the reference.

It empties that folder first, so run data_oracle.py afterwards: it adds the latents.

    python data_pictures.py FOLDER

FOLDER holds astronaut.png, chelsea.png and coffee.png of scikit-image's data. Everything else is computed. The bytes of
JPEG, WebP and AVIF files depend on the version of Pillow; the committed ones are of Pillow 13.0.0.
"""

import json
import shutil
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

from formula import FIXTURES

ROOT = FIXTURES / "data_oracle"
PICTURES = ROOT / "pictures"


def pattern(width: int, height: int, step: int = 1) -> np.ndarray:
    """uint8 [h, w, 3]: slopes in both directions, in squares of `step` pixels, another slope in each channel."""
    y, x = np.mgrid[0:height, 0:width] // step * step
    channels = [x * 255 // max(1, width - 1), y * 255 // max(1, height - 1), (x * 3 + y * 5 + x * y // 7) % 256]
    return np.stack(channels, axis=-1).astype(np.uint8)


def flat(width: int, height: int, columns: int, rows: int) -> np.ndarray:
    """A few rectangles of one colour each: large pictures in small files."""
    y, x = np.mgrid[0:height, 0:width]
    column, row = x * columns // width, y * rows // height
    return np.stack([column * 255 // columns, row * 255 // rows, (column * 67 + row * 131) % 256], axis=-1).astype(
        np.uint8
    )


def quadrants(width: int, height: int) -> np.ndarray:
    """Red, green, blue and yellow from top left in reading order, on slopes: shows how a picture was turned."""
    colours = np.array([[[200, 40, 40], [40, 180, 60]], [[50, 60, 210], [220, 200, 50]]])
    y, x = np.mgrid[0:height, 0:width]
    shade = (x + 2 * y)[..., None] * 40 // (width + 2 * height)
    return np.clip(colours[y * 2 // height, x * 2 // width] + shade, 0, 255).astype(np.uint8)


def png(pixels: np.ndarray, depth: int, colour: int, interlaced: bool = False) -> bytes:
    """A PNG that Pillow does not write: 16 bits a sample, or in Adam7's seven passes."""
    height, width = pixels.shape[:2]
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    data = b""
    for x, y, dx, dy in passes if interlaced else [(0, 0, 1, 1)]:
        part = pixels[y::dy, x::dx]
        if part.size > 0:
            data += b"".join(b"\0" + row.astype(">u2" if depth == 16 else np.uint8).tobytes() for row in part)

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, int(interlaced))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data, 9)) + chunk(b"IEND", b"")


def top_down_bmp(pixels: np.ndarray) -> bytes:
    """A 24-bit BMP whose first row is the top one, which a negative height says."""
    height, width = pixels.shape[:2]
    padding = b"\0" * (-3 * width % 4)
    rows = b"".join(row[:, ::-1].tobytes() + padding for row in pixels)
    header = struct.pack("<IiiHHIIiiII", 40, width, -height, 1, 24, 0, len(rows), 2835, 2835, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54 + len(rows), 0, 0, 54) + header + rows


def save(name: str, image, **options) -> None:
    path = PICTURES / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(image, bytes):
        path.write_bytes(image)
    else:
        (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(path, **options)


def write_formats() -> None:
    rgb = pattern(97, 61)
    alpha = np.dstack([pattern(80, 64), np.tile(np.repeat([0, 128, 255, 1], 20), (64, 1)).astype(np.uint8)])
    save("main/rgb.png", rgb)
    save("main/rgba.png", alpha)
    save("main/palette.png", Image.fromarray(pattern(64, 48)).quantize(16))
    save("main/palette_alpha.png", Image.fromarray(pattern(40, 40)).quantize(8), transparency=3)
    save("main/grey.png", pattern(50, 70)[..., 2])
    save("main/grey_alpha.png", Image.merge("LA", [Image.fromarray(pattern(45, 30)[..., c]) for c in (2, 0)]))
    save("main/bilevel.png", Image.fromarray(pattern(33, 17)[..., 2]).convert("1", dither=Image.Dither.NONE))
    save("main/interlaced.png", png(pattern(53, 37), 8, 2, interlaced=True))
    wide = pattern(48, 36).astype(np.uint16)
    save("main/grey16.png", png(wide[..., 2] * 257 + 77, 16, 0))
    save("main/rgb16.png", png(wide * 256 + 200, 16, 2))
    save("main/UPPER.PNG", pattern(31, 45))
    save("names/lower.png", pattern(20, 20))
    save("names/UPPER.WEBP", pattern(24, 20), lossless=True)
    save("names/Mixed.Png", pattern(28, 20))
    save("names/.hidden.png", pattern(32, 20))
    save("names/unknown.gif", pattern(36, 20))
    save("names/inside/deeper.png", pattern(40, 20))
    save("main/rgb24.bmp", pattern(35, 27))
    save("main/palette8.bmp", Image.fromarray(pattern(38, 22)).quantize(16))
    save("main/topdown.bmp", top_down_bmp(pattern(29, 41)))
    save("main/lossless.webp", pattern(66, 44), lossless=True)
    save("main/alpha.webp", Image.fromarray(alpha), lossless=True, exact=True)
    frames = [Image.fromarray(np.roll(pattern(60, 40), 9 * i, axis=1)) for i in range(3)]
    save("main/animated.webp", frames[0], save_all=True, append_images=frames[1:], duration=80, lossless=True)
    save("main/animated.png", frames[0], save_all=True, append_images=frames[1:], duration=80)
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        for suffix in ("jpg", "png") if orientation in (3, 6) else ("jpg",):
            options = {"quality": 95, "subsampling": 0} if suffix == "jpg" else {}
            save(f"main/exif_{orientation}.{suffix}", quadrants(48, 32), exif=exif, **options)


def write_photographs(folder: Path) -> None:
    """Astronaut: NASA, public domain. Chelsea the cat and coffee: CC0."""

    def photograph(name: str, box: tuple[int, int, int, int], width: int, height: int) -> Image.Image:
        picture = Image.open(folder / f"{name}.png").convert("RGB").crop(box)
        return picture.resize((width, height), Image.Resampling.LANCZOS)

    astronaut = photograph("astronaut", (0, 0, 512, 512), 160, 160)
    cat = photograph("chelsea", (0, 0, 450, 300), 150, 100)
    coffee = photograph("coffee", (100, 0, 500, 400), 96, 96)
    save("main/baseline.jpg", astronaut, quality=85)
    save("main/progressive.jpeg", cat, quality=85, progressive=True)
    save("main/full_colour.jpg", coffee, quality=90, subsampling=0)
    save("main/grey.jpg", cat.convert("L"), quality=85)
    save("main/cmyk.jpg", coffee.convert("CMYK"), quality=85)
    save("main/lossy.webp", cat, quality=80)
    save("main/portrait_0070_0045_0030_0040.jpg", astronaut.crop((10, 0, 130, 160)), quality=85)
    save("avif/cat.avif", cat, quality=80, speed=6)
    save("avif/lossless.avif", pattern(40, 24), quality=100, subsampling="4:4:4")
    save("face/astronaut_0072_0040_0030_0040.png", astronaut.quantize(48))
    save("face/cat_0070_0045_0060_0048.png", cat.quantize(48))
    save("face/plain.png", pattern(64, 64))


def write_sizes() -> None:
    save("main/33x517.png", flat(33, 517, 2, 11))
    save("main/300x400.png", flat(300, 400, 6, 8))
    save("main/800x1200.png", flat(800, 1200, 7, 5))
    save("main/1000x1000.png", flat(1000, 1000, 9, 9))
    save("main/1920x1080.png", np.repeat(pattern(1920, 1)[..., :1], 1080, axis=0).repeat(3, axis=2))
    save("main/512x640.png", flat(512, 640, 3, 4))
    save("narrow/1x60.png", pattern(1, 60))
    save("narrow/90x3.png", pattern(90, 3))
    for i in range(3):
        save(f"square/square{i}.png", np.roll(pattern(64, 64, 8), 8 * i, axis=0))
    save("latents/square0.png", pattern(64, 64, 8))
    for i, (width, height) in enumerate([(64, 64), (100, 60), (60, 100), (130, 128), (90, 90)]):
        save(f"reg/class{i}.png", flat(width, height, i + 2, 3))


CAPTIONS = {
    "main/rgb.caption": "a red hat, blue background,  Green Door , red hat\n",
    "main/rgba.caption": "\ufeffa byte order mark, second tag\n",
    "main/palette.caption": "first line, tag\nsecond line, other tag\n\nfourth line\n",
    "main/grey.caption": "\nonly the second line has text\n",
    "main/baseline.caption": "an astronaut, portrait,, double comma, trailing,\r\nsecond line\r\n",
    "main/baseline.txt": "caption with the extension txt\n",
    "main/progressive.caption": "  a striped cat   looking  at you  ",
    "main/portrait.caption": "found without the four numbers of the face\n",
    "main/lossy.caption": "un café, naïve Übersetzung, 猫, 🐈\n",
    "main/rgb24.txt": "of a bitmap\n",
    "main/exif_6.caption": "(a picture:1.2) [turned], {red|green}\n",
    "square/square0.caption": "square zero, shared tag\n",
    "square/square1.caption": "square one, shared tag\n",
    "reg/class0.caption": "a class, shared tag\n",
}

METADATA = {
    "plain": {
        "rgb": {"caption": "a slope of colours", "tags": "slope, colours, rgb"},
        "baseline": {"caption": "an astronaut"},
        "lossy": {"tags": "cat, striped, Striped"},
        "UPPER": {},
        "palette": {"caption": "", "tags": "few colours, palette"},
        "grey_alpha": {"caption": "two lines\nof caption", "tags": ""},
        "pictures/square/square0.png": {"caption": "by its path", "unknown": 1},
    },
    "latents": {
        "square0": {"caption": "square zero", "tags": "a, b", "train_resolution": [64, 64]},
        "square1": {"caption": "square one", "train_resolution": [64, 64]},
        "wide": {"caption": "only latents", "train_resolution": [96, 64]},
    },
    "resolutions": {
        "rgb": {"caption": "rgb", "train_resolution": [96, 64]},
        "grey": {"caption": "grey", "train_resolution": [48, 64]},
    },
}


def main(photographs: Path) -> None:
    shutil.rmtree(PICTURES, ignore_errors=True)
    write_formats()
    write_photographs(photographs)
    write_sizes()
    for name, text in CAPTIONS.items():
        (PICTURES / name).write_bytes(text.encode("utf-8"))
    for name, entries in METADATA.items():
        text = json.dumps(entries, ensure_ascii=False, indent=2) + "\n"
        (PICTURES / f"{name}.json").write_text(text, encoding="utf-8")
    sizes = {path: path.stat().st_size for path in PICTURES.rglob("*") if path.is_file()}
    largest = max(sizes, key=sizes.__getitem__)
    print(
        f"{len(sizes)} files, {sum(sizes.values()) / 1024:.0f} KB, largest {largest.name} {sizes[largest] / 1024:.0f} KB"
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
