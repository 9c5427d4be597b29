/** Builds of the addon and of the emulation that differ from those in build/ in one changed file. Nothing under native/ is touched. */
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'

const root = process.cwd()
const build = join(root, 'build')

/** What tests load: where CMake puts it and its objects, and the variable that names another one. */
interface Built {
  readonly path: string
  readonly objects: string
  readonly variable: string
}
/** Kernels are compiled for the CPU into the emulation, all else of the addon that is mutated into the addon. */
const emulation: Built = {
  path: 'emulation/libfakecuda.so',
  objects: 'fakecuda.dir',
  variable: 'NOISEWRIGHT_LIBCUDA',
}
const addon: Built = { path: 'Release/noisewright.node', objects: 'noisewright.dir', variable: 'NOISEWRIGHT_BINARY' }
const all = [emulation, addon]

/** A folder of this process, gone when it ends. */
export const scratch = mkdtempSync(join(tmpdir(), 'mutations-'))
process.on('exit', () => rmSync(scratch, { recursive: true, force: true }))

/** Variables that make tests load what the build made. */
export const unchanged: Readonly<Record<string, string>> = Object.fromEntries(
  all.map(({ variable, path }) => [variable, join(build, path)]),
)

/** The text of a file under native/ with its one occurrence of `find` replaced. */
export function changedText(file: string, find: string, replace: string): string {
  const parts = readFileSync(join(root, 'native', file), 'utf8').split(find)
  if (parts.length !== 2) throw new Error(`native/${file} has ${parts.length - 1} places like this, not one:\n${find}`)
  return parts.join(replace)
}

/**
 * Compiles what depends on native/`file` as if it held `text`, of `sources` if there are any, and links it with the rest.
 * @returns variables that make tests load the result
 */
export function buildWith(file: string, text: string, sources: readonly string[] = []): Record<string, string> {
  for (const left of ['native', 'objects']) rmSync(join(scratch, left), { recursive: true, force: true })
  const copy = join(scratch, 'native', file)
  for (const folder of [dirname(copy), join(scratch, 'objects')]) mkdirSync(folder, { recursive: true })
  writeFileSync(copy, text)
  const built = /\.cuh?$|^cuda\/gpu\.h$/.test(file) ? emulation : addon
  const commands = ninja('commands', built.path)
    .split('\n')
    .filter((line) => line.length > 0)
  const objects = new Map<string, string>()
  for (const object of objectsOf(file, built)) {
    if (sources.length > 0 && !sources.some((source) => object.endsWith(`/native/${source}.o`))) continue
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
  if (objects.size === 0) throw new Error(`nothing that tests load is made from native/${file}`)
  const linked = join(scratch, basename(built.path))
  const words = commands.at(-1)!.split(' ')
  shell(words.map((word) => (word === built.path ? linked : (objects.get(word) ?? word))).join(' '))
  return { ...unchanged, [built.variable]: linked }
}

/** The object files that are made from a file, directly or through an #include. */
function objectsOf(file: string, built: Built): string[] {
  const found: string[] = []
  for (const entry of ninja('deps').split('\n\n')) {
    const [head = '', ...sources] = entry.split('\n')
    const object = head.split(':')[0]!
    if (object.includes(built.objects) && sources.some((source) => source.endsWith(`/native/${file}`)))
      found.push(object)
  }
  return found
}

function ninja(...tool: string[]): string {
  if (!existsSync(join(build, 'build.ninja')) || !Object.values(unchanged).every(existsSync))
    throw new Error('needs a build of the addon by Ninja: install ninja, remove build/, run npm run build:native')
  return execFileSync('ninja', ['-C', build, '--quiet', '-t', ...tool], { encoding: 'utf8', maxBuffer: 1 << 28 })
}

function shell(command: string): void {
  execFileSync('sh', ['-c', command], { cwd: build, stdio: ['ignore', 'ignore', 'pipe'] })
}
