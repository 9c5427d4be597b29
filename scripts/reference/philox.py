"""The library's random numbers, Philox4x32-10 (Salmon et al., 2011), written a second time: lib/util/philox.ts and
native/core/philox.h are the originals."""

import math
import struct

import numpy as np

MASK = 0xFFFFFFFF


def block(counter, key):
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c0, 0xCD9E8D57 * c2
        c0, c1, c2, c3 = (p1 >> 32) ^ c1 ^ k0, p1 & MASK, (p0 >> 32) ^ c3 ^ k1, p0 & MASK
        k0, k1 = (k0 + 0x9E3779B9) & MASK, (k1 + 0xBB67AE85) & MASK
    return c0, c1, c2, c3


def halves(value):
    return value & MASK, (value >> 32) & MASK


def stream_of(name):
    """FNV-1a of 64 bits, of UTF-8."""
    value = 0xCBF29CE484222325
    for byte in name.encode():
        value = ((value ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return value


def words(seed, stream, count):
    """The first words of a stream."""
    blocks = np.arange(-(-count // 4), dtype=np.uint64)
    return np.stack(block((*halves(blocks), *halves(stream)), halves(seed)), axis=1).ravel()[:count].astype(np.uint32)


def uniforms(seed, stream, shape):
    """float32 in [0, 1), multiples of 2^-24."""
    return (words(seed, stream, math.prod(shape)) >> 8).astype(np.float32).reshape(shape) / np.float32(2**24)


def normals(seed, stream, shape):
    """Standard normal float32 numbers, two of each pair of words (Box and Muller)."""
    out = []
    while len(out) < math.prod(shape):
        words = block((*halves(len(out) // 4), *halves(stream)), halves(seed))
        for a, b in (words[:2], words[2:]):
            radius, angle = math.sqrt(-2 * math.log((a + 0.5) / 2**32)), 2 * math.pi * (b + 0.5) / 2**32
            out += [radius * math.cos(angle), radius * math.sin(angle)]
    return np.array(out[: math.prod(shape)], dtype=np.float32).reshape(shape)


class Stream:
    """The words of a key: a seed, then texts and whole numbers."""

    def __init__(self, seed, *parts):
        key, nonce = halves(seed), (0, 0)
        for part in parts:
            for chunk in self.chunks(part):
                tag = 2 if isinstance(part, str) else 1
                k0, k1, n0, n1 = block((*chunk, nonce[0] ^ tag, nonce[1]), key)
                key, nonce = (k0, k1), (n0, n1)
        self.key, self.nonce, self.used = key, nonce, 0

    @staticmethod
    def chunks(part):
        if not isinstance(part, str):
            return [halves(part)]
        data = part.encode()
        padded = data + bytes(-len(data) % 8) + struct.pack("<II", len(data), 0)
        return [struct.unpack_from("<II", padded, at) for at in range(0, len(padded), 8)]

    def word(self):
        at, self.used = self.used, self.used + 1
        return block((*halves(at // 4), *self.nonce), self.key)[at % 4]

    def uniform(self):
        return self.word() / 2**32

    def below(self, bound):
        word = self.word()
        while word >= 2**32 - 2**32 % bound:
            word = self.word()
        return word % bound

    def shuffle(self, values):
        """In place (Fisher and Yates)."""
        for i in reversed(range(1, len(values))):
            j = self.below(i + 1)
            values[i], values[j] = values[j], values[i]
