import { stat } from 'node:fs/promises'
import { basename } from 'node:path'
import { legacyFileHash, sha256File } from '../../io/fileHash.ts'
import type { ModelFacts } from '../../networks/metadata.ts'

/**
 * What the metadata of a LoRA records about a model it was trained on: the base name of a path that exists, else the words the
 * user gave; hashes of a file.
 * @throws IoError when the file cannot be read
 */
export async function modelFacts(path: string): Promise<ModelFacts> {
  const found = await stat(path).catch(() => null)
  if (found === null) return { name: path }
  if (!found.isFile()) return { name: basename(path) }
  const [legacy, sha256] = await Promise.all([legacyFileHash(path), sha256File(path)])
  return { name: basename(path), hashes: { legacy, sha256 } }
}
