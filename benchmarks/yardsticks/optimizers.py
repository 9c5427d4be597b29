"""One optimizer step of PyTorch, bitsandbytes and the packages of newer methods on the tensors of benchmarks/optimizers.ts.

    pip install torch bitsandbytes prodigyopt dadaptation schedulefree pytorch_optimizer torch-optimi
    python benchmarks/yardsticks/optimizers.py [threads [filter words]]
"""

import sys
import time

import bitsandbytes as bnb
import dadaptation
import optimi
import prodigyopt
import pytorch_optimizer
import schedulefree
import torch

SHAPES = [
    ((1280, 2560, 3, 3), 1), ((1280, 1280, 3, 3), 2), ((10240, 1280), 1), ((1280, 5120), 1), ((1280, 1280), 5), ((640, 640, 3, 3), 2),
    ((5120, 640), 1), ((640, 640), 5), ((320, 320, 3, 3), 2), ((2560, 320), 1), ((320, 320), 5), ((2560,), 10), ((1280,), 10), ((640,), 10), ((320,), 10),
]


def best(run, times=7):
    result = float("inf")
    started = time.perf_counter()
    for i in range(times):
        if i >= 2 and time.perf_counter() - started > 10:
            break
        before = time.perf_counter()
        run()
        if i > 0:
            result = min(result, time.perf_counter() - before)
    return result * 1e3


def trained(optimizer):
    optimizer.train()
    return optimizer


def main() -> None:
    words = [word.lower() for word in sys.argv[2:]]
    if len(sys.argv) > 1:
        torch.set_num_threads(int(sys.argv[1]))
    parameters = [torch.nn.Parameter(torch.randn(shape)) for shape, count in SHAPES for _ in range(count)]
    for p in parameters:
        p.grad = torch.randn_like(p)
    total = sum(p.numel() for p in parameters)
    matrices = [p for p in parameters if p.ndim == 2]
    a, b = torch.ones(1 << 26), torch.zeros(1 << 26)
    print(f"torch {torch.__version__}, bitsandbytes {bnb.__version__}, {torch.get_num_threads()} threads, {total / 1e6:.0f} M parameters")
    print(f"copy: {8 * a.numel() / best(lambda: b.copy_(a)) / 1e6:.1f} GB/s")
    o, d, s = torch.optim, dadaptation, schedulefree
    lr = {"lr": 1e-6}
    for name, make in [
        ("AdamW foreach", lambda: o.AdamW(parameters, **lr, foreach=True)),
        ("AdamW fused", lambda: o.AdamW(parameters, **lr, fused=True)),
        ("SGD momentum foreach", lambda: o.SGD(parameters, **lr, momentum=0.9, nesterov=True, foreach=True)),
        ("SGD momentum fused", lambda: o.SGD(parameters, **lr, momentum=0.9, nesterov=True, fused=True)),
        ("Adagrad fused", lambda: o.Adagrad(parameters, **lr, fused=True)),
        ("RMSprop foreach", lambda: o.RMSprop(parameters, **lr, foreach=True)),
        ("NAdam foreach", lambda: o.NAdam(parameters, **lr, foreach=True)),
        ("RAdam foreach", lambda: o.RAdam(parameters, **lr, foreach=True)),
        ("Adamax foreach", lambda: o.Adamax(parameters, **lr, foreach=True)),
        ("Adadelta foreach", lambda: o.Adadelta(parameters, **lr, foreach=True)),
        ("Adafactor (torch's own)", lambda: o.Adafactor(parameters, **lr)),
        ("Muon, 2-d tensors alone", lambda: o.Muon(matrices, **lr)),
        ("AdamW8bit (bitsandbytes)", lambda: bnb.optim.AdamW8bit(parameters, **lr)),
        ("Lion8bit (bitsandbytes)", lambda: bnb.optim.Lion8bit(parameters, **lr)),
        ("AdEMAMix (pytorch_optimizer)", lambda: pytorch_optimizer.AdEMAMix(parameters, **lr)),
        ("CAME (pytorch_optimizer)", lambda: pytorch_optimizer.CAME(parameters, **lr)),
        ("StableAdamW (optimi)", lambda: optimi.StableAdamW(parameters, **lr, foreach=True)),
        ("Prodigy (prodigyopt)", lambda: prodigyopt.Prodigy(parameters)),
        ("DAdaptAdam (dadaptation)", lambda: d.DAdaptAdam(parameters)),
        ("DAdaptAdaGrad (dadaptation)", lambda: d.DAdaptAdaGrad(parameters)),
        ("DAdaptAdan (dadaptation)", lambda: d.DAdaptAdan(parameters)),
        ("DAdaptLion (dadaptation)", lambda: d.DAdaptLion(parameters)),
        ("DAdaptSGD (dadaptation)", lambda: d.DAdaptSGD(parameters)),
        ("AdamWScheduleFree", lambda: trained(s.AdamWScheduleFree(parameters, **lr))),
        ("RAdamScheduleFree", lambda: trained(s.RAdamScheduleFree(parameters, **lr))),
        ("SGDScheduleFree", lambda: trained(s.SGDScheduleFree(parameters, **lr))),
    ]:
        if all(word in name.lower() for word in words):
            print(f"{name:30}{best(make().step):9.1f} ms", flush=True)


if __name__ == "__main__":
    main()
