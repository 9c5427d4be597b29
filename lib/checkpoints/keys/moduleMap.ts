/** Names of modules in this library (those of diffusers) beside their names in single-file checkpoints. */

export type ModulePair = readonly [ours: string, ldm: string]

/** Renames parameters by the longest module path that a table holds; what follows the path stays as it is. */
export class ModuleMap {
  readonly #toLdm: ReadonlyMap<string, string>
  readonly #toOurs: ReadonlyMap<string, string>

  constructor(pairs: readonly ModulePair[]) {
    this.#toLdm = new Map(pairs)
    this.#toOurs = new Map(pairs.map(([ours, ldm]) => [ldm, ours]))
  }

  /** Undefined for a parameter of no module of the table. */
  toLdm(name: string): string | undefined {
    return rename(this.#toLdm, name)
  }

  /** Undefined for a key that no parameter has. */
  toOurs(key: string): string | undefined {
    const name = rename(this.#toOurs, key)
    // A renamed module's new name inside a known parent is not a key of the layout.
    return name !== undefined && this.toLdm(name) === key ? name : undefined
  }
}

function rename(paths: ReadonlyMap<string, string>, name: string): string | undefined {
  for (let end = name.lastIndexOf('.'); end > 0; end = name.lastIndexOf('.', end - 1)) {
    const path = paths.get(name.slice(0, end))
    if (path !== undefined) return path + name.slice(end)
  }
  return undefined
}

/** Whole numbers from 0. */
export function upTo(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i)
}
