/**
 * `npm run bench -- optimizers [names]`: one step of each optimizer over 100 million parameters in the sizes of Stable Diffusion 1's
 * U-Net, in GB/s and as a share of what a copy reaches on this machine in the same run; bytes of states and of traffic are for each
 * parameter. benchmarks/yardsticks/optimizers.py
 * measures PyTorch and bitsandbytes on the same sizes.
 */
import { copyInto } from '../lib/ops/accumulate.ts'
import * as optim from '../lib/optim/index.ts'
import type { Optimizer, OptimizerParameter, ParameterGroup } from '../lib/optim/optimizer.ts'
import { full, randomNormal } from '../lib/tensor/create.ts'
import { itemSize } from '../lib/tensor/dtype.ts'
import { cpuTarget, threadCount } from '../lib/tensor/runtime.ts'
import type { Shape } from '../lib/tensor/shape.ts'
import { settle } from './harness.ts'

/** Shapes and how many tensors have them: a ninth of the U-Net, kind by kind. */
const shapes: readonly (readonly [shape: Shape, count: number])[] = [
  [[1280, 3, 3, 2560], 1],
  [[1280, 3, 3, 1280], 2],
  [[10240, 1280], 1],
  [[1280, 5120], 1],
  [[1280, 1280], 5],
  [[640, 3, 3, 640], 2],
  [[5120, 640], 1],
  [[640, 640], 5],
  [[320, 3, 3, 320], 2],
  [[2560, 320], 1],
  [[320, 320], 5],
  [[2560], 10],
  [[1280], 10],
  [[640], 10],
  [[320], 10],
]

type Groups = readonly ParameterGroup<object>[]
type Row = readonly [name: string, make: (groups: Groups) => Optimizer, traffic?: number]

/** Elements of a tensor whose passes caches serve but for the first: `kTensorBatch` of native/ops/tensor_step. */
const cachedElements = 1 << 21

/**
 * Bytes for each parameter where a step needs statistics of a whole tensor before it may change it, so that tensors that no cache
 * holds must be read again; the reasons stand in native/ops/tensor_step/tensor_step_cpu.cpp. A 3 x 3 convolution has 2/3 of a sum for
 * each element, a matrix hardly any.
 */
function bytesOfPasses(once: { kernel: number; matrix: number }, again: { kernel: number; matrix: number }): number {
  let bytes = 0
  for (const [shape, count] of shapes) {
    const size = shape.reduce((a, b) => a * b, 1)
    bytes += count * size * (size > cachedElements ? again : once)[shape.length === 4 ? 'kernel' : 'matrix']
  }
  return bytes / shapes.reduce((sum, [shape, count]) => sum + count * shape.reduce((a, b) => a * b, 1), 0)
}

const sums = (4 * 2) / 3
const traffic = {
  adaFactor: bytesOfPasses({ kernel: 12 + 2 * sums, matrix: 12 }, { kernel: 20 + 3 * sums, matrix: 24 }),
  adaFactorFlat: bytesOfPasses({ kernel: 12, matrix: 12 }, { kernel: 24, matrix: 24 }),
  came: bytesOfPasses({ kernel: 20 + 4 * sums, matrix: 20 }, { kernel: 24 + 5 * sums, matrix: 32 }),
  stableAdamW: bytesOfPasses({ kernel: 28, matrix: 28 }, { kernel: 36, matrix: 36 }),
}

/**
 * With the bytes for each parameter that go to and from memory; without them, what a step cannot do without: parameter and gradient
 * are read, the parameter is written, states are both. Learning-rate-free methods take two passes (native/ops/adaptive_step).
 */
