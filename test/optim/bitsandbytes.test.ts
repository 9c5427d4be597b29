import { describe, expect, it } from 'vitest'
import { dequantizeBlockwise } from '../../lib/ops/quantizeBlockwise.ts'
import { AdamW } from '../../lib/optim/adamW.ts'
import { AdamW8bit } from '../../lib/optim/adamW8bit.ts'
import { AdEMAMix8bit } from '../../lib/optim/adEMAMix.ts'
import {
  type BitsAndBytesEntry,
  type BitsAndBytesStateDict,
  fromBitsAndBytes,
  toBitsAndBytes,
} from '../../lib/optim/bitsandbytes.ts'
import { Lion8bit } from '../../lib/optim/lion.ts'
import type { Optimizer, OptimizerParameter } from '../../lib/optim/optimizer.ts'
import { RAdam } from '../../lib/optim/rAdam.ts'
import { SGDNesterov8bit } from '../../lib/optim/sgd.ts'
import { tensor, zeros } from '../../lib/tensor/create.ts'
import type { DType } from '../../lib/tensor/dtype.ts'
import type { Tensor } from '../../lib/tensor/tensor.ts'
import { baselineBuffers, liveBuffers } from '../support/device.ts'
import { loadFixture } from '../support/fixtureCases.ts'
import { optimizerShapes } from '../support/optimizerSuite.ts'

interface Stored {
  readonly dtype: DType
  readonly shape: readonly number[]
  readonly data: string
}
type StoredEntry = Readonly<Record<string, number | Stored | Readonly<Record<string, Stored>>>>

const { states } = loadFixture<{ readonly states: Readonly<Record<string, Readonly<Record<string, StoredEntry>>>> }>(
  'optimizers/bitsandbytes.json',
)

const isStored = (x: object): x is Stored => 'data' in x

function made(value: Stored): Tensor {
  const bytes = Uint8Array.from(Buffer.from(value.data, 'base64'))
  return tensor(bytes, value.shape, { dtype: value.dtype })
}

function stateDict(name: string): BitsAndBytesStateDict {
  const entry = (from: StoredEntry): BitsAndBytesEntry =>
    Object.fromEntries(
      Object.entries(from).map(([key, x]) => {
        if (typeof x === 'number') return [key, x]
        if (isStored(x)) return [key, made(x)]
        return [key, Object.fromEntries(Object.entries(x).map(([k, inner]) => [k, made(inner)]))]
      }),
    )
  return { state: Object.fromEntries(Object.entries(states[name]!).map(([index, from]) => [index, entry(from)])) }
}

function parameters(): OptimizerParameter[] {
  return (['matrix', 'conv'] as const).map((name) => ({ name, master: zeros(optimizerShapes[name]) }))
}

/** A state dict with the tensors' elements in their places. */
async function elements(dict: unknown): Promise<unknown> {
  if (typeof dict !== 'object' || dict === null) return dict
  if ('read' in dict) return (dict as Tensor).read()
  const entries = Object.entries(dict).map(async ([key, x]) => [key, await elements(x)] as const)
  return Object.fromEntries(await Promise.all(entries))
}

const classes = [
  ['adamW8bit', AdamW8bit],
  ['lion8bit', Lion8bit],
  ['sgdNesterov8bit', SGDNesterov8bit],
  ['adEMAMix8bit', AdEMAMix8bit],
] as const

describe('states of bitsandbytes', () => {
  it.each(classes)('are taken over and given back bit for bit: %s', async (name, Class) => {
    const optimizer: Optimizer = new Class([{ params: parameters() }])
    await fromBitsAndBytes(optimizer, stateDict(name))
    expect(await elements(await toBitsAndBytes(optimizer))).toEqual(await elements(stateDict(name)))
    const flat = await toBitsAndBytes(optimizer, { nested: false })
    expect(Object.keys(flat.state['0']!)).toContain('qmap1')
  })

  it('of versions with blocks of 2048 are coded again', async () => {
    const params = parameters()
    const [old, now] = [new AdamW8bit([{ params }]), new AdamW8bit([{ params }])]
    await fromBitsAndBytes(old, stateDict('adamW8bitOld'))
    await fromBitsAndBytes(now, stateDict('adamW8bit'))
    expect(old.state().steps).toEqual({ matrix: 3, conv: 3 })
    for (const [k, signed] of [
      [1, true],
      [2, false],
    ] as const) {
      const values = async (optimizer: Optimizer): Promise<Float32Array> => {
        const { tensors } = optimizer.state()
        const [codes, absmax] = [tensors.get(`matrix.state${k}`)!, tensors.get(`matrix.absmax${k}`)!]
        return (await dequantizeBlockwise({ codes, absmax }, { signed }).read()) as Float32Array
      }
      const [a, b] = [await values(old), await values(now)]
      const largest = Math.max(...b.map(Math.abs))
      a.forEach((x, i) => {
        // Half a step of the coarser scale, and half of the finer one.
        expect(Math.abs(x - b[i]!)).toBeLessThan(0.0143 * largest)
      })
    }
  })

  it('become float32 moments, and free what they used', async () => {
    const optimizer = new AdamW([{ params: parameters() }])
    const dict = stateDict('adamW8bit')
    const before = await baselineBuffers()
    await fromBitsAndBytes(optimizer, dict)
    expect(await liveBuffers()).toBe(before)
    expect(optimizer.state().tensors.get('matrix.state1')!.dtype).toBe('float32')
  })

  it('that do not fit are refused, and change nothing', async () => {
    const params = parameters()
    const optimizer = new AdamW8bit([{ params }])
    const { state } = stateDict('adamW8bitOld')
    const refuse = (change: BitsAndBytesStateDict['state'], message: string): Promise<void> =>
      expect(fromBitsAndBytes(optimizer, { state: change })).rejects.toThrow(message)
    await refuse({ '0': state['0']! }, 'state must be of 2 parameters, received one of 1')
    await refuse({ '0': state['1']!, '1': state['0']! }, 'state1 of matrix must be of shape [64, 72]')
    await refuse({ ...state, '0': { ...state['0']!, absmax1: zeros([5]) } }, 'state1 of matrix must be with 18 scales')
    await refuse({ ...state, '0': { ...state['0']!, step: -1 } }, 'step of matrix must be a whole number')
    await refuse({ ...state, '0': { step: 3 } }, 'state1 of matrix must be there')
    expect(optimizer.state().steps).toEqual({ matrix: 0, conv: 0 })
    await expect(toBitsAndBytes(new RAdam([{ params }]))).rejects.toThrow('AdamW, Adam, Lion, SGD or AdEMAMix')
  })
})
