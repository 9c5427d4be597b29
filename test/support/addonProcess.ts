/** The addon in a process of its own: for what a process can ask of a driver only once. */
import { execFileSync } from 'node:child_process'
import { binary } from './emulatedGpu.ts'

/** What a fresh process prints that loads the addon as `addon` and runs `script`. */
export function runAddon(script: string, environment: Readonly<Record<string, string>>): string {
  const source = `const addon = require(${JSON.stringify(binary)}); (async () => { ${script} })()`
  const { NOISEWRIGHT_LIBCUDA: _, ...inherited } = process.env
  return execFileSync(process.execPath, ['-e', source], {
    env: { ...inherited, ...environment },
    encoding: 'utf8',
  }).trim()
}
