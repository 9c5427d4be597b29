"""Loads every picture of a folder with Pillow and OpenCV in two processes; `npm run bench -- pictures` calls it.

usage: pictures.py FOLDER WIDTH HEIGHT ROUNDS
"""

import json
import os
import resource
import sys
import time
from multiprocessing import Pool

import cv2
import numpy as np
from PIL import Image, ImageOps

folder, width, height, rounds = sys.argv[1], *map(int, sys.argv[2:])
cv2.setNumThreads(1)


def load(path):
    with Image.open(path) as file:
        ImageOps.exif_transpose(file, in_place=True)
        picture = np.array(file if file.mode == "RGB" else file.convert("RGB"), np.uint8)
    scale = max(width / picture.shape[1], height / picture.shape[0])
    size = (round(picture.shape[1] * scale), round(picture.shape[0] * scale))
    picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    picture = picture[top : top + height, left : left + width]
    tensor = ((picture.astype(np.float32) / 255 - 0.5) / 0.5).transpose(2, 0, 1).copy()
    return float(tensor[0, 0, 0])


def cpu_seconds():
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in usage)


if __name__ == "__main__":
    paths = sorted(os.path.join(folder, name) for name in os.listdir(folder))
    before = cpu_seconds()
    with Pool(2) as pool:
        pool.map(load, paths[:2], chunksize=1)
        started = time.perf_counter()
        pool.map(load, paths * rounds, chunksize=1)
        seconds = time.perf_counter() - started
        pool.close()
        pool.join()
    count = rounds * len(paths)
    print(json.dumps({"picturesPerSecond": count / seconds, "cpuMs": (cpu_seconds() - before) * 1e3 / (count + 2)}))
