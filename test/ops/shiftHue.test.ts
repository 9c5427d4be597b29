import { expect, it } from 'vitest'
import { shiftHue } from '../../lib/ops/shiftHue.ts'
import { tensor, zeros } from '../../lib/tensor/create.ts'
import { loadOracle, type Pair } from '../support/dataOracle.ts'

interface ColourFixture {
  readonly colours: {
    readonly size: Pair
    readonly picture: string
    readonly hue: readonly { readonly shift: number; readonly pixels: string }[]
  }
}

const { size, picture, hue } = loadOracle<ColourFixture>('augmentations').colours
const bytes = (base64: string): Uint8Array => new Uint8Array(Buffer.from(base64, 'base64'))
const image = tensor(bytes(picture), [size[1], size[0], 3])

it.each(hue)('turns by $shift as albumentations does', async ({ shift, pixels }) => {
  expect(await shiftHue(image, { shift }).read()).toEqual(bytes(pixels))
})

it('turns every colour and back within the steps of 8 bits', async () => {
  const colours = Uint8Array.from({ length: 3 * 4096 }, (_, i) => {
    const at = Math.floor(i / 3)
    return [at & 15, (at >> 4) & 15, at >> 8][i % 3]! * 17
  })
  const x = tensor(colours, [64, 64, 3])
  const whole = (await shiftHue(x, { shift: 180 }).read()) as Uint8Array
  // Half of one of the 180 steps of hue moves a channel by up to 255 / 60, and the others are rounded too.
  expect(Math.max(...whole.map((value, i) => Math.abs(value - colours[i]!)))).toBeLessThanOrEqual(5)
  const turned = (await shiftHue(x, { shift: 60 }).read()) as Uint8Array
  expect(Array.from(turned.subarray(15 * 3, 15 * 3 + 3))).toEqual([0, 255, 0])
})

it('says what is wrong', () => {
  expect(() => shiftHue(zeros([2, 2, 3]), { shift: 1 })).toThrow('shiftHue: image must be uint8, received float32')
  expect(() => shiftHue(image, { shift: Number.NaN })).toThrow('shiftHue: shift must be a finite number, received NaN')
})
