/**
 * A process that saves one safetensors file over and over until it is killed: `savingChild <path> <first version> <MiB>`. It writes
 * `start <version>` before each save and `done <version>` after it, unbuffered.
 */
import { writeSync } from 'node:fs'
import { writeSafetensors } from '../../lib/io/safetensors.ts'
import { versionTensors } from './versionedFile.ts'

const [path, first, mebibytes] = process.argv.slice(2) as [string, string, string]
for (let version = Number(first); ; version++) {
  const tensors = versionTensors(version, Number(mebibytes))
  writeSync(1, `start ${version}\n`)
  await writeSafetensors(path, tensors, { metadata: { version: String(version) } })
  writeSync(1, `done ${version}\n`)
}
