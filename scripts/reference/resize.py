"""Writes test/fixtures/resize/images.json: pictures resized by OpenCV, from a source given by a formula.

    pip install opencv-python-headless==5.0.0.93
"""

import base64

import cv2
import numpy as np

from formula import FIXTURES, write_json

SCRIPT = "scripts/reference/resize.py"

# (name, height and width of the source, height and width of the result, method)
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
]


def source(height, width):
    y, x, c = np.mgrid[0:height, 0:width, 0:3]
    return (((y * y * 7 + x * x * 3 + x * y * 5) // 8 + c * 85 + (x * 31 + y * 17) % 23) % 256).astype(np.uint8)


def main():
    cases = []
    for name, (h, w), (to_h, to_w), method in CASES:
        flag = cv2.INTER_AREA if method == "area" else cv2.INTER_LANCZOS4
        y = cv2.resize(source(h, w), (to_w, to_h), interpolation=flag)
        pixels = base64.b64encode(np.ascontiguousarray(y).tobytes()).decode()
        cases.append({"name": name, "from": [h, w], "to": [to_h, to_w], "method": method, "pixels": pixels})
    write_json(FIXTURES / "resize" / "images.json", {"script": SCRIPT, "opencv": cv2.__version__, "cases": cases})


if __name__ == "__main__":
    main()
