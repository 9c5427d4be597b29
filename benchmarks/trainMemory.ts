/**
 * `npm run bench -- train-memory [filter words]`: the memory and the time of whole trainings in Stable Diffusion 1.5's sizes, 512x512
 * pixels, batch 1, from a checkpoint file (float16, random weights) and a picture to a file. Every training has a process of its own, of
 * which the peaks are: "loading" until the first step, with its caches made; "steps"; and "saving". "tensors" is what tensors and scratch
 * take at most in the steps, "estimate" what `plan` says of the same. "expected" is what the sizes of weights, gradients, states and
 * kept activations add up to. The last step is timed.
 */
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { saveLdmCheckpoint } from '../lib/checkpoints/saveLdmCheckpoint.ts'
import { resolveDatasetConfig } from '../lib/config/datasetConfig.ts'
import { sd1 } from '../lib/models/stableDiffusion/config.ts'
import { StableDiffusion } from '../lib/models/stableDiffusion/stableDiffusion.ts'
import { randomWeights } from '../lib/nn/init.ts'
import { encodePng } from '../lib/preview/png.ts'
import { memory, resetPeak } from '../lib/tensor/runtime.ts'
import { planTraining } from '../lib/train/plan/trainingPlan.ts'
import type { TrainConfig, TrainNetworkConfig } from '../lib/train/trainConfig.ts'
import { loadTrainingData } from '../lib/train/trainingData.ts'
import { trainDreamBooth, trainNetwork } from '../lib/train/trainings.ts'

interface Mode {
  readonly name: string
  /** A LoRA of rank 16 beside the U-Net and perhaps the text encoder, or the U-Net's own weights. */
  readonly trains: 'lora' | 'loraBoth' | 'unet'
  readonly precision: TrainConfig['training']['mixedPrecision']
  readonly fullPrecision?: boolean
  readonly eightBits?: boolean
  /** Whether parameters are stepped within the backward pass. Default false. */
  readonly fused?: boolean
  readonly checkpointing: boolean
  /** Whether latents, and captions where the text encoder does not learn, are encoded before the first step. Default true. */
  readonly cached?: boolean
  /** For transformed weights, which trade memory for time. Default 0: what a training cannot do without is measured. */
  readonly keptWeightsBytes?: number
  readonly optimizer: string
  /** GiB of the whole process. */
  readonly expected: number
}

const lora = { trains: 'lora', optimizer: 'AdamW' } as const
const bf16 = { precision: 'bf16' } as const
const float16 = { precision: 'fp16' } as const
const float32 = { precision: 'no' } as const
const on = { checkpointing: true } as const
const off = { checkpointing: false } as const
const full = { fullPrecision: true } as const
const whole = { trains: 'unet', ...on, optimizer: 'AdamW8bit' } as const

const modes: readonly Mode[] = [
  { name: 'LoRA, bf16', ...lora, ...bf16, ...on, expected: 2.2 },
  { name: 'LoRA, bf16', ...lora, ...bf16, ...off, expected: 2.9 },
  { name: 'LoRA, kept weights, bf16', ...lora, ...bf16, ...on, keptWeightsBytes: 2 ** 30, expected: 3.2 },
  { name: 'LoRA, fp16', ...lora, ...float16, ...on, expected: 2.2 },
  { name: 'LoRA, fp16', ...lora, ...float16, ...off, expected: 2.9 },
  { name: 'LoRA, float32', ...lora, ...float32, ...on, expected: 3.8 },
  { name: 'LoRA, float32', ...lora, ...float32, ...off, expected: 4.5 },
  { name: 'LoRA, 8-bit U-Net, bf16', ...lora, ...bf16, ...on, eightBits: true, expected: 1.4 },
  { name: 'LoRA both, bf16', ...lora, trains: 'loraBoth', ...bf16, ...off, expected: 3.2 },
  { name: 'LoRA both, float32', ...lora, trains: 'loraBoth', ...float32, ...off, expected: 5.1 },
  // Beside the first, the text encoder's 0.46 and an encoder of 0.06; what encoding takes is gone before the U-Net runs.
  { name: 'LoRA, uncached, bf16', ...lora, ...bf16, ...on, cached: false, expected: 2.7 },
  { name: 'U-Net, full bf16', ...whole, ...bf16, ...full, expected: 7.3 },
  { name: 'U-Net, full bf16, fused', ...whole, ...bf16, ...full, fused: true, expected: 3.8 },
  { name: 'U-Net, full fp16', ...whole, ...float16, ...full, expected: 7.3 },
  { name: 'U-Net, float32', ...whole, ...float32, expected: 9.3 },
  { name: 'U-Net, float32, fused', ...whole, ...float32, fused: true, expected: 5.4 },
  { name: 'U-Net, float32', trains: 'unet', ...float32, ...on, optimizer: 'AdamW', expected: 14.1 },
]

