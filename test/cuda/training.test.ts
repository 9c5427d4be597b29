/** Steps of real trainings on the emulated GPU: the same bits in every order of threads, and what the CPU computes but for rounding. */
import { join } from 'node:path'
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { OptimizerParameter } from '../../lib/optim/optimizer.ts'
import { tensor } from '../../lib/tensor/create.ts'
import { memory } from '../../lib/tensor/runtime.ts'
import type { DeviceName } from '../../lib/tensor/tensor.ts'
import type { TrainingKind } from '../../lib/train/method.ts'
import { fineTuning } from '../../lib/train/methods/fineTune.ts'
import { networkTraining } from '../../lib/train/methods/trainNetwork.ts'
import type { MixedPrecision, TrainConfig } from '../../lib/train/trainConfig.ts'
import { Trainer } from '../../lib/train/trainer.ts'
import { dwarf } from '../support/dwarfModel.ts'
import { allOrders, canEmulate, orders, setEmulation } from '../support/emulatedGpu.ts'
import { numbers } from '../support/opSuite.ts'
import { makeFolder } from '../support/pictures.ts'
import { makeTinyData, saveTinyModel, type TinyOverrides, tinyTraining } from '../support/tinyTraining.ts'
import { makeTinyMetadata, tinyFineTune } from '../support/tinyTrainings.ts'

const devices: readonly DeviceName[] = ['cpu', 'cuda']
let model: string
let data: string
let metadata: string
let baseline: readonly number[]

/** Storages that exist on each device, once everything enqueued has run. */
async function liveBuffers(): Promise<number[]> {
  const counts: number[] = []
  for (const device of devices) {
    const fence = tensor([0], [1], { device })
    await fence.read()
    fence.dispose()
    await new Promise((resolve) => setImmediate(resolve))
    counts.push(memory(device).liveBuffers)
  }
  return counts
}

interface Trained {
  readonly losses: readonly number[]
  readonly before: readonly ArrayLike<number>[]
  readonly after: readonly ArrayLike<number>[]
}

/** What a run showed of CUDA graphs: most memory that they had, and warnings. */
interface Graphs {
  reserved: number
  warnings: string[]
}

/** Pictures of two shapes, in batches of one. @returns the path of the description */
async function twoShapes(kind: keyof typeof kinds): Promise<string> {
  const pictures = { 'a.png': [64, 64], 'b.png': [128, 64] } as const
  const images = await makeFolder({ ...pictures, 'a.txt': 'sks frog', 'b.txt': 'a wide frog' })
  const entries = Object.keys(pictures).map((name) => [join(images, name), { caption: name, tags: 'frog' }])
  const folder = await makeFolder({ 'meta.json': JSON.stringify(Object.fromEntries(entries)) })
  const captions =
    kind === 'a LoRA' ? 'caption_extension = ".txt"' : `metadata_file = ${JSON.stringify(join(folder, 'meta.json'))}`
  const toml = `[[datasets]]
resolution = [128, 64]
batch_size = 1
enable_bucket = true
min_bucket_reso = 64
max_bucket_reso = 128
bucket_reso_steps = 64

  [[datasets.subsets]]
  image_dir = ${JSON.stringify(images)}
  ${captions}
`
  return join(await makeFolder({ 'data.toml': toml }), 'data.toml')
}

/** Trains to the end; the values of all that learns, before and after. @param look is shown it before it is freed */
async function trained<Config extends TrainConfig>(
  kind: TrainingKind<Config>,
  config: Config,
  graphs: Graphs = { reserved: 0, warnings: [] },
  look: (params: readonly OptimizerParameter[]) => void = () => {},
): Promise<Trained> {
  const trainer = await Trainer.open(kind, config)
  const read = () =>
    Promise.all(trainer.method.groups.flatMap(({ params }) => params.map(({ master }) => numbers(master))))
  try {
    const before = await read()
    const losses: number[] = []
    for await (const event of trainer.run()) {
      if (event.type === 'step') losses.push(event.loss)
      if (event.type === 'warning') graphs.warnings.push(event.message)
      graphs.reserved = Math.max(graphs.reserved, memory('cuda').reservedBytes)
    }
    const after = await read()
    look(trainer.method.groups.flatMap(({ params }) => params))
    return { losses, before, after }
  } finally {
    trainer.dispose()
  }
}

function bytesOf({ losses, after }: Trained): string[] {
  return [losses, ...after].map((values) => Buffer.from(Float64Array.from(values).buffer).toString('base64'))
}

/** How alike the changes of two trainings are: the cosine between them, and the ratio of their norms. */
function compareChanges(a: Trained, b: Trained): { readonly cosine: number; readonly ratio: number } {
  let [product, squareA, squareB] = [0, 0, 0]
  a.after.forEach((values, k) => {
    for (let i = 0; i < values.length; i++) {
      const [x, y] = [values[i]! - a.before[k]![i]!, b.after[k]![i]! - b.before[k]![i]!]
      product += x * y
      squareA += x * x
      squareB += y * y
    }
  })
  return { cosine: product / Math.sqrt(squareA * squareB), ratio: Math.sqrt(squareA / squareB) }
}

type Train = (overrides: TinyOverrides, graphs?: Graphs) => Promise<Trained>
const kinds: Readonly<Record<'a LoRA' | 'a whole U-Net', Train>> = {
  'a LoRA': async (overrides, graphs) => trained(networkTraining, await tinyTraining(model, data, overrides), graphs),
  'a whole U-Net': async (overrides, graphs) =>
    trained(fineTuning, await tinyFineTune(model, metadata, overrides), graphs),
}

