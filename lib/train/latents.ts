/** From decoded pictures to latents: resized, cropped, mirrored and encoded. */
import type { ResizeInterpolation } from '../config/datasetConfig.ts'
import type { CropPlan } from '../data/cropPlan.ts'
import type { DecodedImage } from '../data/image.ts'
import type { Vae } from '../models/stableDiffusion/vae.ts'
import { concatBatch } from '../ops/concatBatch.ts'
import { imageToTensor } from '../ops/imageToTensor.ts'
import { posteriorSample } from '../ops/posteriorSample.ts'
import { type ResizeMethod, resizeImage } from '../ops/resizeImage.ts'
import { randomNormal, tensor } from '../tensor/create.ts'
import { scope } from '../tensor/scope.ts'
import type { Tensor } from '../tensor/tensor.ts'

/** How a picture is resized for its plan: with `auto` by Lanczos where a side grows. */
export function methodOf(interpolation: ResizeInterpolation, { source, resized }: CropPlan): ResizeMethod {
  if (interpolation !== 'auto') return interpolation
  return resized.width > source.width || resized.height > source.height ? 'lanczos' : 'area'
}

/** A decoded picture as the VAE takes it: resized, cropped, mirrored if asked, [1, h, w, 3] in [-1, 1]. */
export function pictureTensor(
  { width, height, pixels }: DecodedImage,
  crop: CropPlan,
  flip: boolean,
  interpolation: ResizeInterpolation = 'area',
): Tensor {
  return scope(() => {
    const picture = tensor(pixels, [height, width, 3])
    const { resized, left, top, target } = crop
    const fitted =
      resized.width === width && resized.height === height
        ? picture
        : resizeImage(picture, { ...resized, method: methodOf(interpolation, crop) })
    return imageToTensor(fitted, { left, top, width: target.width, height: target.height, flip })
  })
}

/**
 * Encodes pictures and draws from the posterior, in float32 and without the scaling factor. Not differentiable.
 * @param pixels [n, h, w, 3], uint8, or float32 in [-1, 1]
 * @param streams one for each picture: the same stream gives the same latent, whatever is encoded beside it
 */
export function encodePictures(vae: Vae, pixels: Tensor, seed: bigint, streams: readonly bigint[]): Tensor {
  return scope(() => {
    const moments = vae.encodePictures(pixels)
    const [, h, w, channels] = moments.shape as readonly [number, number, number, number]
    const noise = concatBatch(streams.map((stream) => randomNormal([1, h, w, channels / 2], { seed, stream })))
    return posteriorSample(moments, noise)
  })
}