const gibibyte = 2 ** 30
const gibibytes = (bytes: number): string => (bytes / gibibyte).toFixed(2)

/** In a child: a checkpoint, and a picture with a caption. */
async function makeFiles(folder: string): Promise<void> {
  const models = new StableDiffusion(sd1, () => randomWeights(1))
  await saveLdmCheckpoint(join(folder, 'model.safetensors'), models, { precision: 'fp16' })
  const pictures = join(folder, 'pictures')
  mkdirSync(pictures)
  const pixels = new Uint8Array(512 * 512 * 3).map((_, i) => (i * 97) % 251)
  writeFileSync(join(pictures, 'frog.png'), await encodePng({ width: 512, height: 512, pixels }))
  writeFileSync(join(pictures, 'frog.txt'), 'a frog')
}

async function configOf(mode: Mode, folder: string): Promise<TrainNetworkConfig> {
  const { cached = true, fullPrecision = false, eightBits = false, fused = false, keptWeightsBytes = 0 } = mode
  const subset = { image_dir: join(folder, 'pictures'), caption_extension: '.txt' }
  const config = await resolveDatasetConfig({ datasets: [{ resolution: 512, batch_size: 1, subsets: [subset] }] })
  const never = { everyEpochs: null, everySteps: null }
  return {
    model: {
      path: join(folder, 'model.safetensors'),
      v2: false,
      vParameterization: false,
      vae: null,
      clipSkip: null,
      maxTokenLength: null,
    },
    data: {
      source: { config },
      fallbacks: {},
      cacheLatents: cached,
      cacheTextEncoderOutputs: cached && mode.trains !== 'loraBoth',
      vaeBatchSize: 1,
      priorLossWeight: 1,
    },
    network: {
      dim: 16,
      alpha: 16,
      dropout: null,
      trainUnet: true,
      trainTextEncoder: mode.trains === 'loraBoth',
      trainingComment: null,
    },
    optimizer: {
      type: mode.optimizer,
      learningRate: 1e-5,
      unetLearningRate: null,
      textEncoderLearningRate: null,
      maxGradNorm: fused ? 0 : 1,
      scheduler: 'constant',
      warmupSteps: 0,
      schedulerCycles: 1,
      schedulerPower: 1,
    },
    training: {
      maxSteps: 2,
      maxEpochs: null,
      gradientAccumulationSteps: 1,
      gradientCheckpointing: mode.checkpointing,
      mixedPrecision: mode.precision,
      fullPrecision,
      fusedBackwardPass: fused,
      keptWeightsBytes,
      eightBitParts: eightBits ? ['unet'] : [],
      seed: 1,
    },
    output: {
      folder: join(folder, 'out'),
      name: null,
      saveEveryEpochs: null,
      saveEverySteps: null,
      savePrecision: 'fp16',
    },
    preview: { promptFile: null, ...never },
    logging: { folder: null, prefix: '', trackerName: 'bench' },
  }
}

