"""One optimizer step of PyTorch and bitsandbytes on the tensors of benchmarks/optimizers.ts.

    python benchmarks/yardsticks/optimizers.py [threads]
"""

import sys
import time

import bitsandbytes as bnb
import torch

SIZES = [
    (2560 * 1280 * 9, 1), (1280 * 1280 * 9, 2), (1280 * 10240, 1), (5120 * 1280, 1), (1280 * 1280, 5), (640 * 640 * 9, 2),
    (640 * 5120, 1), (640 * 640, 5), (320 * 320 * 9, 2), (320 * 2560, 1), (320 * 320, 5), (2560, 10), (1280, 10), (640, 10), (320, 10),
]


def best(run, times=7):
    result = float("inf")
    for i in range(times):
        before = time.perf_counter()
        run()
        if i > 0:
            result = min(result, time.perf_counter() - before)
    return result * 1e3


def main() -> None:
    if len(sys.argv) > 1:
        torch.set_num_threads(int(sys.argv[1]))
    parameters = [torch.nn.Parameter(torch.randn(n)) for n, count in SIZES for _ in range(count)]
    for p in parameters:
        p.grad = torch.randn_like(p)
    total = sum(p.numel() for p in parameters)
    a, b = torch.ones(1 << 26), torch.zeros(1 << 26)
    print(f"torch {torch.__version__}, bitsandbytes {bnb.__version__}, {torch.get_num_threads()} threads, {total / 1e6:.0f} M parameters")
    print(f"copy: {8 * a.numel() / best(lambda: b.copy_(a)) / 1e6:.1f} GB/s")
    o = torch.optim
    for name, state_bytes, make in [
        ("AdamW foreach", 8, lambda: o.AdamW(parameters, lr=1e-6, foreach=True)),
        ("AdamW fused", 8, lambda: o.AdamW(parameters, lr=1e-6, fused=True)),
        ("SGD momentum foreach", 4, lambda: o.SGD(parameters, lr=1e-6, momentum=0.9, nesterov=True, foreach=True)),
        ("SGD momentum fused", 4, lambda: o.SGD(parameters, lr=1e-6, momentum=0.9, nesterov=True, fused=True)),
        ("Adagrad fused", 4, lambda: o.Adagrad(parameters, lr=1e-6, fused=True)),
        ("RMSprop foreach", 4, lambda: o.RMSprop(parameters, lr=1e-6, foreach=True)),
        ("AdamW8bit (bitsandbytes)", 2.03, lambda: bnb.optim.AdamW8bit(parameters, lr=1e-6)),
        ("Lion8bit (bitsandbytes)", 1.02, lambda: bnb.optim.Lion8bit(parameters, lr=1e-6)),
    ]:
        ms = best(make().step)
        print(f"{name:26}{ms:9.1f}{total * (12 + 2 * state_bytes) / ms / 1e6:8.1f} GB/s")


if __name__ == "__main__":
    main()
