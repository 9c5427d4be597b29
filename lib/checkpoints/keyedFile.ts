import type { TensorFile, TensorInfo } from '../io/tensorFile.ts'
import { repairKey } from './keys/textEncoder.ts'
import { vaePrefix } from './keys/vae.ts'
import type { TensorIndex } from './modelFamilies.ts'

/** A file under the keys that single-file checkpoints should have, whatever it calls its tensors itself. */
export class KeyedFile implements TensorIndex {
  readonly file: TensorFile
  readonly names: readonly string[]
  readonly #nameInFile: ReadonlyMap<string, string>

  /** @param keyOf the key of a name in the file. Default: {@link repairKey} */
  constructor(file: TensorFile, keyOf: (name: string) => string = repairKey) {
    this.file = file
    this.#nameInFile = new Map(file.names.map((name) => [keyOf(name), name]))
    this.names = [...this.#nameInFile.keys()]
  }

  get path(): string {
    return this.file.path
  }

  get metadata(): ReadonlyMap<string, string> {
    return this.file.metadata
  }

  has(key: string): boolean {
    return this.#nameInFile.has(key)
  }

  /** @throws CheckpointError naming the nearest tensor when there is none of that key */
  info(key: string): TensorInfo {
    return this.file.info(this.nameInFile(key))
  }

  nameInFile(key: string): string {
    return this.#nameInFile.get(key) ?? key
  }
}

/** A VAE's file under whole keys: VAEs are also passed on without `first_stage_model.`. */
export function keyedVaeFile(file: TensorFile): KeyedFile {
  const whole = file.names.some((name) => name.startsWith(vaePrefix))
  return new KeyedFile(file, whole ? repairKey : (name) => vaePrefix + name)
}
