"""PyTorch on the shapes of our op benchmarks: run right after `npm run bench -- ops` on the same machine, two threads, minimum of
several runs. Needs a virtual environment with torch (CPU); nothing in the package needs it."""

import sys
import time

import torch
import torch.nn.functional as F

torch.set_num_threads(int(sys.argv[1]) if len(sys.argv) > 1 else 2)


def best(run, repeats=12):
    run()
    run()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return 1e3 * min(times)


def report(name, milliseconds, operations=None):
    rate = f"{operations / milliseconds / 1e6:9.1f} GFLOP/s" if operations else ""
    print(f"{name:48s} {milliseconds:9.3f} ms {rate}")


with torch.no_grad():
    for heads, queries, keys, size in [(8, 4096, 4096, 40), (8, 1024, 1024, 80), (8, 4096, 77, 40)]:
        q, k, v = torch.randn(1, heads, queries, size), torch.randn(1, heads, keys, size), torch.randn(1, heads, keys, size)
        run = lambda: F.scaled_dot_product_attention(q, k, v)
        report(f"attention {queries}x{keys}, {heads} heads of {size}", best(run), 4 * heads * queries * keys * size)
    for rows, outputs, inputs in [(4096, 320, 320), (1024, 640, 640), (256, 1280, 1280), (4096, 2560, 320)]:
        x, layer = torch.randn(rows, inputs), torch.nn.Linear(inputs, outputs)
        report(f"linear {rows}x{outputs}x{inputs}", best(lambda: layer(x)), 2 * rows * outputs * inputs)
    for side, channels in [(64, 320), (32, 640), (16, 1280), (8, 1280)]:
        x = torch.randn(1, channels, side, side).to(memory_format=torch.channels_last)
        layer = torch.nn.Conv2d(channels, channels, 3, padding=1).to(memory_format=torch.channels_last)
        report(f"conv2d {side}x{side} {channels}, 3x3", best(lambda: layer(x)), 18 * side * side * channels * channels)
    x, norm = torch.randn(1, 320, 64, 64), torch.nn.GroupNorm(32, 320)
    report("groupNormSilu 1x64x64x320", best(lambda: F.silu(norm(x))))
    x, norm = torch.randn(4096, 320), torch.nn.LayerNorm(320)
    report("layerNorm 1x4096x320", best(lambda: norm(x)))

q, k, v = (torch.randn(1, 8, 4096, 40, requires_grad=True) for _ in range(3))
report("attention 4096x4096, 8 heads of 40, with gradients", best(lambda: F.scaled_dot_product_attention(q, k, v).sum().backward(), 4))
