/** The activations in float64, for the oracles of tests. */

/** Error function to about 1e-15: a power series near 0, a continued fraction far from it. */
export function erf64(x: number): number {
  const a = Math.abs(x)
  if (a < 3) {
    let term = a
    let sum = a
    for (let n = 1; n < 200 && Math.abs(term) > 1e-18; n++) {
      term *= (-a * a) / n
      sum += term / (2 * n + 1)
    }
    return Math.sign(x) * (2 / Math.sqrt(Math.PI)) * sum
  }
  let fraction = 0
  for (let k = 60; k > 0; k--) fraction = k / 2 / (a + fraction)
  return Math.sign(x) * (1 - Math.exp(-a * a) / Math.sqrt(Math.PI) / (a + fraction))
}

export function sigmoid64(x: number): number {
  return 1 / (1 + Math.exp(-x))
}

export function silu64(x: number): number {
  return x * sigmoid64(x)
}

export function gelu64(x: number): number {
  return 0.5 * x * (1 + erf64(x / Math.SQRT2))
}

export function quickGelu64(x: number): number {
  return x * sigmoid64(1.702 * x)
}