/** One step of one picture. Tensors of 16 elements and more have 8-bit states where the optimizer has them. */
function oneStep(device: DeviceName, mixedPrecision: MixedPrecision, type: string): TinyOverrides {
  return {
    training: { maxSteps: 1, mixedPrecision, device },
    optimizer: { type, ...(type.endsWith('AdamW8bit') && { arguments: { min_8bit_size: 16 } }) },
    output: { saveAs: 'safetensors' },
  }
}

describe.runIf(canEmulate)('a training on the GPU', () => {
  beforeAll(async () => {
    model = await saveTinyModel(dwarf)
    data = await makeTinyData({ pictures: { 'a.png': [64, 64], 'a.txt': 'sks frog' }, batchSize: 1 })
    metadata = await makeTinyMetadata({ 'a.png': [64, 64] })
  })
  beforeEach(async () => {
    baseline = await liveBuffers()
  })
  afterEach(async () => {
    setEmulation('ORDER', 'forward')
    expect(await liveBuffers(), 'buffers left by the run').toEqual(baseline)
  })

  it.each([
    ['a LoRA', 'no', 'AdamW'],
    ['a LoRA', 'bf16', 'AdamW8bit'],
    ['a whole U-Net', 'no', 'AdamW8bit'],
    ['a whole U-Net', 'bf16', 'AdamW'],
  ] as const)('of %s (mixed_precision %s, %s) takes the step of the CPU', async (kind, precision, type) => {
    const onCpu = await kinds[kind]!(oneStep('cpu', precision, type))
    const first = await kinds[kind]!(oneStep('cuda', precision, type))
    for (const order of orders.slice(1, 3)) {
      setEmulation('ORDER', order)
      const other = await kinds[kind]!(oneStep('cuda', precision, type))
      expect(bytesOf(other), `bits in ${order} order`).toEqual(bytesOf(first))
    }
    const half = precision === 'bf16'
    expect(Math.abs(first.losses[0]! / onCpu.losses[0]! - 1)).toBeLessThan(half ? 2e-2 : 1e-5)
    const { cosine, ratio } = compareChanges(first, onCpu)
    // A first step of Adam's rule is a step by the sign: small gradients, of which bfloat16 may turn the sign, count like others.
    expect(cosine).toBeGreaterThan(half ? 0.95 : 0.9999)
    expect(Math.abs(ratio - 1)).toBeLessThan(2e-2)
  })

  // The embeddings of tokens are the only parameters here that are large enough to page.
  it('keeps the states of a paged optimizer in pinned host memory', { timeout: 240_000 }, async () => {
    const train = async (device: DeviceName) => {
      const fineTune = { trainTextEncoder: true }
      const config = await tinyFineTune(model, metadata, { ...oneStep(device, 'no', 'PagedAdamW8bit'), fineTune })
      let pagedBytes = 0
      const run = await trained(fineTuning, config, undefined, (params) => {
        pagedBytes = memory(device).pagedBytes
        const large = params.filter(({ master }) => master.size >= 100_000)
        expect(pagedBytes).toBe(2 * large.reduce((sum, { master }) => sum + master.size, 0))
      })
      expect(pagedBytes).toBeGreaterThan(0)
      return run
    }
    const [onGpu, onCpu] = [await train('cuda'), await train('cpu')]
    expect(Math.abs(onGpu.losses[0]! / onCpu.losses[0]! - 1)).toBeLessThan(1e-5)
    const { cosine, ratio } = compareChanges(onGpu, onCpu)
    expect(cosine).toBeGreaterThan(0.9999)
    expect(Math.abs(ratio - 1)).toBeLessThan(2e-2)
  })

  // The other kind by `npm run test:cuda` alone: each takes most of a minute.
  it.each(allOrders ? (['a LoRA', 'a whole U-Net'] as const) : (['a LoRA'] as const))(
    'of %s repeats its steps as CUDA graphs, with the same bits',
    async (kind) => {
      const configFile = await twoShapes(kind)
      const seven = (noCudaGraphs: boolean): TinyOverrides => ({
        training: { maxSteps: 7, device: 'cuda', noCudaGraphs },
        data: { source: { configFile } },
        output: { saveAs: 'safetensors' },
      })
      const graphs: Graphs = { reserved: 0, warnings: [] }
      const repeated = await kinds[kind]!(seven(false), graphs)
      expect(graphs.reserved, 'memory of graphs').toBeGreaterThan(0)
      expect(graphs.warnings.filter((message) => message.includes('graph'))).toEqual([])
      const called: Graphs = { reserved: 0, warnings: [] }
      expect(bytesOf(repeated)).toEqual(bytesOf(await kinds[kind]!(seven(true), called)))
      expect(called.reserved).toBe(0)
    },
  )

  it('says once that dropout keeps its steps from being graphs', async () => {
    const graphs: Graphs = { reserved: 0, warnings: [] }
    await kinds['a LoRA']!(
      { training: { maxSteps: 3, device: 'cuda' }, network: { dropout: 0.5 }, output: { saveAs: 'safetensors' } },
      graphs,
    )
    expect(graphs.reserved).toBe(0)
    expect(graphs.warnings.filter((message) => message.includes('graph'))).toEqual([
      'CUDA graphs are not used for all steps: dropout depends on the call: on a seed, a counter, a rate, or data of the host. ' +
        'Results are the same without them.',
    ])
  })
})
