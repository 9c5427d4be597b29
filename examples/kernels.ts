/** Kernels alone: typed arrays in, typed arrays out. No model, no gradients. */
import { AdamW8bit, attention, groupNormSilu, type Shape, scope, type Tensor, tensor } from 'noisewright'

/** Runs ops, reads the result, and frees everything. */
async function values(body: () => Tensor): Promise<Float32Array> {
  const result = scope(body)
  try {
    return (await result.read()) as Float32Array
  } finally {
    result.dispose()
  }
}

/** Multi-head attention of `q` [tokens, channels] over `k` and `v` [keys, channels], each row-major; like `q`. */
export function attend(
  q: Float32Array,
  k: Float32Array,
  v: Float32Array,
  { channels, heads }: { readonly channels: number; readonly heads: number },
): Promise<Float32Array> {
  const rows = (array: Float32Array): Tensor => tensor(array, [1, array.length / channels, channels])
  return values(() => attention(rows(q), rows(k), rows(v), { heads }))
}

/** silu(groupNorm(x)) of a picture [h, w, c], with a weight and a bias for each channel. */
export function normalize(
  x: Float32Array,
  shape: Shape,
  parameters: { readonly weight: Float32Array; readonly bias: Float32Array; readonly groups: number },
): Promise<Float32Array> {
  const { weight, bias, groups } = parameters
  return values(() =>
    groupNormSilu(tensor(x, [1, ...shape]), tensor(weight, [weight.length]), tensor(bias, [bias.length]), { groups }),
  )
}

/** Steps of AdamW with 8-bit moments from given gradients, one step for each. */
export async function adamWSteps(
  weights: Float32Array,
  gradients: readonly Float32Array[],
  learningRate: number,
): Promise<Float32Array> {
  const master = tensor(weights, [weights.length])
  const optimizer = new AdamW8bit([{ params: [{ name: 'weights', master }] }], { learningRate })
  for (const gradient of gradients) {
    master.grad = tensor(gradient, [gradient.length])
    optimizer.step()
    optimizer.zeroGrad()
  }
  optimizer.dispose()
  return values(() => master)
}
