/** Where the pass of a batch first gives values that are not finite. */

import { contextTensors, type UNet, type UNetContext } from '../../models/stableDiffusion/unet.ts'
import { concatBatch } from '../../ops/concatBatch.ts'
import type { Optimizer } from '../../optim/optimizer.ts'
import { Tensor } from '../../tensor/tensor.ts'
import type { NoisyBatch } from './noise.ts'
import { firstBrokenPlace, latentsPlace, parameterNames } from './stepFault.ts'

/** A batch that has gone through, and how to make again what the U-Net was given: with the same weights and random numbers. */
export interface PassAgain {
  readonly latents: Tensor
  /** Called first: puts back what the pass depended on. */
  begin(): Promise<void>
  /** Owned by the caller, as are the hidden states. */
  prepare(): NoisyBatch
  condition(): UNetContext
}

/**
 * The forward pass of each batch once more, looking at what every op gives.
 * @returns the first place, by the names of the U-Net's and the optimizer's parameters; null where every forward pass is finite
 */
export async function findBrokenPlace(
  passes: readonly PassAgain[],
  { unet, optimizer }: { readonly unet: UNet; readonly optimizer: Optimizer },
): Promise<string | null> {
  const names = parameterNames(optimizer.parameters?.() ?? [])
  for (const { name, tensor } of unet.registry.parameters.values())
    if (!names.has(tensor)) names.set(tensor, `unet.${name}`)
  for (const pass of passes) {
    await pass.begin()
    const inputs = pass.prepare()
    let encoded: UNetContext = []
    const condition = (): Tensor => {
      encoded = pass.condition()
      return encoded instanceof Tensor ? encoded : concatBatch(encoded)
    }
    const stages = [
      { result: latentsPlace, run: () => pass.latents },
      { result: 'the noisy latents', run: () => inputs.noisy },
      { result: 'the hidden states of the captions', run: condition },
      {
        result: 'the prediction of the U-Net',
        run: (_latents: Tensor, noisy: Tensor) => unet.forward(noisy, inputs.times, encoded),
      },
    ]
    try {
      const place = await firstBrokenPlace(stages, names)
      if (place !== null) return place
    } finally {
      for (const used of [inputs.noisy, inputs.target, inputs.times, ...contextTensors(encoded)]) used.dispose()
    }
  }
  return null
}
