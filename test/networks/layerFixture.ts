/** Single layers with the weights of scripts/reference/network_modules.py, and what its fixtures say of modules beside them. */
import { toMemoryLayout } from '../../lib/checkpoints/parameterFile.ts'
import type { KohyaLoraModule } from '../../lib/networks/kohyaLora.ts'
import type { LoraLayer } from '../../lib/networks/layers.ts'
import { Conv2d } from '../../lib/nn/conv2d.ts'
import { Linear } from '../../lib/nn/linear.ts'
import { fileShape, Registry, Weights } from '../../lib/nn/weights.ts'
import { cast } from '../../lib/ops/cast.ts'
import { tensor } from '../../lib/tensor/create.ts'
import { scope } from '../../lib/tensor/scope.ts'
import type { Tensor } from '../../lib/tensor/tensor.ts'
import type { Digest } from '../support/digest.ts'
import { loadFixture } from '../support/fixtureCases.ts'
import { formulaValues } from '../support/formula.ts'

export interface Outcome {
  readonly id: string
  readonly layer: string
  readonly alpha: number
  readonly shapes: Readonly<Record<string, readonly number[]>>
  readonly y: Digest
  readonly dx: Digest
  readonly gradients: Readonly<Record<string, Digest>>
}

export interface LayerCase extends Outcome {
  readonly kind: string
  readonly options: Readonly<Record<string, number | boolean>>
  readonly delta: Digest
}

interface LayersFixture {
  readonly layers: Readonly<
    Record<string, { in: number; out: number; kernel?: 1 | 3; stride?: 1 | 2; x: readonly number[] }>
  >
  readonly cases: readonly LayerCase[]
  readonly dylora: readonly (Outcome & { readonly start: number })[]
  readonly splits: readonly (readonly [size: number, factor: number, small: number, large: number])[]
}

export const fixture = loadFixture<LayersFixture>('network_modules/layers.json')

export function values(name: string, shape: readonly number[], scale: number): Float32Array {
  return formulaValues(name, { shape, kind: 'uniform', scale })
}

/** A layer of the fixture. Projections of 1x1 convolutions can be had in both of the forms that models give them. */
export function makeLayer(
  name: string,
  asProjection = false,
  dtype: 'float32' | 'bfloat16' = 'float32',
): { layer: LoraLayer; registry: Registry } {
  const { in: inFeatures, out, kernel, stride = 1 } = fixture.layers[name]!
  const registry = new Registry((request) => {
    const shape = fileShape(request.shape, request.layout)
    return scope(() => {
      const inFile = tensor(values(`networks/${request.name.replace('.', '/')}`, shape, 0.5), shape)
      return cast(toMemoryLayout(inFile, request), { dtype })
    })
  }, dtype)
  const weights = new Weights(registry, name)
  const layer =
    kernel === undefined || asProjection
      ? new Linear(weights, inFeatures, out, { conv1x1: kernel !== undefined })
      : new Conv2d(weights, inFeatures, out, { kernel, stride })
  return { layer, registry }
}

/** The module of a case as a file has it. */
export function moduleOf({ id, alpha, shapes }: Pick<Outcome, 'id' | 'alpha' | 'shapes'>): KohyaLoraModule {
  const weights = Object.entries(shapes)
    .filter(([suffix]) => suffix !== 'alpha')
    .map(([suffix, shape]) => [suffix, { shape, values: values(`${id}/${suffix}`, shape, 0.5) }] as const)
  return { name: 'm', alpha, weights: Object.fromEntries(weights) }
}

export function input(name: string): Tensor {
  const shape = fixture.layers[name]!.x
  const x = tensor(values(`networks/${name}/x`, shape, 1), shape)
  x.requiresGrad = true
  return x
}

export function outputGradient(name: string, y: Tensor): Tensor {
  return tensor(values(`networks/${name}/dy`, y.shape, 1), y.shape)
}
