/** The repository's own files, for the structure tests. */
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../..', import.meta.url))
/** Written by tools, ignored by git. */
const generated = new Set(['.git', 'node_modules', 'build', 'dist', 'prebuilds', 'out', '__pycache__'])

/** Paths of the files under a folder, from the repository's root, with `/`; an empty list where there is no such folder. */
export function filesUnder(folder: string, keep: (path: string) => boolean = () => true): string[] {
  const found: string[] = []
  const walk = (path: string): void => {
    for (const entry of readdirSync(join(root, path), { withFileTypes: true })) {
      if (generated.has(entry.name) || entry.isSymbolicLink()) continue
      const child = path === '.' ? entry.name : `${path}/${entry.name}`
      if (entry.isDirectory()) walk(child)
      else if (keep(child)) found.push(child)
    }
  }
  if (statSync(join(root, folder), { throwIfNoEntry: false })?.isDirectory()) walk(folder)
  return found.sort()
}

export function textOf(path: string): string {
  return readFileSync(join(root, path), 'utf8')
}

export function bytesOf(path: string): number {
  return statSync(join(root, path)).size
}

export function exists(path: string): boolean {
  return statSync(join(root, path), { throwIfNoEntry: false }) !== undefined
}
