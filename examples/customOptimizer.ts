/** An optimizer of one's own: gradient descent with momentum, made of ops. Use it in a loop, or in a training by its path:
 *
 *   noisewright train-network ... --optimizer_type ./customOptimizer.js#HeavyBall --optimizer_args momentum=0.9
 */
import {
  type ArgumentValues,
  accumulate,
  backward,
  CustomOptimizer,
  mseLoss,
  type OptimizerGroup,
  randomNormal,
  scale,
  scaleInPlace,
  scope,
  type Tensor,
  type UpdateFacts,
  zeros,
} from 'noisewright'

export class HeavyBall extends CustomOptimizer {
  override readonly stateNames = ['velocity']
  readonly #momentum: number

  constructor(groups: readonly OptimizerGroup[], { momentum = 0.9, ...unknown }: ArgumentValues = {}) {
    super(groups)
    if (typeof momentum !== 'number' || !(momentum >= 0 && momentum < 1)) throw new Error('momentum must be in [0, 1)')
    if (Object.keys(unknown).length > 0) throw new Error(`HeavyBall has momentum, not ${Object.keys(unknown)}`)
    this.#momentum = momentum
  }

  protected override update(
    parameter: Tensor,
    gradient: Tensor,
    { velocity }: Readonly<Record<string, Tensor>>,
    { learningRate }: UpdateFacts,
  ): void {
    scaleInPlace(velocity!, this.#momentum)
    accumulate(velocity!, gradient)
    accumulate(parameter, scale(velocity!, { factor: -learningRate }))
  }
}

/** Moves a tensor to a target; returns the loss of every step. */
export async function customOptimizer(steps: number): Promise<number[]> {
  const target = randomNormal([8, 16], { seed: 1 })
  const values = zeros([8, 16])
  values.requiresGrad = true
  const optimizer = new HeavyBall([{ name: 'values', params: [{ name: 'values', master: values }], learningRate: 4 }])
  const losses: number[] = []
  for (let step = 0; step < steps; step++) {
    const loss = scope(() => {
      const loss = mseLoss(values, target, null)
      backward(loss)
      return loss
    })
    optimizer.step()
    optimizer.zeroGrad()
    losses.push(Number((await loss.read())[0]))
    loss.dispose()
  }
  for (const part of [optimizer, values, target]) part.dispose()
  return losses
}
