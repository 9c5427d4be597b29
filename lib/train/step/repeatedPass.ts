import { backward } from '../../autograd/backward.ts'
import { backwardFromInputs, type Recorder } from '../../autograd/recorder.ts'
import { contextTensors, type UNet, type UNetContext } from '../../models/stableDiffusion/unet.ts'
import { elementLoss } from '../../ops/elementLoss.ts'
import { scale } from '../../ops/scale.ts'
import { scope } from '../../tensor/scope.ts'
import { Tensor } from '../../tensor/tensor.ts'
import { type LossInputs, type LossOptions, sampleTensors } from './loss.ts'
import type { NoisyBatch } from './noise.ts'

export interface RepeatedPass extends NoisyBatch, Omit<LossInputs, 'prediction' | 'target' | 'timesteps'> {
  readonly unet: UNet
  readonly context: UNetContext
  readonly loss: LossOptions
  /** What the loss is multiplied by before the backward pass. */
  readonly share: number
  /** Of the network. */
  readonly strength: number
}

/**
 * The U-Net's forward pass, the loss and the backward pass, with the bits of a training step that calls their ops. Numbers that differ
 * from batch to batch are inputs: timesteps, weights, thresholds, mask; what is made from them in JavaScript stays outside.
 * @returns the loss; noisy latents, target, times and context are disposed then. Null, and they are not, when the ops are to be called
 */
export function repeatPass(recorder: Recorder, pass: RepeatedPass): Tensor | null {
  const { unet, noisy, target, times, context, mask, share, strength } = pass
  const { type = 'l2' } = pass.loss
  const states = contextTensors(context)
  return scope(() => {
    const { weights, thresholds } = sampleTensors(pass, pass.loss)
    const inputs = [noisy, target, times, weights, thresholds, mask, ...states]
    const key = [type, share, strength, unet.gradientCheckpointing, context instanceof Tensor].join()
    const run = recorder.run(inputs, key, (x, wanted, t, w, bends, area, ...hidden): [Tensor] => {
      const prediction = unet.forward(x!, t!, context instanceof Tensor ? hidden[0]! : (hidden as Tensor[]))
      const loss = elementLoss(prediction, wanted!, w!, bends!, area!, { type })
      backward(scale(loss, { factor: share }))
      return [loss]
    })
    mask?.dispose()
    if (run === null) return null
    backwardFromInputs(inputs, run.gradients)
    for (const used of [noisy, target, times, ...states]) used.dispose()
    return run.results[0]
  })
}
