import { imageToTensor } from '../../lib/ops/imageToTensor.ts'
import { zeros } from '../../lib/tensor/create.ts'
import type { Bench } from '../harness.ts'

export const benches: readonly Bench[] = [
  {
    name: 'imageToTensor 512x512 of 520x768, mirrored',
    bytes: 15 * 512 * 512,
    setup() {
      const image = zeros([520, 768, 3], { dtype: 'uint8' })
      return { run: () => imageToTensor(image, { left: 128, top: 4, width: 512, height: 512, flip: true }) }
    },
  },
]
