/**
 * `npm run bench -- optimizers [names]`: one step of each optimizer over 100 million parameters in the sizes of Stable Diffusion 1's
 * U-Net, in GB/s and as a share of what a copy reaches on this machine in the same run. benchmarks/yardsticks/optimizers.py
 * measures PyTorch and bitsandbytes on the same sizes.
 */
import { copyInto } from '../lib/ops/accumulate.ts'
import * as optim from '../lib/optim/index.ts'
import type { Optimizer, OptimizerParameter, ParameterGroup } from '../lib/optim/optimizer.ts'
import { full, randomNormal } from '../lib/tensor/create.ts'
import { cpuTarget, threadCount } from '../lib/tensor/runtime.ts'
import { settle } from './harness.ts'

/** Elements and how many tensors have them: a ninth of the U-Net, kind by kind. */
const sizes: readonly (readonly [elements: number, count: number])[] = [
  [2560 * 1280 * 9, 1],
  [1280 * 1280 * 9, 2],
  [1280 * 10240, 1],
  [5120 * 1280, 1],
  [1280 * 1280, 5],
  [640 * 640 * 9, 2],
  [640 * 5120, 1],
  [640 * 640, 5],
  [320 * 320 * 9, 2],
  [320 * 2560, 1],
  [320 * 320, 5],
  [2560, 10],
  [1280, 10],
  [640, 10],
  [320, 10],
]

type Groups = readonly ParameterGroup<object>[]
/** With the bytes of state that a step reads and writes for each parameter. */
const optimizers: readonly (readonly [name: string, stateBytes: number, make: (groups: Groups) => Optimizer])[] = [
  ['AdamW', 8, (groups) => new optim.AdamW(groups)],
  ['AdamW amsgrad', 12, (groups) => new optim.AdamW(groups, { amsgrad: true })],
  ['AdamW8bit', 2.03, (groups) => new optim.AdamW8bit(groups)],
  ['PagedAdamW8bit', 2.03, (groups) => new optim.PagedAdamW8bit(groups)],
  ['PagedAdamW8bit paged out', 2.03, (groups) => new optim.PagedAdamW8bit(groups, { residentBytes: 0 })],
  ['Adam', 8, (groups) => new optim.Adam(groups)],
  ['Lion', 4, (groups) => new optim.Lion(groups)],
  ['Lion8bit', 1.02, (groups) => new optim.Lion8bit(groups)],
  ['SGD', 0, (groups) => new optim.SGD(groups)],
  ['SGDNesterov', 4, (groups) => new optim.SGDNesterov(groups)],
  ['SGDNesterov8bit', 1.02, (groups) => new optim.SGDNesterov8bit(groups)],
  ['AdEMAMix', 12, (groups) => new optim.AdEMAMix(groups)],
  ['AdEMAMix8bit', 3.05, (groups) => new optim.AdEMAMix8bit(groups)],
  ['NAdam', 8, (groups) => new optim.NAdam(groups)],
  ['RAdam', 8, (groups) => new optim.RAdam(groups)],
  ['Adamax', 8, (groups) => new optim.Adamax(groups)],
  ['Adagrad', 4, (groups) => new optim.Adagrad(groups)],
  ['Adadelta', 8, (groups) => new optim.Adadelta(groups)],
  ['RMSprop', 4, (groups) => new optim.RMSprop(groups)],
  ['Rprop', 8, (groups) => new optim.Rprop(groups)],
  ['ASGD', 4, (groups) => new optim.ASGD(groups)],
  ['AdamWScheduleFree', 8, (groups) => new optim.AdamWScheduleFree(groups)],
  ['SGDScheduleFree', 4, (groups) => new optim.SGDScheduleFree(groups)],
]

async function bestMs(run: () => void, times = 7): Promise<number> {
  let best = Number.POSITIVE_INFINITY
  for (let i = 0; i < times; i++) {
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
const params: OptimizerParameter[] = sizes.flatMap(([elements, count]) =>
  Array.from({ length: count }, (_, i) => ({
    name: `${elements}/${i}`,
    master: randomNormal([elements], { seed: elements, stream: i }),
  })),
)
for (const { master } of params) master.grad = randomNormal(master.shape, { seed: 1, stream: master.size })
const total = params.reduce((sum, { master }) => sum + master.size, 0)

const bandwidth = await copyBandwidth()
console.log(
  `${(total / 1e6).toFixed(0)} M parameters in ${params.length} tensors, ${threadCount()} threads, ${cpuTarget()}`,
)
console.log(`copy: ${bandwidth.toFixed(1)} GB/s\n`)
console.log(`${'optimizer'.padEnd(26)}${'ms'.padStart(9)}${'GB/s'.padStart(8)}${'of copy'.padStart(9)}`)
for (const [name, stateBytes, make] of optimizers) {
  if (!words.every((word) => name.toLowerCase().includes(word))) continue
  const optimizer = make([{ params }])
  const ms = await bestMs(() => optimizer.step({ learningRates: [1e-6] }))
  optimizer.dispose()
  const gbs = (total * (12 + 2 * stateBytes)) / ms / 1e6
  const share = `${((100 * gbs) / bandwidth).toFixed(0)} %`
  console.log(`${name.padEnd(26)}${ms.toFixed(1).padStart(9)}${gbs.toFixed(1).padStart(8)}${share.padStart(9)}`)
}
