/**
 * Exchange of optimizer states with bitsandbytes. A state dict there has, for each parameter by its number, `step`, `state1` and
 * `state2` (codes in the parameter's shape, or float32 of small ones), and for codes `qmap1`, `absmax1` and so on: the table of
 * the codes and one scale for every 256 elements (2048 before version 0.44). Since 0.49.2 all but `step` lies one level deeper.
 */
import { blockCount, quantizationMap } from '../ops/quantizeBlockwise.ts'
import { tensor } from '../tensor/create.ts'
import { elementCount, formatShape, type Shape, sameShape } from '../tensor/shape.ts'
import type { Tensor } from '../tensor/tensor.ts'
import { ArgumentError } from '../util/errors.ts'
import type { Optimizer, OptimizerParameter, OptimizerState } from './optimizer.ts'

const nestedKey = '__bnb_optimizer_quant_state__'
const oldBlock = 2048

/** What bitsandbytes keeps for one parameter, as its state dict names it. */
export type BitsAndBytesEntry = Readonly<Record<string, Tensor | number | bigint | Readonly<Record<string, Tensor>>>>

export interface BitsAndBytesStateDict {
  /** By the parameters' numbers, in the order of the optimizer's. */
  readonly state: Readonly<Record<string, BitsAndBytesEntry>>
}

export interface ToBitsAndBytesOptions {
  /** One level deeper, as versions from 0.49.2 write it; those before read it flat only. Default true. */
  readonly nested?: boolean
}

/** Which of our moments each of its states holds, and whether they have a sign. */
type Layout = readonly { readonly moments: readonly number[]; readonly signed: boolean }[]

function layoutOf(optimizer: Optimizer): Layout {
  const family = optimizer.name.replace(/^paged|8bit$|32bit$/gi, '').toLowerCase()
  const first = { moments: [1], signed: true }
  if (family === 'adam' || family === 'adamw') return [first, { moments: [2], signed: false }]
  if (family === 'lion' || family === 'sgd' || family === 'sgdnesterov') return [first]
  if (family === 'ademamix')
    return [
      { moments: [1, 2], signed: true },
      { moments: [3], signed: false },
    ]
  const known = 'AdamW, Adam, Lion, SGD or AdEMAMix, with states of 8 or 32 bits'
  throw new ArgumentError('bitsandbytes', 'optimizer', known, optimizer.name)
}

function parametersOf(optimizer: Optimizer): readonly OptimizerParameter[] {
  const parameters = optimizer.parameters?.()
  if (parameters) return parameters
  throw new ArgumentError('bitsandbytes', 'optimizer', 'one that lists its parameters', optimizer.name)
}

/** A fresh tensor with the elements of several, one after the other. */
async function stacked(tensors: readonly Tensor[], shape: Shape): Promise<Tensor> {
  const { dtype } = tensors[0]!
  const parts = await Promise.all(tensors.map(async (t) => (await t.read()) as Uint8Array | Float32Array))
  const all = dtype === 'uint8' ? new Uint8Array(elementCount(shape)) : new Float32Array(elementCount(shape))
  let at = 0
  for (const part of parts) {
    all.set(part, at)
    at += part.length
  }
  return tensor(all, shape, { dtype })
}

/**
 * The states as bitsandbytes has them, in tensors on the CPU that are the caller's.
 * @throws ArgumentError for optimizers that bitsandbytes has not
 */
export async function toBitsAndBytes(
  optimizer: Optimizer,
  { nested = true }: ToBitsAndBytesOptions = {},
): Promise<BitsAndBytesStateDict> {
  const layout = layoutOf(optimizer)
  const { tensors, steps } = optimizer.state()
  const state: Record<string, BitsAndBytesEntry> = {}
  for (const [index, { name, master }] of parametersOf(optimizer).entries()) {
    const entry: Record<string, Tensor> = {}
    for (const [k, { moments, signed }] of layout.entries()) {
      const of = (kind: string): Tensor[] => moments.flatMap((moment) => tensors.get(`${name}.${kind}${moment}`) ?? [])
      const stack = moments.length > 1 ? [moments.length] : []
      if (of('state').length === 0) continue
      entry[`state${k + 1}`] = await stacked(of('state'), [...stack, ...master.shape])
      if (of('absmax').length === 0) continue
      entry[`qmap${k + 1}`] = quantizationMap({ signed })
      entry[`absmax${k + 1}`] = await stacked(of('absmax'), [...stack, blockCount(master.size)])
    }
    const step = steps[name]!
    state[index] = nested ? { step, [nestedKey]: entry } : { step, ...entry }
  }
  return { state }
}

/**
 * Takes over states of bitsandbytes, with scales for 256 or 2048 elements, flat or nested. Codes are kept when their table is ours;
 * otherwise they are read with their own table and coded again.
 * @throws ArgumentError when they do not fit the optimizer's parameters; the optimizer is then unchanged
 */
