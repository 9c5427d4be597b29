/** Roughly what memory a training takes, before any of it is taken. */
import type { FileReport } from '../checkpoints/inspect.ts'
import { DEFAULT_TRANSFORMED_WEIGHTS_BUDGET } from '../nn/transformedWeights.ts'
import type { EightBitPart, MixedPrecision } from './trainConfig.ts'

/** One reason for memory to be taken. */
export interface MemoryShare {
  readonly what: string
  readonly bytes: number
}

export interface MemoryFacts {
  /** Null where the model has not been looked at. */
  readonly model: FileReport | null
  readonly mixedPrecision: MixedPrecision
  /** Parts whose matrices are stored in 8 bits. Default: none. */
  readonly eightBitParts?: readonly EightBitPart[]
  readonly gradientCheckpointing: boolean
  /** Pictures of the largest batch times the pixels of each. */
  readonly pixelsPerBatch: number
  readonly latentBytes: number
  /** Of encoded captions. Default: none are kept. */
  readonly captionBytes?: number
  /** Pixels of the largest picture file. */
  readonly largestPicture: number
  readonly picturesInFlight: number
}

/**
 * Bytes of float32 activations that a forward pass of Stable Diffusion's U-Net keeps for its backward pass, for one pixel of the
 * picture: 1006 MB at 512x512, counted over the layers of 1.5. They grow with the area, attention included, since its scores are
 * not kept.
 */
const activationBytesPerPixel = 1006e6 / (512 * 512)
/** With gradient checkpointing the inputs of the blocks are kept and one block at a time, about a quarter of all. */
const checkpointedShare = 0.25
/** Of the text encoder's parameters, those of embeddings, which never have 8 bits: 31 % in 1.5. */
const embeddedShare = 0.31

/** What takes memory, largest parts first. Without the model its weights are missing. */
export function estimateMemory(facts: MemoryFacts): MemoryShare[] {
  const { model, mixedPrecision, pixelsPerBatch, latentBytes, largestPicture, picturesInFlight } = facts
  const { eightBitParts = [] } = facts
  const half = mixedPrecision !== 'no'
  const shares: MemoryShare[] = []
  if (model !== null) {
    const { unet, textEncoder, vae } = model.parts
    const itemBytes = half ? 2 : 4
    const unetIsNarrow = eightBitParts.includes('unet')
    const textBytes = eightBitParts.includes('textEncoder') ? embeddedShare * 4 + (1 - embeddedShare) : 4
    const bytes = {
      unet: (unet?.parameterCount ?? 0) * (unetIsNarrow ? 1 : itemBytes),
      textEncoder: Math.round((textEncoder?.parameterCount ?? 0) * textBytes),
      vae: (vae?.parameterCount ?? 0) * itemBytes,
    }
    shares.push({ what: 'weights', bytes: bytes.unet + bytes.textEncoder + bytes.vae })
    // Beside weights of 8 bits none are kept.
    const keeping = (unetIsNarrow ? 0 : (unet?.parameterCount ?? 0)) + (vae?.parameterCount ?? 0)
    // Winograd's transformed weights are kept in float32, four times the size of float32 ones, while they fit the budget.
    if (mixedPrecision !== 'bf16')
      shares.push({
        what: 'transformed weights of frozen convolutions, at most',
        bytes: Math.min(DEFAULT_TRANSFORMED_WEIGHTS_BUDGET, keeping * 4 * 4),
      })
  }
  const activations = activationBytesPerPixel * pixelsPerBatch * (half ? 0.5 : 1)
  shares.push(
    { what: 'activations', bytes: Math.round(activations * (facts.gradientCheckpointing ? checkpointedShare : 1)) },
    { what: 'cached latents', bytes: latentBytes },
    { what: 'encoded captions', bytes: facts.captionBytes ?? 0 },
    { what: 'pictures being decoded', bytes: largestPicture * 3 * picturesInFlight },
  )
  return shares.filter(({ bytes }) => bytes > 0).sort((a, b) => b.bytes - a.bytes)
}
