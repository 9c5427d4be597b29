/** From decoded pictures to latents: resized, cropped, mirrored and encoded. */
import type { ResizeInterpolation } from '../../config/datasetConfig.ts'
import { type ColorChange, gammaTable } from '../../data/colorChange.ts'
import type { CropPlan } from '../../data/cropPlan.ts'
import type { DecodedImage } from '../../data/image.ts'
import { resizeMethod } from '../../data/loadPicture.ts'
import type { Vae } from '../../models/stableDiffusion/vae.ts'
import { concatBatch } from '../../ops/concatBatch.ts'
import { imageToTensor } from '../../ops/imageToTensor.ts'
import { lookupTable } from '../../ops/lookupTable.ts'
import { posteriorSample } from '../../ops/posteriorSample.ts'
import { resizeImage } from '../../ops/resizeImage.ts'
import { shiftHue } from '../../ops/shiftHue.ts'
import { randomNormal, tensor } from '../../tensor/create.ts'
import { scope } from '../../tensor/scope.ts'
import type { DeviceName, Tensor } from '../../tensor/tensor.ts'

export interface PictureTensorOptions {
  /** How it is resized. Default area. */
  readonly interpolation?: ResizeInterpolation
  /** Where it is resized, and lies afterwards. Default cpu. */
  readonly device?: DeviceName
}

/** A decoded picture as the VAE takes it: resized, cropped, mirrored if asked, [1, h, w, 3] in [-1, 1]. */
export function pictureTensor(
  { width, height, pixels }: DecodedImage,
  crop: CropPlan,
  flip: boolean,
  { interpolation = 'area', device = 'cpu' }: PictureTensorOptions = {},
): Tensor {
  return scope(() => {
    const picture = tensor(pixels, [height, width, 3], { device })
    const { resized, left, top, target } = crop
    const fitted =
      resized.width === width && resized.height === height
        ? picture
        : resizeImage(picture, { ...resized, method: resizeMethod(interpolation, crop) })
    return imageToTensor(fitted, { left, top, width: target.width, height: target.height, flip })
  })
}

/** A picture in its training size as the VAE takes it: with its colours changed, mirrored if asked, [1, h, w, 3] in [-1, 1]. */
export function loadedTensor(
  { width, height, pixels }: DecodedImage,
  { flip, color }: { readonly flip: boolean; readonly color: ColorChange | undefined },
  device: DeviceName = 'cpu',
): Tensor {
  return scope(() => imageToTensor(recolor(tensor(pixels, [height, width, 3], { device }), color), { flip }))
}

function recolor(picture: Tensor, color: ColorChange | undefined): Tensor {
  if (color === undefined) return picture
  if (color.kind === 'hue') return shiftHue(picture, { shift: color.shift })
  return lookupTable(picture, tensor(gammaTable(color.exponent), [256], { device: picture.device }))
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
    const { device } = moments
    const noise = concatBatch(streams.map((stream) => randomNormal([1, h, w, channels / 2], { seed, stream, device })))
    return posteriorSample(moments, noise)
  })
}
