import { tmpdir } from 'node:os'
import { afterEach, describe, expect, it } from 'vitest'
import type { ArgumentValues } from '../../lib/config/namedArguments.ts'
import type { PythonLiteral } from '../../lib/config/pythonLiteral.ts'
import { adjustOptimizer, type RatePlan } from '../../lib/optim/adjustOptimizer.ts'
import { optimizerTable } from '../../lib/optim/optimizerTable.ts'
import {
  checkOptimizerArguments,
  createOptimizer,
  findOptimizer,
  type OptimizerArgument,
  type OptimizerRow,
  optimizerNames,
} from '../../lib/optim/registry.ts'
import { tensor } from '../../lib/tensor/create.ts'
import type { Tensor } from '../../lib/tensor/tensor.ts'

const made: { dispose(): void }[] = []

afterEach(() => {
  for (const each of made.splice(0)) each.dispose()
})

function parameter(): Tensor {
  const master = tensor(new Float32Array(8).fill(1), [2, 4])
  master.grad = tensor(new Float32Array(8).fill(0.5), [2, 4])
  made.push(master.grad, master)
  return master
}

/** A value that fits an argument and is not the default of any. */
function sampleOf({ name, kind, count = 1, minimum = 0, only }: OptimizerArgument): PythonLiteral {
  if (only !== undefined) return only.value
  if (name === 'step_sizes') return [1e-5, 10]
  if (name === 'etas') return [0.4, 1.3]
  if (name === 'decay_rate') return -0.7
  if (kind === 'text') return tmpdir()
  const number = Math.max(minimum, 0.25)
  if (kind === 'numbers') return new Array<number>(count).fill(number)
  if (kind === 'integer') return Math.ceil(number)
  return kind === 'boolean' ? true : number
}

describe('the table of optimizers', () => {
  it('has different names', () => {
    const all = optimizerTable.flatMap(({ name, aliases = [] }) => [name, ...aliases])
    expect(new Set(all.map((name) => name.toLowerCase())).size).toBe(all.length)
  })

  it.each(optimizerTable)('makes $name, which changes a parameter', async ({ name }) => {
    const master = parameter()
    const optimizer = createOptimizer(name, [{ name: 'unet', params: [{ name: 'w', master }], learningRate: 0.5 }])
    made.push(optimizer)
    expect(optimizer.learningRates).toEqual([0.5])
    // The learning-rate-free ones learn nothing in their first step, schedule-free RAdam in its first five.
    for (let step = 0; step < 8; step++) optimizer.step()
    optimizer.eval?.()
    expect([...(await master.read())]).not.toEqual(new Array(8).fill(1))
  })

  it.each(optimizerTable)('hands every argument of $name to its class', ({ name, arguments: known }) => {
    // Nesterov's step allows no dampening; every other argument stands beside all others.
    const taken = known.filter((argument) => argument.name !== 'dampening')
    const values = Object.fromEntries(taken.map((argument) => [argument.name, sampleOf(argument)]))
    const group = { name: 'unet', params: [{ name: 'w', master: parameter() }], learningRate: 0.5 }
    made.push(createOptimizer(name, [group], values))
  })
})

describe('findOptimizer', () => {
  it.each([
    ['adamw', 'AdamW'],
    ['ADAMW8BIT', 'AdamW8bit'],
    ['DAdaptation', 'DAdaptAdamPreprint'],
    ['dadaptation', 'DAdaptAdamPreprint'],
    ['prodigy', 'Prodigy'],
    ['NAdam', 'NAdam'],
    ['torch.optim.NAdam', 'NAdam'],
    ['torch.optim.adamw.AdamW', 'AdamW'],
    ['bitsandbytes.optim.AdEMAMix8bit', 'AdEMAMix8bit'],
    ['prodigyopt.Prodigy', 'Prodigy'],
  ])('%s is %s', (type, name) => {
    expect(findOptimizer(type).name).toBe(name)
  })

  it.each([
    ['nadam', 'Did you mean "NAdam"?'],
    ['Lions', 'Did you mean "Lion"?'],
    ['torch.optim.AdamX', 'Did you mean "AdamW"?'],
    ['torch.nn.AdamW', '"torch.nn.AdamW" is no optimizer'],
    ['constructor', '"constructor" is no optimizer'],
  ])('%s is refused', (type, message) => {
    expect(() => findOptimizer(type)).toThrow(message)
  })
})

describe('arguments of optimizers', () => {
  const check = (name: string, values: ArgumentValues): string[] =>
    checkOptimizerArguments('--optimizer_args', findOptimizer(name), values)

  it('are checked by name, kind and range, and all at once', () => {
    expect(
      check('Prodigy', { beta3: null, slice_p: 11, decouple: true, growth_rate: Number.POSITIVE_INFINITY }),
    ).toEqual([])
    expect(check('Lion', { amsgrad: true, betas: [0.9], weight_decay: '0.1' })).toEqual([
      '--optimizer_args: unknown argument "amsgrad"; Lion has betas, weight_decay.',
      '--optimizer_args: betas of Lion must be 2 numbers from 0 to below 1, found (0.9,)',
      '--optimizer_args: weight_decay of Lion must be a number of at least 0, found 0.1',
    ])
    expect(check('AdamW8bit', { block_wise: false })).toEqual([
      '--optimizer_args: AdamW8bit takes only block_wise=True: there is only the block-wise form',
    ])
  })

  it('are refused by the constructor too, with a message that names them', () => {
    const group = { name: 'unet', params: [{ name: 'w', master: parameter() }], learningRate: 1 }
    expect(() => createOptimizer('Lion', [group], { weight_dekay: 1 })).toThrow('Did you mean "weight_decay"?')
    expect(() => createOptimizer('Lion', [{ ...group, learningRate: -1 }])).toThrow('must be 0 or more')
  })
})

