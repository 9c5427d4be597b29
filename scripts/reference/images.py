"""Writes test/fixtures/images/pictures.json: picture files of many kinds, and what Pillow makes of them.

    pip install pillow==13.0.0
"""

import base64
import io
import struct
import zlib

import numpy as np
import PIL
from PIL import Image, ImageOps

from formula import FIXTURES, write_json

SCRIPT = "scripts/reference/images.py"
HEIGHT, WIDTH = 12, 20


def source(channels):
    """Slow slopes, so that lossy formats stay near; each channel its own."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    return np.stack([40 + x * (7 - i) + y * (2 + 3 * i) for i in range(channels)], -1).astype(np.uint8)


def encoded(image, format, **options):
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def exif(orientation, order="II", type=3, prefix=b"Exif\0\0"):
    """A TIFF structure with one entry, by hand, so that byte order and type can be chosen."""
    mark = "<" if order == "II" else ">"
    value = struct.pack(mark + ("H2x" if type == 3 else "I"), orientation)
    return prefix + order.encode() + struct.pack(mark + "HIHHHI", 42, 8, 1, 0x0112, type, 1) + value + bytes(4)


def case(name, file, ours=None, alpha=None):
    """`ours` replaces Pillow's pixels where the library differs on purpose."""
    image = Image.open(io.BytesIO(file))
    stored = image.convert("RGB")
    turned = ImageOps.exif_transpose(image).convert("RGB")
    result = {
        "name": name,
        "file": base64.b64encode(file).decode(),
        "stored": list(stored.size),
        "size": list(turned.size),
        "orientation": image.getexif().get(0x0112, 1),
        "pixels": base64.b64encode(turned.tobytes() if ours is None else ours.tobytes()).decode(),
    }
    if alpha is not None:
        result["alpha"] = base64.b64encode(alpha.tobytes()).decode()
    return result


def main():
    rgb, rgba = source(3), source(4)
    picture = Image.fromarray(rgb)
    ink = Image.fromarray(source(4), "CMYK")
    grey16 = np.random.default_rng(1).integers(0, 65536, (HEIGHT, WIDTH)).astype(np.uint16)
    cases = []
    for n in range(1, 9):
        block = exif(n, "II" if n % 2 else "MM")
        cases.append(case(f"o{n}.jpg", encoded(picture, "JPEG", quality=95, exif=block)))
        cases.append(case(f"o{n}.png", encoded(picture, "PNG", exif=block)))
        cases.append(case(f"o{n}.webp", encoded(picture, "WEBP", lossless=True, exif=block)))
        cases.append(case(f"o{n}.avif", encoded(picture, "AVIF", quality=100, subsampling="4:4:4", exif=exif(n))))
    cases.append(case("long.jpg", encoded(picture, "JPEG", exif=exif(6, type=4))))
    cases.append(case("progressive.jpg", encoded(picture, "JPEG", progressive=True, exif=exif(8))))
    cmyk = encoded(ink, "JPEG", quality=95)
    cases.append(case("cmyk.jpg", cmyk))
    # The Adobe segment's last byte tells how the inks are stored: 0 as they are, 2 as YCCK.
    ycck = bytearray(cmyk)
    ycck[ycck.index(b"Adobe") + 11] = 2
    cases.append(case("ycck.jpg", bytes(ycck)))
    cases.append(case("grey.jpg", encoded(picture.convert("L"), "JPEG")))
    cases.append(case("grey.png", encoded(picture.convert("L"), "PNG")))
    cases.append(case("bits.png", encoded(picture.convert("1"), "PNG")))
    palette = picture.convert("P", palette=Image.ADAPTIVE, colors=16)
    cases.append(case("palette.png", encoded(palette, "PNG")))
    upper = np.repeat((grey16 >> 8).astype(np.uint8)[..., None], 3, -1)
    cases.append(case("grey16.png", encoded(Image.fromarray(grey16), "PNG"), ours=upper))
    cases.append(case("interlaced.png", interlaced()))
    negative = Image.fromarray(255 - rgb)
    cases.append(case("animated.webp", encoded(picture, "WEBP", save_all=True, append_images=[negative], lossless=True)))
    cases.append(case("animated.png", encoded(picture, "PNG", save_all=True, append_images=[negative])))
    clear = Image.fromarray(rgba)
    opacity = rgba[..., 3]
    cases.append(case("alpha.png", encoded(clear, "PNG"), alpha=opacity))
    cases.append(case("alpha.webp", encoded(clear, "WEBP", lossless=True, exact=True), alpha=opacity))
    cases.append(case("alpha.avif", encoded(clear, "AVIF", quality=100, subsampling="4:4:4"), alpha=opacity))
    turned = encoded(clear, "PNG", exif=exif(6))
    upright = np.array(ImageOps.exif_transpose(Image.open(io.BytesIO(turned))))
    cases.append(case("turned-alpha.png", turned, alpha=upright[..., 3]))
    grey_alpha = clear.convert("LA")
    cases.append(case("grey-alpha.png", encoded(grey_alpha, "PNG"), alpha=np.array(grey_alpha)[..., 1]))
    hole = encoded(palette, "PNG", transparency=3)
    cases.append(case("palette-hole.png", hole, alpha=np.array(Image.open(io.BytesIO(hole)).convert("RGBA"))[..., 3]))
    write_json(FIXTURES / "images" / "pictures.json", {"script": SCRIPT, "pillow": PIL.__version__, "cases": cases})


def interlaced():
    """Pillow writes no interlaced PNG and no 16-bit RGB. A picture of one pixel has only one of the seven passes."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 1, 1, 16, 2, 0, 0, 1)
    data = zlib.compress(bytes([0, 200, 1, 100, 255, 50, 0]))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


if __name__ == "__main__":
    main()
