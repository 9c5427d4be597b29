/** Low-rank branches beside the layers of a module of one's own. Its weights stay as they are; the branches learn to negate a picture. */
import {
  AdamW,
  backward,
  Conv2d,
  Linear,
  type LowRankTerm,
  type Model,
  mseLoss,
  Registry,
  randomUniform,
  randomWeights,
  scale,
  scope,
  silu,
  type Tensor,
  type WeightSource,
  Weights,
  zeros,
} from 'noisewright'

/** Convolution, projection of every pixel, convolution: [n, h, w, 3] to the same. */
class TinyFilter implements Model {
  readonly registry: Registry
  readonly convIn: Conv2d
  readonly proj: Linear
  readonly convOut: Conv2d

  constructor(source: WeightSource) {
    this.registry = new Registry(source, 'float32')
    const weights = new Weights(this.registry)
    this.convIn = new Conv2d(weights.at('conv_in'), 3, 16)
    this.proj = new Linear(weights.at('proj'), 16, 16)
    this.convOut = new Conv2d(weights.at('conv_out'), 16, 3)
  }

  forward(x: Tensor): Tensor {
    return scope(() => this.convOut.forward(this.proj.forward(silu(this.convIn.forward(x)), { activation: 'silu' })))
  }

  dispose(): void {
    this.registry.dispose()
  }
}

/** Puts a branch beside every layer: y += scale (x down) up, with `up` zero at first, so that nothing changes before training. */
function attachBranches({ registry }: Model, rank: number): { readonly name: string; readonly master: Tensor }[] {
  const layers: [string, Linear | Conv2d][] = [...registry.linears, ...registry.convs]
  return layers.flatMap(([path, layer], stream) => {
    const [out, ...inner] = layer.weight.shape as [number, ...number[]]
    const bound = 1 / Math.sqrt(inner.reduce((product, size) => product * size, 1))
    const down = randomUniform([rank, ...inner], { seed: 1, stream, low: -bound, high: bound })
    const up = zeros([out, rank])
    const term: LowRankTerm = { kind: 'lowRank', down, up, scale: 1, dropout: null, rankDropout: null }
    layer.branch = { term: () => term }
    return [
      { name: `${path}.lora_down.weight`, master: down },
      { name: `${path}.lora_up.weight`, master: up },
    ]
  })
}

export async function loraOnOwnModule(steps: number): Promise<number[]> {
  const model = new TinyFilter(randomWeights(2))
  const params = attachBranches(model, 4)
  for (const { master } of params) master.requiresGrad = true
  const optimizer = new AdamW([{ params }], { learningRate: 1e-2 })
  const picture = randomUniform([1, 16, 16, 3], { seed: 3, low: -1, high: 1 })
  const losses: number[] = []
  for (let step = 0; step < steps; step++) {
    const loss = scope(() => {
      const loss = mseLoss(model.forward(picture), scale(picture, { factor: -1 }), null)
      backward(loss)
      return loss
    })
    optimizer.step()
    optimizer.zeroGrad()
    losses.push(Number((await loss.read())[0]))
    loss.dispose()
  }
  for (const part of [optimizer, model, picture, ...params.map(({ master }) => master)]) part.dispose()
  return losses
}
