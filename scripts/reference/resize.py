"""Writes test/fixtures/resize/images.json: pictures resized by OpenCV and Pillow, from a source given by a formula.

    pip install opencv-python-headless==5.0.0.93 pillow==13.0.0
"""

import base64

import cv2
import numpy as np
import PIL
from PIL import Image

from formula import FIXTURES, write_json

SCRIPT = "scripts/reference/resize.py"

# (name, height and width of the source, height and width of the result, method); those called grey have one channel
CASES = [
    ("area: the same size", (13, 17), (13, 17), "area"),
    ("area: halves", (48, 64), (24, 32), "area"),
    ("area: thirds", (48, 63), (16, 21), "area"),
    ("area: blocks of 4x2", (48, 64), (12, 32), "area"),
    ("area: one axis only", (48, 64), (48, 37), "area"),
    ("area: both axes, no whole ratio", (61, 83), (40, 53), "area"),
    ("area: a photo to a bucket", (150, 101), (72, 48), "area"),
    ("area: to one pixel", (19, 23), (1, 1), "area"),
    ("area: slightly larger", (30, 41), (37, 44), "area"),
    ("area: twice as large", (24, 31), (48, 62), "area"),
    ("area: one axis grows", (60, 30), (40, 50), "area"),
    ("area: much larger", (5, 7), (48, 40), "area"),
    ("area: larger, borders of pixels meeting", (6, 12), (34, 34), "area"),
    ("lanczos: the same size", (13, 17), (13, 17), "lanczos"),
    ("lanczos: smaller", (61, 83), (40, 53), "lanczos"),
    ("lanczos: larger", (30, 41), (51, 60), "lanczos"),
    ("lanczos: smaller than its taps", (5, 3), (20, 21), "lanczos"),
    ("lanczos: much smaller", (100, 90), (16, 14), "lanczos"),
    ("lanczos3: the same size", (13, 17), (13, 17), "lanczos3"),
    ("lanczos3: smaller", (61, 83), (40, 53), "lanczos3"),
    ("lanczos3: a tenth", (150, 101), (15, 10), "lanczos3"),
    ("lanczos3: larger", (30, 41), (51, 60), "lanczos3"),
    ("lanczos3: smaller than its taps", (3, 2), (20, 21), "lanczos3"),
    ("lanczos3: one axis only", (48, 64), (48, 37), "lanczos3"),
    ("lanczos3: to one pixel", (19, 23), (1, 1), "lanczos3"),
    # Sizes at which no middle of a target pixel lies on the border between two source pixels, where rounding decides.
    ("nearest: the same size", (13, 17), (13, 17), "nearest"),
    ("nearest: smaller", (61, 83), (40, 53), "nearest"),
    ("nearest: halves", (48, 64), (24, 32), "nearest"),
    ("nearest: larger", (30, 41), (52, 60), "nearest"),
    ("nearest: to one pixel", (19, 23), (1, 1), "nearest"),
    ("linear: the same size", (13, 17), (13, 17), "linear"),
    ("linear: smaller", (61, 83), (40, 53), "linear"),
    ("linear: halves", (48, 64), (24, 32), "linear"),
    ("linear: one axis halved", (48, 64), (48, 32), "linear"),
    ("linear: much smaller", (100, 90), (16, 14), "linear"),
    ("linear: larger", (30, 41), (51, 60), "linear"),
    ("linear: one axis grows", (60, 30), (40, 50), "linear"),
    ("linear: smaller than its taps", (1, 1), (6, 5), "linear"),
    ("cubic: the same size", (13, 17), (13, 17), "cubic"),
    ("cubic: smaller", (61, 83), (40, 53), "cubic"),
    ("cubic: much smaller", (100, 90), (16, 14), "cubic"),
    ("cubic: larger", (30, 41), (51, 60), "cubic"),
    ("cubic: smaller than its taps", (3, 2), (20, 21), "cubic"),
    ("box: the same size", (13, 17), (13, 17), "box"),
    ("box: smaller", (61, 83), (40, 53), "box"),
    ("box: thirds", (48, 63), (16, 21), "box"),
    ("box: larger", (30, 41), (51, 60), "box"),
    ("box: to one pixel", (19, 23), (1, 1), "box"),
    ("grey nearest: smaller", (61, 83), (40, 53), "nearest"),
    ("grey linear: larger", (30, 41), (51, 60), "linear"),
    ("grey cubic: larger", (30, 41), (51, 60), "cubic"),
    ("grey box: smaller", (61, 83), (40, 53), "box"),
    ("grey area: halves", (48, 64), (24, 32), "area"),
    ("grey area: no whole ratio", (61, 83), (40, 53), "area"),
    ("grey area: larger", (30, 41), (37, 44), "area"),
    ("grey lanczos: larger", (30, 41), (51, 60), "lanczos"),
    ("grey lanczos3: smaller", (61, 83), (40, 53), "lanczos3"),
]


PILLOW = {"lanczos3": Image.Resampling.LANCZOS, "box": Image.Resampling.BOX}
OPENCV = {
    "area": cv2.INTER_AREA,
    "nearest": cv2.INTER_NEAREST_EXACT,
    "linear": cv2.INTER_LINEAR,
    "cubic": cv2.INTER_CUBIC,
    "lanczos": cv2.INTER_LANCZOS4,
}


def source(height, width):
    y, x, c = np.mgrid[0:height, 0:width, 0:3]
    return (((y * y * 7 + x * x * 3 + x * y * 5) // 8 + c * 85 + (x * 31 + y * 17) % 23) % 256).astype(np.uint8)


def main():
    cases = []
    for name, (h, w), (to_h, to_w), method in CASES:
        x = source(h, w)[..., 0] if name.startswith("grey") else source(h, w)
        if method in PILLOW:
            y = np.array(Image.fromarray(x).resize((to_w, to_h), PILLOW[method]))
        else:
            y = cv2.resize(x, (to_w, to_h), interpolation=OPENCV[method])
        pixels = base64.b64encode(np.ascontiguousarray(y).tobytes()).decode()
        channels = 1 if x.ndim == 2 else 3
        case = {"name": name, "from": [h, w], "to": [to_h, to_w], "channels": channels, "method": method}
        cases.append({**case, "pixels": pixels})
    versions = {"opencv": cv2.__version__, "pillow": PIL.__version__}
    write_json(FIXTURES / "resize" / "images.json", {"script": SCRIPT, **versions, "cases": cases})


if __name__ == "__main__":
    main()
