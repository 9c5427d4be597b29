/** What a latent depends on, as a hash: equal keys mean equal latents. */
import { createHash } from 'node:crypto'
import type { CropPlan } from './cropPlan.ts'

/** Raise it when pictures are decoded, resized or encoded to other values than before, or entries are laid out differently. */
const LATENT_VERSION = 1

/** All that turns the bytes of a picture file into the pixels that are encoded. */
export interface PictureUse {
  /** SHA-256 of the file, as hexadecimal digits. */
  readonly fileHash: string
  /** Whether the orientation that EXIF tells is passed over. */
  readonly ignoreExif: boolean
  readonly crop: CropPlan
  /** The name of the method that it is resized with; without a meaning where it is not resized. */
  readonly method: string
  /** Mirrored left to right after cropping. */
  readonly flip: boolean
}

/** The key of a picture's pixels, 64 hexadecimal digits: which random numbers draw its latent. Free of the model, the seed and the path. */
export function pictureKey({ fileHash, ignoreExif, crop, method, flip }: PictureUse): string {
  const { source, resized, left, top, target, ...rest } = crop
  // A new part of the plan must become a part of the key: then this line no longer compiles.
  rest satisfies Record<string, never>
  const size = ({ width, height }: CropPlan['source']): readonly number[] => [width, height]
  const isResized = resized.width !== source.width || resized.height !== source.height
  const plan = [size(source), size(resized), left, top, size(target), isResized ? method : 'none']
  return hashOf([LATENT_VERSION, fileHash, ignoreExif ? 'stored' : 'upright', plan, flip])
}

/** The key of a latent: that of its picture with the encoder's fingerprint, which covers weights and precision. */
export function latentKey(picture: string, encoder: string): string {
  return hashOf([picture, encoder])
}

/** The stream of random numbers for a key: its first 64 bits. */
export function streamOfKey(key: string): bigint {
  return BigInt(`0x${key.slice(0, 16)}`)
}

function hashOf(parts: unknown): string {
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex')
}