/** Bytes, except for the seconds of a step. */
interface Report {
  readonly loading: number
  readonly steps: number
  readonly saving: number
  readonly tensors: number
  readonly estimate: number
  readonly seconds: number
}

/** In a child: a training of one mode. */
async function runMode(mode: Mode, folder: string): Promise<Report> {
  const config = await configOf(mode, folder)
  const whole = { ...config, dreamBooth: { stopTextEncoderTraining: -1, textEncoderLearningRate: null } }
  const training = mode.trains === 'unet' ? trainDreamBooth(whole) : trainNetwork(config)
  const report = { loading: 0, steps: 0, saving: 0, tensors: 0, estimate: 0, seconds: 0 }
  let started = 0
  for await (const event of training) {
    if (event.type === 'warning') process.stderr.write(`${event.message}\n`)
    if (event.type === 'epoch' && report.loading === 0) {
      report.loading = residentPeak()
      forgetPeaks()
    }
    if (event.type === 'step') {
      report.seconds = (performance.now() - started) / 1000
      report.steps = residentPeak()
      report.tensors = memory().peakBytes
    }
    if (event.type === 'epochEnd' && event.epoch === 2) forgetPeaks()
    started = performance.now()
  }
  report.saving = residentPeak()
  const group = await loadTrainingData(config, { seed: 1 })
  const { network, ...others } = config
  const planned = mode.trains === 'unet' ? others : { ...others, network }
  const plan = await planTraining(group, planned, mode.trains === 'unet' ? ['unet'] : [])
  report.estimate = plan.memory.reduce((sum, { bytes }) => sum + bytes, 0)
  return report
}

function residentPeak(): number {
  return Number(/VmHWM:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))![1]) * 1024
}

/** Begins the count of peaks anew. */
function forgetPeaks(): void {
  writeFileSync('/proc/self/clear_refs', '5')
  resetPeak()
}

function child(...args: readonly string[]): string {
  const { stdout, status } = spawnSync(process.execPath, [fileURLToPath(import.meta.url), ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
    encoding: 'utf8',
  })
  if (status !== 0) throw new Error(`${args.join(' ')} ended with exit code ${status}`)
  return stdout
}

function main(words: readonly string[]): void {
  const heads = ['training', 'optimizer', 'checkpointing']
  const numbers = ['expected GiB', 'loading', 'steps', 'saving', 'most / expected', 'tensors', 'estimate', 's/step']
  console.log(`| ${[...heads, ...numbers].join(' | ')} |`)
  const rule = (head: string): string => '-'.repeat(head.length)
  console.log(`| ${[...heads.map(rule), ...numbers.map((head) => `${rule(head).slice(1)}:`)].join(' | ')} |`)
  const folder = mkdtempSync(join(tmpdir(), 'noisewright-bench-'))
  try {
    child('--make', folder)
    for (const [index, mode] of modes.entries()) {
      const { name, optimizer, checkpointing, expected } = mode
      const all = `${name} ${optimizer} ${checkpointing ? 'checkpointing' : ''}`.toLowerCase()
      if (!words.every((word) => all.includes(word.toLowerCase()))) continue
      const { loading, steps, saving, tensors, estimate, seconds } = JSON.parse(
        child('--mode', `${index}`, folder),
      ) as Report
      const ratio = Math.max(loading, steps, saving) / gibibyte / expected
      const cells = [
        ...[
          name,
          optimizer,
          checkpointing ? 'yes' : 'no',
          expected.toFixed(1),
          ...[loading, steps, saving].map(gibibytes),
        ],
        ...[ratio.toFixed(2), gibibytes(tensors), gibibytes(estimate), seconds.toFixed(1)],
      ]
      console.log(`| ${cells.join(' | ')} |`)
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

const [first, ...others] = process.argv.slice(2)
if (first === '--make') await makeFiles(others[0]!)
else if (first === '--mode') process.stdout.write(JSON.stringify(await runMode(modes[Number(others[0])]!, others[1]!)))
else main(process.argv.slice(2))
