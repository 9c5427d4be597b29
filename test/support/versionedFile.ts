/** A safetensors file whose every byte follows from one number, its version. */
import { createHash } from 'node:crypto'
import { openSafetensors, type SafetensorsTensor } from '../../lib/io/safetensors.ts'

/** The tensors of a version: four of equal size, noise. */
export function versionTensors(version: number, mebibytes: number): SafetensorsTensor[] {
  const length = (mebibytes << 20) / 4
  return ['a', 'b', 'c', 'd'].map((name, i) => {
    const words = new Uint32Array(length / 4)
    let state = (version * 2654435761 + i * 40503) >>> 0
    for (let k = 0; k < words.length; k++) {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0
      words[k] = state
    }
    return { name, dtype: 'F32', shape: [words.length], data: new Uint8Array(words.buffer) }
  })
}

/**
 * The version of a file, after all its bytes have been compared with what that version must hold.
 *
 * @throws when the file is damaged, cut short or a mixture
 */
export async function wholeVersion(path: string, mebibytes: number): Promise<number> {
  const file = await openSafetensors(path)
  try {
    const version = Number(file.metadata.get('version'))
    const digest = (bytes: Uint8Array): string => createHash('sha1').update(bytes).digest('hex')
    for (const { name, data } of versionTensors(version, mebibytes)) {
      if (digest(await file.read(name)) !== digest(data as Uint8Array)) {
        throw new Error(`${path}: tensor "${name}" is not that of version ${version}`)
      }
    }
    return version
  } finally {
    await file.close()
  }
}
