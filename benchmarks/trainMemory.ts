/**
 * `npm run bench -- train-memory [filter words]`: the memory and the time of training steps in Stable Diffusion 1.5's sizes, 512x512
 * pixels, batch 1, random weights, latents given. Every kind of training has a process of its own: two steps, of which the second is
 * timed; peaks are of both. "tensors" is what tensors and scratch take at most, "taken" what the pool has at the end, used or kept for
 * reuse, "loading" the most that the process had before the first step, with the whole model in memory. "expected" is what the sizes
 * of weights, gradients, states and kept activations add up to.
 */
import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { noGrad } from '../lib/autograd/tape.ts'
import { noiseSchedule } from '../lib/diffusion/noiseSchedule.ts'
import { loadClipTokenizer } from '../lib/models/clip/tokenizer.ts'
import { sd1 } from '../lib/models/stableDiffusion/config.ts'
import { StableDiffusion } from '../lib/models/stableDiffusion/stableDiffusion.ts'
import { randomWeights } from '../lib/nn/init.ts'
import { contiguous } from '../lib/ops/contiguous.ts'
import type { Optimizer, OptimizerParameter } from '../lib/optim/optimizer.ts'
import { createOptimizer } from '../lib/optim/registry.ts'
import { randomNormal } from '../lib/tensor/create.ts'
import type { FloatDType } from '../lib/tensor/dtype.ts'
import { memory, resetPeak } from '../lib/tensor/runtime.ts'
import { releaseUnused } from '../lib/tensor/settle.ts'
import { LoraMethod } from '../lib/train/methods/lora.ts'
import { TrainingStep } from '../lib/train/trainingStep.ts'
import { settle } from './harness.ts'

interface Mode {
  readonly name: string
  readonly lora: boolean
  readonly trainTextEncoder?: boolean
  readonly dtype: FloatDType
  readonly checkpointing: boolean
  readonly optimizer: string
  /** GiB of the whole process. */
  readonly expected: number
}

const modes: readonly Mode[] = [
  {
    name: 'LoRA 16, U-Net, bf16',
    lora: true,
    dtype: 'bfloat16',
    checkpointing: true,
    optimizer: 'AdamW',
    expected: 2.2,
  },
  {
    name: 'LoRA 16, U-Net, bf16',
    lora: true,
    dtype: 'bfloat16',
    checkpointing: false,
    optimizer: 'AdamW',
    expected: 2.9,
  },
  {
    name: 'LoRA 16, U-Net, float32',
    lora: true,
    dtype: 'float32',
    checkpointing: true,
    optimizer: 'AdamW',
    expected: 3.8,
  },
  {
    name: 'LoRA 16, U-Net, float32',
    lora: true,
    dtype: 'float32',
    checkpointing: false,
    optimizer: 'AdamW',
    expected: 4.5,
  },
  {
    name: 'LoRA 16, both, bf16',
    lora: true,
    trainTextEncoder: true,
    dtype: 'bfloat16',
    checkpointing: false,
    optimizer: 'AdamW',
    expected: 3.2,
  },
  {
    name: 'whole U-Net, float32',
    lora: false,
    dtype: 'float32',
    checkpointing: true,
    optimizer: 'AdamW8bit',
    expected: 9.3,
  },
  {
    name: 'whole U-Net, float32',
    lora: false,
    dtype: 'float32',
    checkpointing: true,
    optimizer: 'AdamW',
    expected: 14.1,
  },
]

const gibibyte = 2 ** 30
const gibibytes = (bytes: number): string => (bytes / gibibyte).toFixed(2)

