import { describe, expect, it } from 'vitest'
import { describeOverflow, LossScaler, type LossScalerOptions } from '../../../lib/train/step/lossScaler.ts'
import { ArgumentError, DivergenceError } from '../../../lib/util/errors.ts'
import { loadFixture } from '../../support/fixtureCases.ts'

interface Steps extends Required<LossScalerOptions> {
  readonly defaults: Required<LossScalerOptions>
  readonly steps: readonly {
    readonly overflow: boolean
    /** After the step. */
    readonly scale: number
    readonly goodSteps: number
    /** Steps that the optimizer has taken. */
    readonly taken: number
  }[]
}

const { defaults, steps, ...settings } = loadFixture<Steps>('loss_scaler/steps.json')

describe('LossScaler', () => {
  it('follows torch.amp.GradScaler through steps of which some overflow', () => {
    const scaler = new LossScaler(settings)
    expect(scaler.scale).toBe(settings.initialScale)
    for (const [i, { overflow, scale, goodSteps, taken }] of steps.entries()) {
      scaler.update(!overflow)
      expect(scaler.state(), `step ${i}`).toEqual({ scale, goodSteps, overflows: i + 1 - taken })
    }
    expect(scaler.overflows).toBe(steps.filter(({ overflow }) => overflow).length)
  })

  it('has the defaults of torch.amp.GradScaler', () => {
    const [scaler, same] = [new LossScaler(), new LossScaler(defaults)]
    const seen: number[] = []
    for (let i = 0; i < defaults.growthInterval + 5; i++) {
      seen.push(scaler.scale)
      for (const one of [scaler, same]) one.update(i !== defaults.growthInterval + 2)
      expect(scaler.state()).toEqual(same.state())
    }
    expect([seen[1999], seen[2000], scaler.scale]).toEqual([65536, 131072, 65536])
    expect(scaler.state().goodSteps).toBe(2)
  })

  it('goes on from a saved state as if there had been no break', () => {
    const whole = new LossScaler(settings)
    let resumed = new LossScaler(settings)
    for (const { overflow } of steps) {
      const state = JSON.parse(JSON.stringify(resumed.state()))
      resumed = new LossScaler(settings)
      resumed.loadState(state)
      for (const scaler of [whole, resumed]) scaler.update(!overflow)
      expect(resumed.state()).toEqual(whole.state())
    }
  })

  it('stops growing where the next scale is no float32 number', () => {
    const scaler = new LossScaler({ initialScale: 2 ** 127, growthInterval: 1 })
    scaler.update(true)
    expect(scaler.state()).toEqual({ scale: 2 ** 127, goodSteps: 0, overflows: 0 })
  })

  it.each([
    [{ initialScale: 0 }, 'LossScaler: initialScale must be a positive float32 number, received 0'],
    [{ initialScale: 1e39 }, 'LossScaler: initialScale must be a positive float32 number, received 1e+39'],
    [{ growthFactor: 1 }, 'LossScaler: growthFactor must be above 1, received 1'],
    [{ backoffFactor: 1 }, 'LossScaler: backoffFactor must be between 0 and 1, received 1'],
    [{ growthInterval: 0 }, 'LossScaler: growthInterval must be a whole number above 0, received 0'],
  ])('refuses %j', (options, message) => {
    expect(() => new LossScaler(options)).toThrow(message)
  })

  it('refuses a state that none can be in, and stays as it was', () => {
    const scaler = new LossScaler()
    const state = scaler.state()
    for (const wrong of [{ scale: Number.NaN }, { goodSteps: -1 }, { overflows: 0.5 }])
      expect(() => scaler.loadState({ ...state, ...wrong })).toThrow(ArgumentError)
    expect(scaler.state()).toEqual(state)
  })

  it('is exhausted once a gradient overflowed without being enlarged', () => {
    const scaler = new LossScaler({ initialScale: 2 })
    const exhausted: boolean[] = []
    for (let i = 0; i < 2; i++) {
      scaler.update(false)
      exhausted.push(scaler.isExhausted)
    }
    expect(exhausted).toEqual([false, true])
  })
})

describe('describeOverflow', () => {
  const state = { scale: 32768, goodSteps: 0, overflows: 1 }

  it('tells the new scale', () => {
    expect(describeOverflow(3, state, null)).toBe(
      'step 3: a gradient overflowed float16; the step was skipped (1 so far), and the loss is multiplied by 32768 from here on',
    )
  })

  it('says what to do where the scale cannot become smaller, and names parameters and pictures', () => {
    const fault = { loss: 1, parameters: ['down', 'up'], pictures: ['in/a.png'], place: 'the backward pass' }
    const run = (): string => describeOverflow(20, { ...state, scale: 0.5 }, fault)
    expect(run).toThrow(DivergenceError)
    expect(run).toThrow(/^step 20: .* \(down, up\)\. Pictures: in\/a\.png\. Train with mixed_precision bf16 or no/)
  })
})
