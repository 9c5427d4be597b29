import { type MuonSlot, muonStep } from '../../lib/ops/muonStep.ts'
import { sumOf } from '../error.ts'
import type { Bench } from '../harness.ts'
import { randomNormal, zeros } from '../tensors.ts'

type Matrices = readonly (readonly [count: number, rows: number, columns: number])[]

/** Five steps of three products: two of the matrix with its shorter side's square, one of squares. */
function flopsOf(matrices: Matrices): number {
  return sumOf(matrices.length, (i) => {
    const [count, rows, columns] = matrices[i]!
    const [side, length] = [Math.min(rows, columns), Math.max(rows, columns)]
    return count * 5 * (4 * side ** 2 * length + 2 * side ** 3)
  })
}

function bench(name: string, matrices: Matrices, half = false): Bench {
  return {
    name: `muon ${name}${half ? ' bfloat16' : ''}`,
    flops: flopsOf(matrices),
    setup() {
      const slots = matrices.flatMap(([count, rows, columns], kind) =>
        Array.from(
          { length: count },
          (_, i): MuonSlot => ({
            param: randomNormal([rows, columns], { seed: 1, stream: 1000 * kind + i }),
            gradient: randomNormal([rows, columns], { seed: 2, stream: 1000 * kind + i }),
            momentum: zeros([rows, columns]),
            copy: null,
            keep: 0.95,
            nesterov: true,
            decay: 1,
            rate: 0.02,
          }),
        ),
      )
      const run = () => {
        muonStep(slots, { half })
        return []
      }
      return { run }
    },
  }
}

const lora: Matrices = [
  [200, 16, 768],
  [200, 768, 16],
]

export const benches: readonly Bench[] = [
  bench('lora 400 of rank 16', lora),
  bench('linear 640x640', [[4, 640, 640]]),
  bench('linear 640x640', [[4, 640, 640]], true),
  bench('conv 320x2880', [[2, 320, 2880]]),
]
