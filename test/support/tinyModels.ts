/** Tiny models with the fixtures' formula weights, and their gradients in the layout of files. */
import { toFileLayout, toMemoryLayout } from '../../lib/checkpoints/parameterFile.ts'
import { type StableDiffusionConfig, tinySd1, tinySd2 } from '../../lib/models/stableDiffusion/config.ts'
import { fileShape, type Registry, type WeightSource } from '../../lib/nn/weights.ts'
import { cast } from '../../lib/ops/cast.ts'
import { tensor } from '../../lib/tensor/create.ts'
import type { FloatDType } from '../../lib/tensor/dtype.ts'
import { scope } from '../../lib/tensor/scope.ts'
import type { DeviceName, Tensor } from '../../lib/tensor/tensor.ts'
import { type DigestTolerance, expectDigest } from './digest.ts'
import { formulaValues, parameterValues } from './formula.ts'
import type { ParameterDigests, TinyModelName } from './modelFixture.ts'
import { numbers, roundedTensor } from './opSuite.ts'

export const tinyConfigs: Readonly<Record<TinyModelName, StableDiffusionConfig>> = { tinySd1, tinySd2 }

/** Weights by the formula, keyed by `<prefix>.<parameter name>` over the file's layout. */
export function formulaWeights(prefix: 'unet' | 'text_encoder' | 'vae', device: DeviceName = 'cpu'): WeightSource {
  return (request) =>
    scope(() => {
      const shape = fileShape(request.shape, request.layout)
      const inFile = tensor(parameterValues(`${prefix}.${request.name}`, shape), shape, { device })
      return cast(toMemoryLayout(inFile, request), { dtype: request.dtype })
    })
}

/** A formula input, standard normal, named `<model>/<section>/<input>`. */
export function formulaInput(
  name: string,
  shape: readonly number[],
  dtype: FloatDType = 'float32',
  device: DeviceName = 'cpu',
): Tensor {
  return roundedTensor(formulaValues(name, { shape, kind: 'normal-like' }), shape, dtype, device)
}

export function trainAll(registry: Registry): void {
  for (const { tensor } of registry.parameters.values()) tensor.requiresGrad = true
}

/** Compares every gradient of a model with the fixture; no parameter may be left over on either side. */
export async function expectGradients(
  registry: Registry,
  prefix: string,
  digests: ParameterDigests,
  tolerance: DigestTolerance,
  only: (name: string) => boolean = () => true,
): Promise<void> {
  const missing = new Set(Object.keys(digests))
  for (const record of registry.parameters.values()) {
    if (!only(record.name)) continue
    const name = `${prefix}.${record.name}`
    const digest = digests[name]
    if (!digest) throw new Error(`the fixture has no gradient of ${name}`)
    missing.delete(name)
    const { grad } = record.tensor
    if (!grad) throw new Error(`${name} received no gradient`)
    const inFile = scope(() => toFileLayout(grad, record))
    expectDigest(await numbers(inFile), digest, tolerance)
    if (inFile !== grad) inFile.dispose()
  }
  if (missing.size > 0) throw new Error(`parameters of the fixture that the model lacks: ${[...missing].join(', ')}`)
}
