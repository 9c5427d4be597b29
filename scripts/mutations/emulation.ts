/** Builds of the emulation that differ from build/emulation/libfakecuda.so in one changed file. Nothing under native/ is touched. */
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'

const root = process.cwd()
const build = join(root, 'build')
const library = 'emulation/libfakecuda.so'

/** A folder of this process, gone when it ends. */
export const scratch = mkdtempSync(join(tmpdir(), 'mutations-'))
process.on('exit', () => rmSync(scratch, { recursive: true, force: true }))

/** The library that the build made. */
export const unchangedLibrary = join(build, library)

/** The text of a file under native/ with its one occurrence of `find` replaced. */
export function changedText(file: string, find: string, replace: string): string {
  const parts = readFileSync(join(root, 'native', file), 'utf8').split(find)
  if (parts.length !== 2) throw new Error(`native/${file} has ${parts.length - 1} places like this, not one:\n${find}`)
  return parts.join(replace)
}

/** Compiles what depends on native/`file` as if it held `text`, and links it with the rest. Returns the library's path. */
export function libraryWith(file: string, text: string): string {
  for (const left of ['native', 'objects']) rmSync(join(scratch, left), { recursive: true, force: true })
  const copy = join(scratch, 'native', file)
  for (const folder of [dirname(copy), join(scratch, 'objects')]) mkdirSync(folder, { recursive: true })
  writeFileSync(copy, text)
  const commands = ninja('commands', library)
    .split('\n')
    .filter((line) => line.length > 0)
  const objects = new Map<string, string>()
  for (const object of objectsOf(file)) {
    const compile = commands.find((command) => command.includes(` -o ${object} `))
    if (!compile) throw new Error(`the build has no command that makes ${object}`)
    const changed = join(scratch, 'objects', basename(object))
    objects.set(object, changed)
    shell(
      compile
        .replaceAll(object, changed)
        .replace(' -I', ` -I${join(scratch, 'native')} -I`)
        .replace(join(root, 'native', file), copy),
    )
  }
  const linked = join(scratch, 'libfakecuda.so')
  const words = commands.at(-1)!.split(' ')
  shell(words.map((word) => (word === library ? linked : (objects.get(word) ?? word))).join(' '))
  return linked
}

/** The object files of the emulation that are made from a file, directly or through an #include. */
function objectsOf(file: string): string[] {
  const found: string[] = []
  for (const entry of ninja('deps').split('\n\n')) {
    const [head = '', ...sources] = entry.split('\n')
    const object = head.split(':')[0]!
    if (object.includes('fakecuda.dir') && sources.some((source) => source.endsWith(`/native/${file}`)))
      found.push(object)
  }
  if (found.length === 0) throw new Error(`nothing in the emulation is made from native/${file}`)
  return found
}

function ninja(...tool: string[]): string {
  if (!existsSync(join(build, 'build.ninja')) || !existsSync(unchangedLibrary))
    throw new Error('needs a build of the addon by Ninja: install ninja, remove build/, run npm run build:native')
  return execFileSync('ninja', ['-C', build, '--quiet', '-t', ...tool], { encoding: 'utf8', maxBuffer: 1 << 28 })
}

function shell(command: string): void {
  execFileSync('sh', ['-c', command], { cwd: build, stdio: ['ignore', 'ignore', 'pipe'] })
}