const optimizers: readonly Row[] = [
  ['AdamW', (groups) => new optim.AdamW(groups)],
  ['AdamW amsgrad', (groups) => new optim.AdamW(groups, { amsgrad: true })],
  ['AdamW8bit', (groups) => new optim.AdamW8bit(groups)],
  ['PagedAdamW8bit', (groups) => new optim.PagedAdamW8bit(groups)],
  ['PagedAdamW8bit paged out', (groups) => new optim.PagedAdamW8bit(groups, { residentBytes: 0 })],
  ['Adam', (groups) => new optim.Adam(groups)],
  ['Lion', (groups) => new optim.Lion(groups)],
  ['Lion8bit', (groups) => new optim.Lion8bit(groups)],
  ['SGD', (groups) => new optim.SGD(groups)],
  ['SGDNesterov', (groups) => new optim.SGDNesterov(groups)],
  ['SGDNesterov8bit', (groups) => new optim.SGDNesterov8bit(groups)],
  ['AdEMAMix', (groups) => new optim.AdEMAMix(groups)],
  ['AdEMAMix8bit', (groups) => new optim.AdEMAMix8bit(groups)],
  ['NAdam', (groups) => new optim.NAdam(groups)],
  ['RAdam', (groups) => new optim.RAdam(groups)],
  ['Adamax', (groups) => new optim.Adamax(groups)],
  ['Adagrad', (groups) => new optim.Adagrad(groups)],
  ['Adadelta', (groups) => new optim.Adadelta(groups)],
  ['RMSprop', (groups) => new optim.RMSprop(groups)],
  ['Rprop', (groups) => new optim.Rprop(groups)],
  ['ASGD', (groups) => new optim.ASGD(groups)],
  ['AdamWScheduleFree', (groups) => new optim.AdamWScheduleFree(groups)],
  ['RAdamScheduleFree', (groups) => new optim.RAdamScheduleFree(groups)],
  ['SGDScheduleFree', (groups) => new optim.SGDScheduleFree(groups)],
  ['DAdaptAdam', (groups) => new optim.DAdaptAdam(groups), 44],
  ['DAdaptAdamPreprint', (groups) => new optim.DAdaptAdamPreprint(groups), 44],
  ['DAdaptAdaGrad', (groups) => new optim.DAdaptAdaGrad(groups), 40],
  ['DAdaptAdan', (groups) => new optim.DAdaptAdan(groups), 68],
  ['DAdaptAdanIP', (groups) => new optim.DAdaptAdanIP(groups), 68],
  ['DAdaptLion', (groups) => new optim.DAdaptLion(groups)],
  ['DAdaptSGD', (groups) => new optim.DAdaptSGD(groups), 28],
  ['Prodigy', (groups) => new optim.Prodigy(groups), 52],
  ['AdaFactor', (groups) => new optim.AdaFactor(groups), traffic.adaFactor],
  ['AdaFactor flatten_conv', (groups) => new optim.AdaFactor(groups, { flattenConv: true }), traffic.adaFactorFlat],
  ['CAME', (groups) => new optim.Came(groups), traffic.came],
  ['StableAdamW', (groups) => new optim.StableAdamW(groups), traffic.stableAdamW],
  ['Muon', (groups) => new optim.Muon(groups)],
]

/** Slow ones are repeated less often. */
async function bestMs(run: () => void, times = 7): Promise<number> {
  let best = Number.POSITIVE_INFINITY
  const started = performance.now()
  for (let i = 0; i < times && (i < 2 || performance.now() - started < 10_000); i++) {
    const before = performance.now()
    run()
    await settle()
    if (i > 0) best = Math.min(best, performance.now() - before)
  }
  return best
}

/** GB/s of a copy from memory to memory. */
async function copyBandwidth(): Promise<number> {
  const elements = 1 << 26
  const [from, to] = [full([elements], 1), full([elements], 0)]
  const gbs = (8 * elements) / (await bestMs(() => copyInto(to, from))) / 1e6
  from.dispose()
  to.dispose()
  return gbs
}

const words = process.argv.slice(2).map((word) => word.toLowerCase())
const params: OptimizerParameter[] = shapes.flatMap(([shape, count]) =>
  Array.from({ length: count }, (_, i) => ({
    name: `${shape}/${i}`,
    master: randomNormal(shape, { seed: 1, stream: 100 * shape[0]! * shape.length + i }),
  })),
)
for (const [i, { master }] of params.entries()) master.grad = randomNormal(master.shape, { seed: 2, stream: i })
const total = params.reduce((sum, { master }) => sum + master.size, 0)

/** Of the states, for each parameter. */
function stateBytes(optimizer: Optimizer): number {
  const tensors = [...optimizer.state().tensors.values()]
  return tensors.reduce((sum, { size, dtype }) => sum + size * itemSize[dtype], 0) / total
}

const bandwidth = await copyBandwidth()
console.log(
  `${(total / 1e6).toFixed(0)} M parameters in ${params.length} tensors, ${threadCount()} threads, ${cpuTarget()}`,
)
console.log(`copy: ${bandwidth.toFixed(1)} GB/s\n`)
const heads = ['ms', 'states', 'bytes', 'GB/s', 'of copy']
console.log(`${'optimizer'.padEnd(26)}${heads.map((head) => head.padStart(9)).join('')}`)
for (const [name, make, moved] of optimizers) {
  if (!words.every((word) => name.toLowerCase().includes(word))) continue
  const optimizer = make([{ params }])
  const ms = await bestMs(() => optimizer.step({ learningRates: [1e-6] }))
  const states = stateBytes(optimizer)
  optimizer.dispose()
  const bytes = moved ?? 12 + 2 * states
  const gbs = (total * bytes) / ms / 1e6
  const cells = [
    ms.toFixed(1),
    states.toFixed(2),
    bytes.toFixed(2),
    gbs.toFixed(1),
    `${((100 * gbs) / bandwidth).toFixed(0)} %`,
  ]
  console.log(`${name.padEnd(26)}${cells.map((cell) => cell.padStart(9)).join('')}`)
}
