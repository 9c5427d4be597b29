/** The slight changes of colour of `color_aug`, with the probabilities and ranges of sd-scripts. */

/** A turn of the hue in OpenCV's units, two degrees each, or an exponent of the brightness. */
export type ColorChange =
  | { readonly kind: 'hue'; readonly shift: number }
  | { readonly kind: 'gamma'; readonly exponent: number }

const probability = 0.33
const largestShift = 8
const exponents = [0.95, 1.05] as const

/** The change for one use, or undefined for none, in two of three uses. Draws whether, which, and how much. */
export function drawColorChange(random: { float(): number }): ColorChange | undefined {
  if (random.float() >= probability) return undefined
  if (random.float() < 0.5) return { kind: 'hue', shift: (2 * random.float() - 1) * largestShift }
  const [least, most] = exponents
  return { kind: 'gamma', exponent: least + (most - least) * random.float() }
}

/** What becomes of each 8-bit value: the floor of 255 (v / 255)^exponent, with albumentations' rounding of v / 255. */
export function gammaTable(exponent: number): Uint8Array {
  return Uint8Array.from({ length: 256 }, (_, v) => Math.floor((v * (1 / 255)) ** exponent * 255))
}