export async function fromBitsAndBytes(optimizer: Optimizer, { state }: BitsAndBytesStateDict): Promise<void> {
  const layout = layoutOf(optimizer)
  const parameters = parametersOf(optimizer)
  const count = Object.keys(state).length
  if (count !== parameters.length)
    throw new ArgumentError('fromBitsAndBytes', 'state', `of ${parameters.length} parameters`, `one of ${count}`)
  const steps: Record<string, number> = {}
  const tensors = new Map<string, Tensor>()
  try {
    for (const [index, { name, master }] of parameters.entries()) {
      const entry = flattened(state[index] ?? {})
      steps[name] = await stepOf(entry.step, name)
      for (const [k, { moments, signed }] of layout.entries()) {
        const parts = await readState(entry, k + 1, { name, like: master, count: moments.length, signed })
        parts.forEach(({ values, absmax }, i) => {
          tensors.set(`${name}.state${moments[i]}`, values)
          if (absmax) tensors.set(`${name}.absmax${moments[i]}`, absmax)
        })
      }
    }
    const loaded: OptimizerState = { optimizer: optimizer.name, steps, tensors }
    optimizer.loadState(loaded)
  } finally {
    for (const t of tensors.values()) t.dispose()
  }
}

function flattened(entry: BitsAndBytesEntry): Readonly<Record<string, unknown>> {
  return { ...entry, ...(entry[nestedKey] as Readonly<Record<string, Tensor>> | undefined) }
}

async function stepOf(step: unknown, name: string): Promise<number> {
  const value = isTensor(step) ? Number((await step.read())[0]) : Number(step)
  if (!Number.isInteger(value) || value < 0)
    throw new ArgumentError('fromBitsAndBytes', `step of ${name}`, 'a whole number', String(step))
  return value
}

const isTensor = (x: unknown): x is Tensor => typeof x === 'object' && x !== null && 'dtype' in x && 'shape' in x

interface Expected {
  readonly name: string
  /** The parameter: moments have its shape, beside it. */
  readonly like: Tensor
  /** Moments in one tensor. */
  readonly count: number
  readonly signed: boolean
}

interface Part {
  /** Codes with scales, or float32 without. */
  readonly values: Tensor
  readonly absmax: Tensor | null
}

/** The moments of `state<k>`, as codes of ours where they are, else as float32. */
async function readState(entry: Readonly<Record<string, unknown>>, k: number, expected: Expected): Promise<Part[]> {
  const { name, count, signed } = expected
  const { shape, device } = expected.like
  const fail = (what: string, received: unknown): never => {
    throw new ArgumentError('fromBitsAndBytes', `state${k} of ${name}`, what, String(received))
  }
  const stored = entry[`state${k}`]
  if (!isTensor(stored)) return fail('there', stored)
  const whole = count > 1 ? [count, ...shape] : shape
  if (!sameShape(stored.shape, whole)) return fail(`of shape ${formatShape(whole)}`, formatShape(stored.shape))
  const size = elementCount(shape)
  const values = await stored.read()
  const pieces = Array.from({ length: count }, (_, i) => values.subarray(i * size, (i + 1) * size))
  if (stored.dtype === 'float32')
    return pieces.map((piece) => ({ values: tensor(piece as Float32Array, shape, { device }), absmax: null }))
  if (stored.dtype !== 'uint8') return fail('uint8 or float32', stored.dtype)

  const [qmap, scales] = [entry[`qmap${k}`], entry[`absmax${k}`]]
  if (!isTensor(qmap) || qmap.size !== 256) return fail('with a table of 256 values', qmap)
  if (!isTensor(scales)) return fail('with its scales', scales)
  const blocks = scales.size / count
  const block = blocks === blockCount(size) ? 256 : blocks === Math.ceil(size / oldBlock) ? oldBlock : null
  if (block === null) return fail(`with ${count * blockCount(size)} scales`, scales.size)
  const table = (await qmap.read()) as Float32Array
  const absmax = (await scales.read()) as Float32Array
  const ours = quantizationMap({ signed })
  const same = alike(table, (await ours.read()) as Float32Array)
  ours.dispose()
  return pieces.map((codes, i) => {
    const own = absmax.subarray(i * blocks, (i + 1) * blocks)
    if (same && block === 256)
      return {
        values: tensor(codes as Uint8Array, shape, { dtype: 'uint8', device }),
        absmax: tensor(own, [blocks], { device }),
      }
    const decoded = Float32Array.from(codes as Uint8Array, (code, j) => table[code]! * own[Math.floor(j / block)]!)
    return { values: tensor(decoded, shape, { device }), absmax: null }
  })
}

/** Equal but for the last two bits: versions evaluate the table's formula in different orders. */
function alike(a: Float32Array, b: Float32Array): boolean {
  return a.every((x, i) => Math.abs(x - b[i]!) <= 4 * 2 ** -23 * Math.abs(b[i]!))
}
