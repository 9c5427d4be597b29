/** Roughly what memory a training takes on the CPU, before any of it is taken. */
import type { FileReport } from '../../checkpoints/inspect.ts'
import type { ModelPart } from '../../models/stableDiffusion/stableDiffusion.ts'
import type { EightBitPart, MixedPrecision } from '../trainConfig.ts'
import { stateBytes } from './stateBytes.ts'

/** One reason for memory to be taken. */
export interface MemoryShare {
  readonly what: string
  readonly bytes: number
}

export interface MemoryFacts {
  /** Null where the model has not been looked at. */
  readonly model: FileReport | null
  readonly mixedPrecision: MixedPrecision
  /** Whether what is trained of the model itself is in the type of `mixedPrecision` too. Default false. */
  readonly fullPrecision?: boolean
  /** Parts of the model whose own weights are trained. Default: none. */
  readonly trainedParts?: readonly ModelPart[]
  /** Whether gradients are freed within the backward pass. Default false. */
  readonly fusedBackward?: boolean
  /** By its name, which tells the size of its states. Default AdamW. */
  readonly optimizer?: string
  /** Rank of a LoRA beside every projection of the U-Net; 0 for other trainings. Default 0. */
  readonly networkRank?: number
  /** Parts whose matrices are stored in 8 bits. Default: none. */
  readonly eightBitParts?: readonly EightBitPart[]
  /** Whether latents, and hidden states of captions, are made before the first step, and nothing is drawn later. Default: neither. */
  readonly cached?: { readonly latents: boolean; readonly captions: boolean }
  /** Whether pictures are drawn, for which every part stays whole. Default false. */
  readonly previews?: boolean
  /** The most that frozen convolutions may keep of transformed weights. Default 0. */
  readonly keptWeightsBytes?: number
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

/** Parameters of Stable Diffusion 1.5's U-Net, whose activations have been measured. */
const measuredUnet = 859.5e6
/**
 * Bytes of float32 that a step of Stable Diffusion 1.5's U-Net takes at its peak beside weights, gradients and states, for one pixel of the
 * picture: 1.35 GiB at 512x512. Kept activations and scratch grow with the area, attention included, since its scores are not kept.
 */
const activationBytesPerPixel = (1.35 * 2 ** 30) / (512 * 512)
/** With gradient checkpointing the inputs of the blocks are kept, and one block at a time. Measured. */
const checkpointedShare = 0.2
/** Of the text encoder's parameters, those of embeddings, which never have 8 bits: 31 % in 1.5. */
const embeddedShare = 0.31
/** Of 1.5's U-Net, those of its largest tensor: a convolution of the level that has the most channels. */
const largestShare = 29.5e6 / measuredUnet
/** Of the autoencoder's parameters, those that encode: 41 %. */
const encoderShare = 0.41
/** Of a LoRA beside the projections of 1.5's U-Net, for each rank, and its gradients and states in AdamW. */
const [networkParameters, networkBytes] = [0.42e6, 16]
/** Node.js and what it runs. */
const programBytes = 300e6
/** Of everything, what is kept for reuse in other sizes. */
const reusedShare = 1 / 16

/** What takes memory in a step, largest parts first. Without the model its weights are missing. */
export function estimateMemory(facts: MemoryFacts): MemoryShare[] {
  const { mixedPrecision, pixelsPerBatch, latentBytes, largestPicture, picturesInFlight, gradientCheckpointing } = facts
  const itemBytes = mixedPrecision === 'no' ? 4 : 2
  const unetSize = (facts.model?.parts.unet?.parameterCount ?? measuredUnet) / measuredUnet
  // Activations grow with the width of a network, its parameters with the square.
  const activations = activationBytesPerPixel * pixelsPerBatch * (itemBytes / 4) * Math.sqrt(unetSize)
  const shares: MemoryShare[] = [
    ...modelShares(facts, itemBytes),
    { what: 'activations', bytes: Math.round(activations * (gradientCheckpointing ? checkpointedShare : 1)) },
    {
      what: 'network, gradients and states',
      bytes: Math.round((facts.networkRank ?? 0) * networkParameters * networkBytes * Math.sqrt(unetSize)),
    },
    { what: 'cached latents', bytes: latentBytes },
    { what: 'encoded captions', bytes: facts.captionBytes ?? 0 },
    { what: 'pictures being decoded', bytes: largestPicture * 3 * picturesInFlight },
  ]
  const tensors = shares.reduce((sum, { bytes }) => sum + bytes, 0)
  shares.push(
    { what: 'the program', bytes: programBytes },
    { what: 'kept for reuse', bytes: Math.round(tensors * reusedShare) },
  )
  return shares.filter(({ bytes }) => bytes > 0).sort((a, b) => b.bytes - a.bytes)
}

/** What the model takes while it is trained, or beside. */
function modelShares(facts: MemoryFacts, itemBytes: number): MemoryShare[] {
  const { model, eightBitParts = [], trainedParts = [], optimizer = 'AdamW', keptWeightsBytes = 0 } = facts
  if (model === null) return []
  const { previews = false, cached = { latents: false, captions: false } } = facts
  const count = (part: ModelPart): number => model.parts[part]?.parameterCount ?? 0
  // Float32 values have a copy in the type that is computed in; trained text encoders compute in float32.
  const trainedBytes = facts.fullPrecision ? itemBytes : 4
  const copyBytes = facts.fullPrecision || itemBytes === 4 ? 0 : itemBytes
  const trains = (part: ModelPart): boolean => trainedParts.includes(part)
  const unetBytes = trains('unet') ? trainedBytes + copyBytes : eightBitParts.includes('unet') ? 1 : itemBytes
  const narrowText = eightBitParts.includes('textEncoder')
  const frozenText = cached.captions && !previews ? 0 : narrowText ? embeddedShare * 4 + (1 - embeddedShare) : 4
  const textBytes = trains('textEncoder') ? trainedBytes : frozenText
  const vaeBytes = itemBytes * (previews ? 1 : cached.latents ? 0 : encoderShare)
  const trained = trainedParts.reduce((sum, part) => sum + count(part), 0)
  const largest = Math.max(
    trains('unet') ? largestShare * count('unet') : 0,
    trains('textEncoder') ? embeddedShare * count('textEncoder') : 0,
  )
  // Weights of 3x3 kernels are kept in float32, four numbers for one.
  const kept = trains('unet') || eightBitParts.includes('unet') ? 0 : Math.min(keptWeightsBytes, count('unet') * 16)
  return [
    {
      what: 'weights',
      bytes: Math.round(count('unet') * unetBytes + count('textEncoder') * textBytes + count('vae') * vaeBytes),
    },
    { what: 'gradients', bytes: Math.round(4 * (facts.fusedBackward ? largest : trained)) },
    { what: 'optimizer states', bytes: Math.round(stateBytes(optimizer) * trained) },
    { what: 'transformed weights of frozen convolutions, at most', bytes: kept },
  ]
}
