import { mkdtemp, readdir, readFile, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { atomicWrite } from '../../../lib/io/atomicWrite.ts'
import { encodePng } from '../../../lib/preview/png.ts'
import type { StepEvent, TrainEvent } from '../../../lib/train/events.ts'
import { jsonLinesSink } from '../../../lib/train/logs/jsonLinesSink.ts'
import { logEvents } from '../../../lib/train/logs/logEvents.ts'
import type { LogSink } from '../../../lib/train/logs/logSink.ts'
import { logSinks } from '../../../lib/train/logs/logSinks.ts'
import { tensorboardSink } from '../../../lib/train/logs/tensorboardSink.ts'
import { ConfigError, IoError } from '../../../lib/util/errors.ts'
import { fakeEvents } from '../../cli/fakeTraining.ts'
import { type LoggedEvent, readEvents } from '../../support/eventFile.ts'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'noisewright-log-'))
})
afterEach(async () => {
  await rm(folder, { recursive: true })
})

const now = new Date(2024, 0, 2, 3, 4, 5)

async function log(sinks: readonly LogSink[], events: AsyncIterable<TrainEvent> = fakeEvents()): Promise<string[]> {
  const warnings: string[] = []
  for await (const event of logEvents(events, sinks)) if (event.type === 'warning') warnings.push(event.message)
  return warnings
}

async function* those(...events: TrainEvent[]): AsyncGenerator<TrainEvent> {
  yield* events
}

async function eventsIn(path: string): Promise<LoggedEvent[]> {
  const [name, ...others] = await readdir(path)
  expect(name).toMatch(/^events\.out\.tfevents\./)
  expect(others).toEqual([])
  return (await readEvents(join(path, name!))).slice(1)
}

const scalarsOf = (events: readonly LoggedEvent[]): unknown[] =>
  events.map(({ step, scalars }) => [Number(step), Object.fromEntries(scalars)])

const step: StepEvent = {
  type: 'step',
  step: 5,
  totalSteps: 10,
  epoch: 2,
  loss: 0.5,
  averageLoss: 0.25,
  learningRates: { unet: 2 },
  effectiveLearningRates: { unet: 4 },
  gradientNorm: 8,
  skippedSteps: 0,
  stepsPerSecond: 1,
}

describe('logSinks', () => {
  const config = { folder: null, prefix: '', trackerName: 't' }

  it('writes an event file into the folder of the run', async () => {
    await log(logSinks({ folder, prefix: 'run-', trackerName: 'network_train' }, now))
    expect(await eventsIn(join(folder, 'run-20240102030405', 'network_train'))).not.toEqual([])
  })

  it('writes what is asked for', async () => {
    expect(logSinks(config)).toEqual([])
    const names = (kinds: readonly ('tensorboard' | 'jsonl')[]): string[] =>
      logSinks({ ...config, folder, kinds, webhook: 'https://example.org/' }, now).map(({ name }) => name)
    expect(names(['jsonl'])).toEqual(['JSON Lines', 'webhook'])
    expect(names(['tensorboard', 'jsonl'])).toEqual(['TensorBoard', 'JSON Lines', 'webhook'])
  })

  it.each(['example.org', 'ftp://example.org/', 'https://', 'https://a:%zz@example.org/secret', ''])(
    'refuses the webhook %j without repeating it',
    (webhook) => {
      const refusal = (): unknown => logSinks({ ...config, webhook })
      expect(refusal).toThrow(ConfigError)
      expect(refusal).not.toThrow(/secret|ftp/)
    },
  )
})

