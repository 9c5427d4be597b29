import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { HeavyBall } from '../../examples/customOptimizer.ts'
import { openSafetensors } from '../../lib/io/safetensors.ts'
import { readKohyaLora } from '../../lib/networks/kohyaLora.ts'
import { trainNetwork } from '../../lib/train/trainings.ts'
import { baselineBuffers, liveBuffers } from '../support/device.ts'
import {
  eventsOf,
  makeTinyData,
  only,
  saveTinyModel,
  type TinyOverrides,
  tinyTraining,
} from '../support/tinyTraining.ts'

let model: string
let data: string
let baseline: number
beforeAll(async () => {
  model = await saveTinyModel()
  data = await makeTinyData()
})
beforeEach(async () => {
  baseline = await baselineBuffers()
})
afterEach(async () => {
  expect(await liveBuffers(), 'buffers left by the run').toBe(baseline)
})

async function train(overrides: TinyOverrides) {
  const events = await eventsOf(trainNetwork(await tinyTraining(model, data, overrides)))
  const path = only(events, 'end')[0]!.path!
  const file = await openSafetensors(path)
  const { metadata } = file
  await file.close()
  return {
    rates: only(events, 'step').map(({ learningRates }) => learningRates),
    effective: only(events, 'step').map(({ effectiveLearningRates }) => effectiveLearningRates),
    warnings: only(events, 'warning').map(({ message }) => message),
    metadata,
    modules: (await readKohyaLora(path)).modules,
  }
}

