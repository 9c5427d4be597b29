/** A limit of memory that counts file pages too, which `ulimit` does not: a control group of Linux for one process. */
import { mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

/** Processes join by writing their number to `<folder>/cgroup.procs`; before `remove` all must have ended. */
export interface MemoryGroup {
  readonly folder: string
  readonly kind: 'cgroup v1' | 'cgroup v2'
  /** The most that was ever in use, in bytes. */
  peakBytes(): number
  remove(): void
}

/** The folder that a hierarchy is mounted at, or null. */
function mountOf(fits: (type: string, options: readonly string[]) => boolean): string | null {
  for (const line of readFileSync('/proc/self/mounts', 'utf8').split('\n')) {
    const [, folder = '', type = '', options = ''] = line.split(' ')
    if (fits(type, options.split(','))) return folder
  }
  return null
}

/** Where this process is in a hierarchy; that of version 2 has no controllers in its line. */
function ownPath(controller: string): string {
  const lines = readFileSync('/proc/self/cgroup', 'utf8').split('\n')
  const own = lines.map((line) => line.split(':')).find(([, names]) => names?.split(',').includes(controller))
  return own?.[2] ?? '/'
}

/** The nearest group, from this process's own upwards, that hands the control of memory on to its children. */
function nearestParent(mount: string): string {
  for (let path = ownPath(''); ; path = dirname(path)) {
    const controllers = readFileSync(join(mount, path, 'cgroup.subtree_control'), 'utf8').split(/\s+/)
    if (controllers.includes('memory')) return join(mount, path)
    if (path === '/') throw new Error(`no group above this process in ${mount} hands the control of memory on`)
  }
}

/** @throws Error when this machine does not let this process make a group */
export function makeMemoryGroup(limitBytes: number): MemoryGroup {
  const name = `noisewright-soak-${process.pid}`
  const old = mountOf((type, options) => type === 'cgroup' && options.includes('memory'))
  const unified = mountOf((type) => type === 'cgroup2')
  if (old === null && unified === null) throw new Error('no control groups are mounted here')
  const folder = old === null ? join(nearestParent(unified!), name) : join(old, ownPath('memory'), name)
  const files =
    old === null
      ? { limit: 'memory.max', swap: 'memory.swap.max', peak: 'memory.peak' }
      : {
          limit: 'memory.limit_in_bytes',
          swap: 'memory.memsw.limit_in_bytes',
          peak: 'memory.max_usage_in_bytes',
        }
  mkdirSync(folder)
  const remove = (): void => rmdirSync(folder)
  try {
    writeFileSync(join(folder, files.limit), String(limitBytes))
    // Nothing is swapped: the limit of version 1 is that of memory and swap together.
    writeFileSync(join(folder, files.swap), String(old === null ? 0 : limitBytes))
  } catch (error) {
    remove()
    throw error
  }
  return {
    folder,
    kind: old === null ? 'cgroup v2' : 'cgroup v1',
    peakBytes: () => Number(readFileSync(join(folder, files.peak), 'utf8')),
    remove,
  }
}