describe('tensorboardSink', () => {
  it('writes the options in force as a table', async () => {
    const start = { type: 'start', seed: 7, totalSteps: 1, epochCount: 1, batchesPerEpoch: 1 } as const
    const counts = { trainImageCount: 1, regImageCount: 0, trainableParameters: 1, moduleCount: 1, report: [] }
    const options = { seed: null, v2: false, caption_separator: '|' }
    await log([tensorboardSink(folder)], those({ ...start, ...counts, options }))
    const [event] = await eventsIn(folder)
    expect(event!.texts![0]!.text.split('\n').slice(2)).toEqual([
      '| seed |  |',
      '| v2 | false |',
      '| caption_separator | \\| |',
    ])
  })

  it('writes losses, rates and norms of networks', async () => {
    await log([tensorboardSink(folder)])
    const rates = { 'lr/textencoder': Math.fround(5e-5), 'lr/unet': Math.fround(1e-4), 'norm/grad_norm': 1 }
    expect(scalarsOf((await eventsIn(folder)).filter(({ images }) => images.length === 0))).toEqual([
      [1, { 'loss/current': 1, 'loss/average': 2, ...rates }],
      [2, { 'loss/current': 1 / 2, 'loss/average': 1, ...rates }],
      [1, { 'loss/epoch': 1 }],
      [3, { 'loss/current': Math.fround(1 / 3), 'loss/average': Math.fround(2 / 3), ...rates }],
      [4, { 'loss/current': 1 / 4, 'loss/average': 1 / 2, ...rates }],
      [2, { 'loss/epoch': 1 / 2 }],
    ])
  })

  it('writes what optimizers and limits on norms add, and validation losses', async () => {
    const norms = { 'max_norm/keys_scaled': 3, 'max_norm/average_key_norm': 0.5, 'max_norm/max_key_norm': 1 }
    const validation = { type: 'validation', step: 5, epoch: 2, loss: 0.75, trainingLoss: 0.5 } as const
    const events = those({ ...step, measures: norms }, { ...validation, by: 'step' }, { ...validation, by: 'epoch' })
    await log([tensorboardSink(folder)], events)
    const losses = { 'loss/current': 0.5, 'loss/average': 0.25 }
    expect(scalarsOf(await eventsIn(folder))).toEqual([
      [5, { ...losses, 'lr/unet': 2, 'lr/d*lr/unet': 4, 'norm/grad_norm': 8, ...norms }],
      [5, { 'loss/validation/step_average': 0.75, 'loss/validation/step_divergence': 0.25 }],
      [2, { 'loss/validation/epoch_average': 0.75, 'loss/validation/epoch_divergence': 0.25 }],
    ])
  })

  it('writes the scale of the loss, and how many steps overflowed, in float16', async () => {
    const lossScaler = { scale: 32768, goodSteps: 7, overflows: 1 }
    await log([tensorboardSink(folder, { tags: 'model' })], those({ ...step, lossScaler }))
    const [[, scalars]] = scalarsOf(await eventsIn(folder)) as [[number, object]]
    expect(scalars).toMatchObject({ 'loss_scale/scale': 32768, 'loss_scale/overflows': 1 })
  })

  it('has the tags of whole models: no group where there is one', async () => {
    const both = { ...step, learningRates: { unet: 2, text_encoder: 1 }, effectiveLearningRates: null }
    await log([tensorboardSink(folder, { tags: 'model' })], those(step, both))
    expect(scalarsOf(await eventsIn(folder))).toEqual([
      [5, { loss: 0.5, lr: 2, 'lr/d*lr': 4, 'norm/grad_norm': 8 }],
      [5, { loss: 0.5, 'lr/unet': 2, 'lr/text_encoder': 1, 'norm/grad_norm': 8 }],
    ])
  })

  it('holds the previews by prompt; one that is gone is a warning', async () => {
    const path = join(folder, 'a.png')
    const png = await encodePng({ width: 4, height: 2, pixels: new Uint8Array(24).fill(200) })
    await atomicWrite(path, png)
    const preview = { type: 'preview', path, prompt: 'a frog', step: 5, epoch: 2 } as const
    const gone = { ...preview, path: join(folder, 'gone.png') }
    const warnings = await log(
      [tensorboardSink(join(folder, 'log'))],
      those({ ...preview, promptIndex: 1 }, gone, step),
    )
    const [event, after] = await eventsIn(join(folder, 'log'))
    expect(event!.images).toEqual([{ tag: 'preview/1', width: 4, height: 2, colorspace: 3, png: Buffer.from(png) }])
    expect(event!.step).toBe(5n)
    expect(after!.scalars).not.toEqual([])
    expect(warnings).toEqual([expect.stringContaining('gone.png')])
  })

  it('cannot start where no folder can be made', async () => {
    await atomicWrite(join(folder, 'file'), 'text')
    await expect(log([tensorboardSink(join(folder, 'file', 'log'))])).rejects.toThrow(IoError)
  })
})

describe('jsonLinesSink', () => {
  const lines = async (): Promise<string[]> => (await readFile(join(folder, 'events.jsonl'), 'utf8')).split('\n')
  const at = '2024-05-06T07:08:09.010Z'
  const options = { now: () => new Date(at) }

  it('writes one event a line, with its time', async () => {
    await log([jsonLinesSink(folder, options)])
    const written = await lines()
    expect(written.pop()).toBe('')
    const events: TrainEvent[] = []
    for await (const event of fakeEvents()) events.push(event)
    expect(written.map((line) => JSON.parse(line))).toEqual(events.map((event) => ({ time: at, ...event })))
    expect(Object.keys(JSON.parse(written[0]!))[0]).toBe('time')
  })

  it('has each line in the file before the training goes on', async () => {
    let count = 0
    for await (const { type } of logEvents(fakeEvents(), [jsonLinesSink(folder)])) {
      count++
      if (type !== 'warning') expect(await lines()).toHaveLength(count + 1)
    }
    expect(count).toBeGreaterThan(10)
  })

  it('writes what is not finite as null, which every reader of JSON takes', async () => {
    await log([jsonLinesSink(folder)], those({ ...step, loss: Number.NaN, averageLoss: Number.POSITIVE_INFINITY }))
    expect(JSON.parse((await lines())[0]!)).toMatchObject({ loss: null, averageLoss: null, gradientNorm: 8 })
  })

  it.skipIf(process.platform !== 'linux')('lets the training go on when the disk is full', async () => {
    await symlink('/dev/full', join(folder, 'events.jsonl'))
    expect(await log([jsonLinesSink(folder)])).toEqual([
      'two pictures have no caption',
      expect.stringMatching(
        /^the JSON Lines log failed: .*events\.jsonl: cannot append \d+ bytes: the disk is full.*ENOSPC/,
      ),
      expect.stringMatching(/^the JSON Lines log misses \d+ events$/),
    ])
  })

  it.each([
    ['', []],
    ['{"a":1}\n', ['{"a":1}']],
    ['{"a":1}\n{"b":', ['{"a":1}']],
    ['{"torn', []],
    [`{"a":1}\n{"b":"${'x'.repeat(200_000)}`, ['{"a":1}']],
  ])('goes on after the last whole line of %j', async (before, kept) => {
    await atomicWrite(join(folder, 'events.jsonl'), before)
    await log([jsonLinesSink(folder, options)], those({ type: 'epoch', epoch: 1, epochCount: 2 }))
    const line = JSON.stringify({ time: at, type: 'epoch', epoch: 1, epochCount: 2 })
    expect(await lines()).toEqual([...kept, line, ''])
  })
})