describe('adjustOptimizer', () => {
  const plan: RatePlan = {
    learningRate: 1e-4,
    unetLearningRate: null,
    textEncoderLearningRate: null,
    arguments: {},
    scheduler: 'cosine',
    warmup: false,
    maxGradNorm: 1,
    trained: ['textencoder', 'unet'],
  }

  it('leaves ordinary optimizers alone', () => {
    for (const name of ['AdamW', 'Lion', 'SGD'])
      expect(adjustOptimizer(findOptimizer(name), plan)).toEqual({ plan, messages: [], problems: [] })
  })

  it('gives SGDNesterov a momentum of 0.9 and says so, unless it has one', () => {
    const { plan: adjusted, messages } = adjustOptimizer(findOptimizer('SGDNesterov'), plan)
    expect(adjusted.arguments).toEqual({ momentum: 0.9 })
    expect(messages).toEqual(['SGDNesterov is given momentum=0.9'])
    const own = { ...plan, arguments: { momentum: 0.8 } }
    expect(adjustOptimizer(findOptimizer('SGDNesterov'), own)).toEqual({ plan: own, messages: [], problems: [] })
  })

  it('warns those that estimate their step of low and of unequal rates', () => {
    const { messages } = adjustOptimizer(findOptimizer('Prodigy'), { ...plan, unetLearningRate: 5e-5 })
    expect(messages).toHaveLength(2)
    expect(messages[0]).toContain('use a learning rate of about 1')
    expect(messages[1]).toContain('textencoder (0.0001) 100 %, unet (0.00005) 50 %')
    expect(adjustOptimizer(findOptimizer('Prodigy'), { ...plan, learningRate: 1 }).messages).toEqual([])
    const unetOnly: RatePlan = { ...plan, learningRate: 1, unetLearningRate: 0.5, trained: ['unet'] }
    expect(adjustOptimizer(findOptimizer('DAdaptAdam'), unetOnly).messages).toEqual([])
  })

  it('takes schedule and warm-up from schedule-free ones', () => {
    const adjusted = adjustOptimizer(findOptimizer('AdamWScheduleFree'), { ...plan, warmup: true })
    expect(adjusted.plan).toMatchObject({ scheduler: 'constant', warmup: false })
    expect(adjusted.messages[0]).toContain('--optimizer_args warmup_steps=N')
  })

  it('refuses the adafactor schedule for others', () => {
    const { problems } = adjustOptimizer(findOptimizer('AdamW'), { ...plan, scheduler: 'adafactor' })
    expect(problems).toEqual(['--lr_scheduler adafactor needs --optimizer_type AdaFactor'])
  })

  const adaFactor: OptimizerRow = { ...findOptimizer('AdamW'), name: 'AdaFactor', rates: 'relative' }

  it('lets AdaFactor find its rate: relative_step is on, rates are dropped, the schedule reports', () => {
    const given = { ...plan, textEncoderLearningRate: 5e-5 }
    const { plan: adjusted, messages, problems } = adjustOptimizer(adaFactor, given)
    expect(adjusted).toEqual({
      ...plan,
      learningRate: null,
      arguments: { relative_step: true },
      scheduler: 'adafactor:0.0001',
    })
    expect(messages).toHaveLength(3)
    expect(problems).toEqual([])
    expect(adjustOptimizer(adaFactor, { ...plan, warmup: true }).problems).toHaveLength(1)
  })

  it('turns relative_step on for warmup_init', () => {
    const given = { ...plan, arguments: { relative_step: false, warmup_init: true } }
    const { plan: adjusted, messages } = adjustOptimizer(adaFactor, given)
    expect(adjusted.arguments).toEqual({ relative_step: true, warmup_init: true })
    expect(messages[0]).toContain('warmup_init needs relative_step')
  })

  it('advises on AdaFactor with a fixed rate, and changes nothing', () => {
    const given = { ...plan, arguments: { relative_step: false, clip_threshold: 2 } }
    const { plan: adjusted, messages } = adjustOptimizer(adaFactor, given)
    expect(adjusted).toEqual(given)
    expect(messages).toHaveLength(3)
    const wanted = { ...plan, arguments: { relative_step: false }, scheduler: 'constant_with_warmup', maxGradNorm: 0 }
    expect(adjustOptimizer(adaFactor, wanted).messages).toEqual([])
  })
})

it('optimizerNames lists the table', () => {
  expect(optimizerNames).toContain('AdamW')
  expect(optimizerNames).toHaveLength(optimizerTable.length)
})
