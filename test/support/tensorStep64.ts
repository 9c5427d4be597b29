/** The rules of `tensorStep` and `muonStep` in float64, straight from their formulas. */
import type { FactoredAxes, TensorRule } from '../../lib/ops/tensorStep.ts'

type Numbers = number[] | Float64Array

/** A parameter and its states, in the order of the op's; stepped in place. */
export interface Tensor64 {
  readonly p: Float64Array
  readonly states: readonly Float64Array[]
  readonly axes: FactoredAxes | null
}

function meanOf(count: number, term: (i: number) => number): number {
  let sum = 0
  for (let i = 0; i < count; i++) sum += term(i)
  return sum / count
}

const rms = (x: Numbers): number => Math.sqrt(meanOf(x.length, (i) => x[i]! ** 2))

/** Moves the means of `s` over columns and over rows into the states, and returns 1 / root of what they say of each element. */
function factored(s: Numbers, axes: FactoredAxes, row: Numbers, column: Numbers, beta: number): Float64Array {
  const [outer, rows, columns, inner] = axes
  const at = (o: number, r: number, c: number, i: number): number => ((o * rows + r) * columns + c) * inner + i
  const factor = new Float64Array(s.length)
  for (let o = 0; o < outer; o++)
    for (let i = 0; i < inner; i++) {
      const rowAt = (r: number): number => (o * rows + r) * inner + i
      const columnAt = (c: number): number => (o * columns + c) * inner + i
      for (let r = 0; r < rows; r++)
        row[rowAt(r)] = beta * row[rowAt(r)]! + (1 - beta) * meanOf(columns, (c) => s[at(o, r, c, i)]!)
      for (let c = 0; c < columns; c++)
        column[columnAt(c)] = beta * column[columnAt(c)]! + (1 - beta) * meanOf(rows, (r) => s[at(o, r, c, i)]!)
      const mean = meanOf(rows, (r) => row[rowAt(r)]!)
      for (let r = 0; r < rows; r++)
        for (let c = 0; c < columns; c++)
          factor[at(o, r, c, i)] = 1 / Math.sqrt((row[rowAt(r)]! / mean) * column[columnAt(c)]!)
    }
  return factor
}

function normalised({ states, axes }: Tensor64, g: Numbers, beta2: number, eps: number, clip: number): Float64Array {
  const s = Float64Array.from(g, (x) => x * x + eps)
  const [row, column] = states as [Float64Array, Float64Array]
  let factor: Float64Array
  if (axes) factor = factored(s, axes, row, column, beta2)
  else {
    for (let i = 0; i < s.length; i++) row[i] = beta2 * row[i]! + (1 - beta2) * s[i]!
    factor = row.map((v) => 1 / Math.sqrt(v))
  }
  const u = factor.map((f, i) => f * g[i]!)
  const divisor = Math.max(1, rms(u) / clip)
  return u.map((x) => x / divisor)
}

/** One step with the op's numbers. Returns the rate that it came to. */
export function tensorStep64(rule: TensorRule, tensor: Tensor64, g: Numbers, k: readonly number[]): number {
  const { p, states, axes } = tensor
  const [k0, k1, k2, k3, k4, k5, k6, k7, k8, k9] = k as unknown as Record<number, number> & Iterable<number>
  if (rule === 'stableAdamW') {
    const [m, v] = states as [Float64Array, Float64Array]
    g.forEach((x: number, i: number) => {
      m[i] = k0! * m[i]! + k1! * x
      v[i] = k2! * v[i]! + k3! * x * x
    })
    const size = Math.sqrt(meanOf(p.length, (i) => g[i]! ** 2 / Math.max(v[i]!, k6!)))
    const rate = k4! / Math.max(1, size)
    p.forEach((x, i) => {
      p[i] = x * (1 - rate * k7!) - (rate * m[i]!) / (Math.sqrt(v[i]!) + k5!)
    })
    return rate
  }
  const moment = states[2]
  if (rule === 'adaFactor') {
    const rate = k4! * (k5 ? Math.max(k3!, rms(p)) : 1)
    normalised(tensor, g, k0!, k2!, k6!).forEach((x, i) => {
      let update = rate * x
      if (moment) update = moment[i] = k7! * moment[i]! + k8! * update
      p[i] = p[i]! * (1 - k9! * rate) - update
    })
    return rate
  }
  const u = normalised(tensor, g, k0!, k2!, k5!)
  u.forEach((x, i) => {
    moment![i] = k6! * moment![i]! + k7! * x
  })
  const errors = u.map((x, i) => (x - moment![i]!) ** 2 + k3!)
  const factor = axes ? factored(errors, axes, states[3]!, states[4]!, k9!) : errors.fill(1)
  p.forEach((x, i) => {
    p[i] = x * (1 - k4! * k8!) - k4! * moment![i]! * factor[i]!
  })
  return k4!
}

function product(a: readonly number[][], b: readonly number[][]): number[][] {
  return a.map((row) => b[0]!.map((_, j) => row.reduce((sum, x, k) => sum + x * b[k]![j]!, 0)))
}

/** What Newton and Schulz' iteration makes of a matrix. */
export function orthogonal64(u: Numbers, rows: number, columns: number, steps: number): number[] {
  const norm = Math.sqrt(meanOf(u.length, (i) => u[i]! ** 2) * u.length) + 1e-7
  let x = Array.from({ length: rows }, (_, r) => Array.from({ length: columns }, (_, c) => u[r * columns + c]! / norm))
  for (let step = 0; step < steps; step++) {
    const gram = product(
      x,
      x[0]!.map((_, c) => x.map((row) => row[c]!)),
    )
    const square = product(gram, gram)
    const polynomial = gram.map((row, i) => row.map((a, j) => -4.775 * a + 2.0315 * square[i]![j]!))
    const moved = product(polynomial, x)
    x = x.map((row, i) => row.map((a, j) => 3.4445 * a + moved[i]![j]!))
  }
  return x.flat()
}
