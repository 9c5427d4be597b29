import { createHash } from 'node:crypto'
import type { ModelPart } from '../models/stableDiffusion/stableDiffusion.ts'
import { bytesOfEntry } from './modelEntries.ts'
import { type ModelSource, modelParts } from './modelSource.ts'

/** 64 hexadecimal digits of each part. */
export type ModelFingerprints = Readonly<Record<ModelPart, string>>

/** Larger tensors are told apart by their names alone: reading them would take as long as loading the model. */
const mostElements = 1 << 20

/**
 * What the parts of a model are told apart by: hashes of their names, shapes and numbers, in the types of the file. A file and a folder with
 * the same model have the same. Numbers count of tensors of at most 2^20: biases, norms, and enough matrices of every kind that a model
 * which was trained on, or had a LoRA merged into it, is another one. That is a tenth of Stable Diffusion 1.5.
 */
export async function modelFingerprints({ parts }: Pick<ModelSource, 'parts'>): Promise<ModelFingerprints> {
  const hashes: Partial<Record<ModelPart, string>> = {}
  for (const part of modelParts) {
    const hash = createHash('sha256')
    for (const entry of parts[part].entries()) {
      const { name, dtype, shape } = entry
      hash.update(JSON.stringify([name, dtype, shape]))
      if (shape.reduce((count, size) => count * size, 1) <= mostElements) hash.update(await bytesOfEntry(entry))
    }
    hashes[part] = hash.digest('hex')
  }
  return hashes as ModelFingerprints
}