/** In a child: two steps of one mode. */
async function runMode(mode: Mode): Promise<void> {
  const { lora, trainTextEncoder = false, dtype, checkpointing } = mode
  const models = new StableDiffusion(sd1, () => randomWeights(1), { unet: dtype })
  models.vae.dispose() // latents are given
  const { unet, textEncoder } = models
  unet.gradientCheckpointing = checkpointing
  textEncoder.gradientCheckpointing = checkpointing
  // Transformed weights trade memory for time; what is measured is what a training cannot do without.
  unet.registry.transformedWeights.budget = 0
  const options = {
    rank: 16,
    seed: 1,
    trainUnet: true,
    trainTextEncoder,
    captions: { clipSkip: 1, sequenceLength: 77, dtype } as const,
  }
  const method = new LoraMethod(models, await loadClipTokenizer(), options)
  let params: readonly OptimizerParameter[] = method.network.parameters()
  if (!lora) {
    method.network.dispose()
    params = Array.from(unet.registry.parameters.values(), ({ name, tensor, layout }) => {
      tensor.requiresGrad = true
      return { name, master: tensor, layout }
    })
  }
  // Without training it, a text encoder is needed for one encoding of each caption.
  const context = trainTextEncoder ? null : noGrad(() => method.condition(['a frog']))
  if (context !== null) {
    await settle()
    models.textEncoder.dispose()
  }
  await releaseUnused() // as a training does before its first step
  const loading = residentPeak()
  forgetPeaks()
  const conditioning = context === null ? method : { condition: () => contiguous(context) }
  const optimizer: Optimizer = createOptimizer(mode.optimizer, [{ name: 'unet', params, learningRate: 1e-5 }])
  const schedule = noiseSchedule()
  const noise = { seed: 1n, schedule, predictionType: 'epsilon', noiseOffset: null, adaptiveNoiseScale: null } as const
  const step = new TrainingStep({
    unet,
    method: conditioning,
    optimizer,
    noise,
    loss: {},
    gradientAccumulationSteps: 1,
    maxGradNorm: 1,
  })
  let seconds = 0
  for (let batch = 0; batch < 2; batch++) {
    const started = performance.now()
    const latents = randomNormal([1, 64, 64, 4], { seed: 1, stream: BigInt(batch) })
    await step.accumulate({ key: { epoch: 1, batch }, latents, captions: ['a frog'], lossWeights: [1] })
    latents.dispose()
    await step.update(1)
    seconds = (performance.now() - started) / 1000
  }
  const { peakBytes: peak, liveBytes, cachedBytes } = memory()
  const report: Report = { loading, resident: residentPeak(), peak, taken: liveBytes + cachedBytes, seconds }
  process.stdout.write(JSON.stringify(report))
}

/** Bytes, except for the seconds of a step. */
interface Report {
  /** The most that the process had before its first step, and from there on. */
  readonly loading: number
  readonly resident: number
  /** The most that tensors and scratch took in a step, and what the pool has at the end, used or kept for reuse. */
  readonly peak: number
  readonly taken: number
  readonly seconds: number
}

function residentPeak(): number {
  return Number(/VmHWM:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))![1]) * 1024
}

/** Begins the count of peaks anew. */
function forgetPeaks(): void {
  writeFileSync('/proc/self/clear_refs', '5')
  resetPeak()
}

function main(words: readonly string[]): void {
  const heads = ['training', 'optimizer', 'checkpointing']
  const numbers = ['expected GiB', 'process GiB', 'ratio', 'tensors GiB', 'taken GiB', 'loading GiB', 's/step']
  console.log(`| ${[...heads, ...numbers].join(' | ')} |`)
  const rule = (head: string): string => '-'.repeat(head.length)
  console.log(`| ${[...heads.map(rule), ...numbers.map((head) => `${rule(head).slice(1)}:`)].join(' | ')} |`)
  for (const [index, mode] of modes.entries()) {
    const { name, optimizer, checkpointing, expected } = mode
    const all = `${name} ${optimizer} ${checkpointing ? 'checkpointing' : ''}`.toLowerCase()
    if (!words.every((word) => all.includes(word.toLowerCase()))) continue
    const { stdout, status } = spawnSync(process.execPath, [fileURLToPath(import.meta.url), '--child', String(index)], {
      stdio: ['ignore', 'pipe', 'inherit'],
      encoding: 'utf8',
    })
    if (status !== 0) throw new Error(`${name} ended with exit code ${status}`)
    const { loading, resident, peak, taken, seconds } = JSON.parse(stdout) as Report
    const cells = [
      ...[name, optimizer, checkpointing ? 'yes' : 'no', expected.toFixed(1), gibibytes(resident)],
      ...[(resident / gibibyte / expected).toFixed(2), gibibytes(peak), gibibytes(taken), gibibytes(loading)],
      seconds.toFixed(1),
    ]
    console.log(`| ${cells.join(' | ')} |`)
  }
}

const [first, index] = process.argv.slice(2)
if (first === '--child') await runMode(modes[Number(index)]!)
else main(process.argv.slice(2))
