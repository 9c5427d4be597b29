/** LoRA files into the weights of a model, from file to file. */
import type { SafetensorsTensor } from '../io/safetensors.ts'
import { bytesToFloat32, type FloatFileDType, float32ToBytes } from '../io/tensorBytes.ts'
import { type LoraStrength, strengths } from '../networks/attachLora.ts'
import { type LoraFile, type LoraFileModule, readLora } from '../networks/loraFile.ts'
import { loraDelta } from '../networks/mergeLora.ts'
import { type ConversionReport, rewriteModel, type WriteTargetOptions } from './convertCheckpoint.ts'
import { bytesOfEntry, entriesOfSource } from './modelEntries.ts'

/** One LoRA file, and how strongly it is applied. */
export interface LoraToMerge extends LoraStrength {
  readonly path: string
}

export interface MergeReport extends ConversionReport {
  /** How many layers each file changed, in the order given. */
  readonly layers: readonly number[]
}

/** A module of one of the files, with the multiplier of its part. */
interface Change {
  readonly module: LoraFileModule
  readonly multiplier: number
}

/**
 * Merges LoRA files into a model for good, tensor by tensor: touched weights are summed in float32 and rounded once, to the type
 * they are written in; all others are copied. Several files add up. Needs the addon, for the products.
 *
 * @param source a file, a folder or a hub id
 * @throws what `convertCheckpoint` and `readLora` throw; nothing is written then
 * @example await mergeLoraIntoCheckpoint('model.safetensors', [{ path: 'frog.safetensors', multiplier: 0.8 }], 'frog.ckpt', { to: 'ckpt' })
 */
export async function mergeLoraIntoCheckpoint(
  source: string,
  loras: readonly LoraToMerge[],
  target: string,
  options: WriteTargetOptions,
): Promise<MergeReport> {
  const open: LoraFile[] = []
  try {
    const report = await rewriteModel(
      'mergeLoraIntoCheckpoint',
      source,
      target,
      options,
      async (model, entryOptions) => {
        const changes = new Map<string, Change[]>()
        for (const lora of loras) {
          const file = await readLora(lora.path, model.config)
          open.push(file)
          const strength = strengths(lora)
          for (const module of file.modules) {
            const { part, path } = module.layer
            const key = `${part}.${path}.weight`
            changes.set(key, [...(changes.get(key) ?? []), { module, multiplier: strength[part] }])
          }
        }
        const { precision } = entryOptions
        return entriesOfSource(model, entryOptions, (part, entry) => {
          const found = changes.get(`${part}.${entry.name}`)
          return found === undefined ? entry : withChanges(entry, found, precision !== undefined)
        })
      },
    )
    return { ...report, layers: open.map(({ modules }) => modules.length) }
  } finally {
    for (const file of open) await file.close()
  }
}

/** @param isCast another type is asked for: the sum stays float32 until then, so that it is rounded once */
function withChanges(entry: SafetensorsTensor, changes: readonly Change[], isCast: boolean): SafetensorsTensor {
  const dtype = isCast ? 'F32' : (entry.dtype as FloatFileDType)
  return {
    ...entry,
    dtype,
    data: async () => {
      const values = bytesToFloat32(await bytesOfEntry(entry), entry.dtype)
      for (const { module, multiplier } of changes) {
        const delta = await loraDelta(module, multiplier)
        for (let i = 0; i < values.length; i++) values[i]! += delta.values[i]!
      }
      return float32ToBytes(values, dtype)
    },
  }
}
