/**
 * The networks of Stable Diffusion 1.5 and 2.1 in their real sizes, against diffusers and transformers.
 *
 * `npm run test:full` runs the files of this folder, each in its own process, one after the other; `npm test` does not. On two busy
 * cores it took 4 to 6 minutes for each U-Net, 5 for the others together, and 6.6 GB of memory at most; each file prints its own.
 * Weights and inputs come from the formula that scripts/reference/fullSize.py computes too: there is nothing to download.
 *
 * float32 has to agree with a float64 reference within a fixed bound. bfloat16 is measured against the same reference, and may lose a
 * quarter more than PyTorch itself loses in bfloat16, which the fixtures record.
 */
import { afterAll, expect } from 'vitest'
import { toMemoryLayout } from '../../lib/checkpoints/parameterFile.ts'
import { fileShape, type Registry, type WeightSource } from '../../lib/nn/weights.ts'
import { cast } from '../../lib/ops/cast.ts'
import { tensor } from '../../lib/tensor/create.ts'
import type { FloatDType } from '../../lib/tensor/dtype.ts'
import { memory } from '../../lib/tensor/runtime.ts'
import { scope } from '../../lib/tensor/scope.ts'
import type { Tensor } from '../../lib/tensor/tensor.ts'
import { collectGarbage } from '../support/device.ts'
import { type Digest, type DigestTolerance, expectDigest } from '../support/digest.ts'
import { loadFixture } from '../support/fixtureCases.ts'
import { elementCount, type FormulaKind, formulaValues, parameterValues } from '../support/formula.ts'

export type FullDType = Extract<FloatDType, 'float32' | 'bfloat16'>
export const fullDtypes: readonly FullDType[] = ['float32', 'bfloat16']

/** Errors relative to the rms of the reference. */
interface RelativeErrors {
  readonly rms: number
  readonly max: number
}

export interface FullCase {
  readonly output: Digest
  /** What PyTorch loses against float64, over all elements. */
  readonly pytorch: Readonly<Record<FullDType, RelativeErrors>>
}

export interface FullFixture<Case extends FullCase> {
  readonly parameters: number
  readonly captions?: readonly string[]
  readonly cases: Readonly<Record<string, Case>>
}

/** Reads test/fixtures/fullSize/<file>.json; the ids of its digests are '<file>/<case>'. */
export function loadFullFixture<Case extends FullCase>(file: string): FullFixture<Case> {
  const fixture = loadFixture<FullFixture<Case>>(`fullSize/${file}.json`)
  for (const [name, { output }] of Object.entries(fixture.cases)) Object.assign(output, { id: `${file}/${name}` })
  return fixture
}

const sharpened = /\.(to_q|to_k|q_proj|k_proj)\.weight$/
const sharpness = Math.fround(Math.SQRT2)

/** Weights by the formula; those of queries and keys are sqrt(2) times as large, so that attention picks among tokens. */
export function fullWeights(prefix: 'unet' | 'text_encoder' | 'vae'): WeightSource {
  return (request) =>
    scope(() => {
      const shape = fileShape(request.shape, request.layout)
      const values = parameterValues(`${prefix}.${request.name}`, shape)
      if (sharpened.test(request.name)) for (let i = 0; i < values.length; i++) values[i]! *= sharpness
      return cast(toMemoryLayout(tensor(values, shape), request), { dtype: request.dtype })
    })
}

/** A formula input in the type a model computes in. */
export function fullInput(
  name: string,
  shape: readonly number[],
  dtype: FullDType,
  kind: FormulaKind = 'normal-like',
): Tensor {
  return cast(tensor(formulaValues(name, { shape, kind }), shape), { dtype })
}

export function expectParameterCount(registry: Registry, expected: number): void {
  let count = 0
  for (const { shape } of registry.parameters.values()) count += elementCount(shape)
  expect(count).toBe(expected)
}

/** Largest errors allowed of an output. */
export function toleranceOf({ pytorch }: FullCase, dtype: FullDType, float32: DigestTolerance): DigestTolerance {
  if (dtype === 'float32') return float32
  const { rms, max } = pytorch.bfloat16
  return { rms: 1.25 * rms, max: 1.5 * max }
}

/** Runs `compute`, compares what it returns with the fixture, and prints errors, seconds and memory. */
export async function check(
  fullCase: FullCase,
  dtype: FullDType,
  float32: DigestTolerance,
  compute: () => Tensor,
): Promise<void> {
  const { output: digest, pytorch } = fullCase
  await collectGarbage()
  const started = performance.now()
  const y = scope(() => cast(compute(), { dtype: 'float32' }))
  const values = (await y.read()) as Float32Array
  const seconds = (performance.now() - started) / 1000
  expect(y.shape).toEqual(digest.shape)
  y.dispose()
  const found = sampleErrors(values, digest)
  const tolerance = toleranceOf(fullCase, dtype, float32)
  const show = (errors: RelativeErrors): string =>
    `rms ${errors.rms.toExponential(1)}, max ${errors.max.toExponential(1)}`
  console.log(
    `${digest.id} ${dtype}: ${show(found)}; allowed ${show(tolerance)}; PyTorch ${show(pytorch[dtype])}; ` +
      `${seconds.toFixed(1)} s, device peak ${gigabytes(memory().peakBytes)}`,
  )
  expect(memory().fallbacks).toBe(0)
  expectDigest(values, digest, tolerance)
  expect(found.rms, `${digest.id}: rms of the errors of the samples`).toBeLessThanOrEqual(1.5 * tolerance.rms)
}

/** Errors among the elements that a digest stores. */
function sampleErrors(values: Float32Array, { samples = [], stride = 1, rms }: Digest): RelativeErrors {
  const errors = samples.map((sample, k) => Math.abs(values[k * stride]! - sample) / rms)
  const squares = errors.reduce((sum, error) => sum + error * error, 0)
  return { rms: Math.sqrt(squares / errors.length), max: Math.max(...errors) }
}

const gigabytes = (bytes: number): string => `${(bytes / 1e9).toFixed(1)} GB`

/** Prints how long a file took and how much memory its process held at most. */
export function reportProcess(name: string): void {
  const started = performance.now()
  afterAll(() => {
    const minutes = (performance.now() - started) / 60_000
    console.log(`${name}: ${minutes.toFixed(1)} minutes, ${gigabytes(process.resourceUsage().maxRSS * 1024)} at most`)
  })
}
