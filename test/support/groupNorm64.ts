import { type Array64, array64 } from './float64.ts'

/** Group normalisation in float64, channels last. */
export function groupNorm64(
  [x, weight, bias]: readonly (Array64 | null)[],
  { groups, eps = 1e-5 }: { readonly groups: number; readonly eps?: number },
): Array64 {
  const { shape, data } = x!
  const c = shape.at(-1)!
  const width = c / groups
  const pixels = data.length / (shape[0]! * c)
  const y = array64(shape)
  for (let n = 0; n < shape[0]!; n++) {
    for (let g = 0; g < groups; g++) {
      const members: number[] = []
      for (let p = 0; p < pixels; p++)
        for (let i = 0; i < width; i++) members.push((n * pixels + p) * c + g * width + i)
      let mean = 0
      for (const at of members) mean += data[at]! / members.length
      let variance = 0
      for (const at of members) variance += (data[at]! - mean) ** 2 / members.length
      const rstd = 1 / Math.sqrt(variance + eps)
      for (const at of members) y.data[at] = (data[at]! - mean) * rstd * weight!.data[at % c]! + bias!.data[at % c]!
    }
  }
  return y
}

/** Cases for groupNorm and groupNormSilu: odd sizes, groups of one channel, one group, chunks with a rest, a mean far from zero. */
export const groupNormCases = [
  { name: 'four groups', inputs: [{ shape: [2, 5, 7, 12] }, { shape: [12] }, { shape: [12] }], options: { groups: 4 } },
  { name: 'one channel each', inputs: [{ shape: [3, 9, 5] }, { shape: [5] }, { shape: [5] }], options: { groups: 5 } },
  {
    name: 'one group, parameters in float32',
    inputs: [{ shape: [1, 600, 4] }, { shape: [4], dtype: 'float32' }, { shape: [4], dtype: 'float32' }],
    options: { groups: 1, eps: 1e-6 },
  },
  {
    name: 'several chunks, mean far from zero',
    inputs: [{ shape: [2, 17, 23, 70], offset: 3 }, { shape: [70], offset: 1 }, { shape: [70] }],
    options: { groups: 7 },
  },
] as const