describe('a training with another optimizer or schedule', () => {
  it.each<[string, NonNullable<TinyOverrides['optimizer']>, string]>([
    ['Lion', { type: 'lion', arguments: { weight_decay: 0.1 } }, 'lion_pytorch.lion_pytorch.Lion(weight_decay=0.1)'],
    ['NAdam', { type: 'torch.optim.NAdam' }, 'torch.optim.nadam.NAdam'],
    ['AdamW8bit', { type: 'AdamW8bit' }, 'bitsandbytes.optim.adamw.AdamW8bit'],
    ['Prodigy', { type: 'Prodigy', learningRate: 1, arguments: { d_coef: 2 } }, 'prodigyopt.prodigy.Prodigy(d_coef=2)'],
    ['StableAdamW', { type: 'StableAdamW' }, 'optimi.stableadamw.StableAdamW'],
    [
      'CAME',
      { type: 'came', arguments: { clip_threshold: 0.5 } },
      'pytorch_optimizer.optimizer.came.CAME(clip_threshold=0.5)',
    ],
    [
      'a class of the user',
      { type: HeavyBall, arguments: { momentum: 0.5 }, argumentTexts: { momentum: '.5' } },
      'HeavyBall(momentum=.5)',
    ],
  ])('learns with %s and records it', async (_name, optimizer, recorded) => {
    const { modules, metadata, warnings } = await train({ training: { maxSteps: 4 }, optimizer })
    expect(warnings).toEqual([])
    expect(metadata.get('ss_optimizer')).toBe(recorded)
    expect(
      [...modules.values()].some(({ weights }) => weights['lora_up.weight']!.values.some((value) => value !== 0)),
    ).toBe(true)
    for (const { weights } of modules.values())
      expect(weights['lora_up.weight']!.values.every(Number.isFinite)).toBe(true)
  })

  it.each<[string, TinyOverrides]>([
    ['the rate is 0', { optimizer: { learningRate: 0 } }],
    ['the rates of both groups are', { optimizer: { unetLearningRate: 0, textEncoderLearningRate: 0 } }],
    [
      'the run is over when the warm-up begins',
      { optimizer: { scheduler: 'linear', warmupSteps: 5 }, training: { maxSteps: 1 } },
    ],
  ])('says that nothing is learned where %s', async (_when, { optimizer = {}, training = {} }) => {
    const { warnings } = await train({ optimizer, training: { maxSteps: 1, ...training } })
    expect(warnings).toEqual(['nothing will be learned: the learning rate of every group is 0 in every step'])
  })

  it('says that the warm-up is longer than the run', async () => {
    const { warnings } = await train({ optimizer: { scheduler: 'linear', warmupSteps: 2 }, training: { maxSteps: 2 } })
    expect(warnings).toEqual([
      expect.stringContaining('the warm-up of 2 steps does not end within the 2 steps of the run'),
    ])
  })

  it('says of unequal rates once what they do', async () => {
    const optimizer = { type: 'Prodigy', learningRate: 1, unetLearningRate: 0.5 }
    const { warnings } = await train({ optimizer, training: { maxSteps: 1 } })
    expect(warnings).toEqual([expect.stringContaining('Here: textencoder (1) 100 %, unet (0.5) 50 %')])
  })

  it('leaves the rate to AdaFactor, and reports what it chose', async () => {
    const { metadata, warnings, effective, modules } = await train({
      training: { maxSteps: 3 },
      optimizer: { type: 'AdaFactor', learningRate: 1e-3 },
    })
    expect(metadata.get('ss_optimizer')).toBe('transformers.optimization.Adafactor(relative_step=True)')
    expect(metadata.get('ss_lr_scheduler')).toBe('adafactor:0.001')
    expect(warnings.join('\n')).toContain('finds its own rate')
    for (const rates of effective) expect(Object.values(rates!).every((rate) => rate > 0 && rate <= 0.01)).toBe(true)
    expect(
      [...modules.values()].some(({ weights }) => weights['lora_up.weight']!.values.some((value) => value !== 0)),
    ).toBe(true)
  })

  it('reports the step size that Prodigy found', async () => {
    const { effective } = await train({ training: { maxSteps: 3 }, optimizer: { type: 'Prodigy', learningRate: 1 } })
    expect(effective.every((rates) => rates !== null && rates.unet! >= 1e-6)).toBe(true)
    const { effective: none } = await train({ training: { maxSteps: 1 }, optimizer: { type: 'AdamW' } })
    expect(none).toEqual([null])
  })

  it('steps matrices by Muon, and says how it steps the rest', async () => {
    const { warnings, modules } = await train({ training: { maxSteps: 3 }, optimizer: { type: 'Muon' } })
    expect(warnings).toEqual(['Muon: steps what is no matrix by AdamW at adam_lr'])
    expect(
      [...modules.values()].some(({ weights }) => weights['lora_up.weight']!.values.some((value) => value !== 0)),
    ).toBe(true)
  })

  it('saves the averaged values of a schedule-free optimizer, and says that there is no schedule', async () => {
    const optimizer = { type: 'AdamWScheduleFree', learningRate: 0.01, scheduler: 'cosine', warmupSteps: 1 } as const
    const { modules, metadata, warnings, rates } = await train({ training: { maxSteps: 3 }, optimizer })
    expect(warnings[0]).toContain('AdamWScheduleFree needs no schedule')
    expect(metadata.get('ss_lr_scheduler')).toBe('constant')
    expect(rates.map(({ unet }) => unet)).toEqual([0.01, 0.01, 0.01])
    expect(
      [...modules.values()].some(({ weights }) => weights['lora_up.weight']!.values.some((value) => value !== 0)),
    ).toBe(true)
  })

  it('gives SGDNesterov its momentum with a message', async () => {
    const { warnings, metadata } = await train({ optimizer: { type: 'SGDNesterov' }, training: { maxSteps: 1 } })
    expect(warnings).toEqual(['SGDNesterov is given momentum=0.9'])
    expect(metadata.get('ss_optimizer')).toBe('torch.optim.sgd.SGD(momentum=0.9)')
  })

  it('steps with the rates of schedules that set them by group, and of functions', async () => {
    const oneCycle = {
      scheduler: 'OneCycleLR',
      schedulerArguments: { max_lr: [1, 2], anneal_strategy: 'linear', pct_start: 0.5 },
    } as const
    const { rates } = await train({ training: { maxSteps: 4 }, optimizer: oneCycle })
    expect(rates.map(({ unet, textencoder }) => unet! / textencoder!)).toEqual([2, 2, 2, 2])
    expect(rates[1]).toEqual({ textencoder: 1, unet: 2 })
    const halves = (step: number): number => 0.5 ** step
    const mine = await train({ training: { maxSteps: 2 }, optimizer: { learningRate: 1e-3, scheduler: halves } })
    expect(mine.rates.map(({ unet }) => unet)).toEqual([1e-3, 5e-4])
    expect(mine.metadata.get('ss_lr_scheduler')).toBe('halves')
  })

  it('records a share of warm-up as Python does', async () => {
    const optimizer = { scheduler: 'linear', warmupSteps: { share: 0.5 } } as const
    const { metadata, rates } = await train({ training: { maxSteps: 4 }, optimizer })
    expect(metadata.get('ss_lr_warmup_steps')).toBe('0.5')
    expect(rates.map(({ unet }) => unet)).toEqual([0, 0.0005, 0.001, 0.0005])
  })

  it('has a group for each block with a weight, and no modules where it is 0', async () => {
    const blockWeights = Array.from({ length: 25 }, (_, block) => (block === 12 ? 0.5 : block === 24 ? 1 : 0))
    const { rates, modules } = await train({
      training: { maxSteps: 1 },
      network: { blockWeights, loraPlus: { unet: 4, textEncoder: 1 }, args: { mid_lr_weight: '0.5' } },
    })
    expect(rates[0]).toEqual({
      textencoder: 0.001,
      unet_block24: 0.001,
      'unet_block24 plus': 0.004,
      unet_block12: 0.0005,
      'unet_block12 plus': 0.002,
    })
    const unet = [...modules.keys()].filter((name) => name.startsWith('lora_unet_'))
    expect(unet).toHaveLength(24)
    expect(unet.every((name) => /_mid_block_|_up_blocks_3_attentions_2_/.test(name))).toBe(true)
  })

  it('explains to an optimizer that finds its step what rates of blocks do', async () => {
    const blockWeights = Array.from({ length: 25 }, (_, block) => (block === 12 ? 0.5 : block === 24 ? 1 : 0))
    const { warnings } = await train({
      training: { maxSteps: 1 },
      network: { blockWeights, trainTextEncoder: false },
      optimizer: { type: 'Prodigy', learningRate: 1 },
    })
    expect(warnings).toHaveLength(1)
    expect(warnings[0]).toContain('Here: unet_block24 (1) 100 %, unet_block12 (0.5) 50 %.')
  })

  it.each<[string, NonNullable<TinyOverrides['optimizer']>, string]>([
    ['an unknown optimizer', { type: 'Lions' }, 'Did you mean "Lion"?'],
    ['an unknown argument', { type: 'Lion', arguments: { beta: 1 } }, 'Did you mean "betas"?'],
    ['a schedule without its arguments', { scheduler: 'StepLR' }, 'StepLR needs step_size'],
    ['adafactor with another optimizer', { scheduler: 'adafactor' }, 'needs --optimizer_type AdaFactor'],
  ])('stops before anything is read: %s', async (_what, optimizer, message) => {
    const config = await tinyTraining('no-such-model', data, { optimizer })
    await expect(eventsOf(trainNetwork(config))).rejects.toThrow(message)
  })
})
