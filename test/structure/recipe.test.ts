/** Every op has all the files that native/README.md asks for. */
import { posix } from 'node:path'
import ts from 'typescript'
import { describe, expect, it } from 'vitest'
import { exists, filesUnder, textOf } from './files.ts'

interface OpFile {
  readonly path: string
  /** Names given to defineOp. */
  readonly ops: readonly string[]
  /** Members of the addon that the file calls. */
  readonly nativeCalls: readonly string[]
  /** Files of lib/ops it imports. */
  readonly imports: readonly string[]
}

function parse(path: string): OpFile {
  const ops: string[] = []
  const nativeCalls = new Set<string>()
  const imports: string[] = []
  const visit = (node: ts.Node): void => {
    if (ts.isCallExpression(node) && ts.isIdentifier(node.expression) && node.expression.text === 'defineOp') {
      const name = node.arguments[0]
      if (!name || !ts.isStringLiteral(name))
        throw new Error(`${path}: defineOp must be given the op's name as a literal`)
      ops.push(name.text)
    }
    if (ts.isPropertyAccessExpression(node) && ts.isIdentifier(node.expression) && node.expression.text === 'addon')
      nativeCalls.add(node.name.text)
    if (ts.isImportDeclaration(node) && ts.isStringLiteral(node.moduleSpecifier)) {
      const target = posix.join('lib/ops', node.moduleSpecifier.text)
      if (node.moduleSpecifier.text.startsWith('./')) imports.push(target)
    }
    ts.forEachChild(node, visit)
  }
  visit(ts.createSourceFile(path, textOf(path), ts.ScriptTarget.ES2022))
  return { path, ops, nativeCalls: [...nativeCalls], imports }
}

const files = new Map(
  filesUnder('lib/ops', (path) => path.endsWith('.ts') && !/\/(index|check)\.ts$/.test(path)).map((path) => [
    path,
    parse(path),
  ]),
)
const ops = [...files.values()].flatMap((file) => file.ops.map((name) => ({ name, file })))
const stemOf = (path: string): string => posix.basename(path, '.ts')

/** Members of the addon, with the C++ function behind each: the lines of native/binding/ops.cpp. */
const bound = new Map(
  [...textOf('native/binding/ops.cpp').matchAll(/def\(env, exports, "(\w+)",\s*&(\w+)\)/g)].map((line) => [
    line[1]!,
    line[2]!,
  ]),
)
/** Members that compute nothing: views of memory that exists, and its end. */
const views = ['view', 'retain', 'layout', 'dispose']

const nativeFiles = filesUnder('native/ops', (path) => path.split('/').length > 3)
/** The folders of native/ops whose host file defines a function. */
function foldersDefining(name: string): string[] {
  const definition = new RegExp(`^\\w[\\w:<>, *&]*\\b${name}\\(`, 'm')
  return nativeFiles
    .filter((path) => path.endsWith('.cpp') && !path.endsWith('_cpu.cpp') && definition.test(textOf(path)))
    .map(posix.dirname)
}

/** What an op calls, itself or through another op's definition. */
function nativeCallsOf(file: OpFile): readonly string[] {
  if (file.nativeCalls.length > 0) return file.nativeCalls
  return file.imports.flatMap((path) => files.get(path)?.nativeCalls ?? [])
}

/** The files that describe the binding. */
const boundary: readonly string[] = ['lib/native/addon.ts', 'lib/native/stepOps.ts']

describe('the recipe of an op', () => {
  it('is checked for every op there is', () => {
    const definitions = [...files.keys()].filter((path) => textOf(path).includes('defineOp'))
    expect(definitions.length).toBeGreaterThan(0)
    expect(definitions.filter((path) => files.get(path)!.ops.length === 0)).toEqual([])
    expect(bound.size).toBeGreaterThan(0)
    expect(new Set(ops.map(({ name }) => name)).size).toBe(ops.length)
  })

  it.each(ops.map(({ name, file }) => ({ name, file })))(
    '$name has kernels in a folder of native/ops',
    ({ name, file }) => {
      const calls = nativeCallsOf(file).filter((call) => !views.includes(call))
      if (calls.length === 0) {
        expect(file.nativeCalls.length, `${name} calls nothing native`).toBeGreaterThan(0)
        return
      }
      for (const call of calls) {
        expect(bound.has(call), `${name} calls addon.${call}, which native/binding/ops.cpp does not define`).toBe(true)
        const folders = [...new Set(foldersDefining(bound.get(call)!))]
        expect(folders, `the folder that defines ${bound.get(call)}`).toHaveLength(1)
        const stem = posix.basename(folders[0]!)
        expect(exists(`${folders[0]}/${stem}.cpp`), `${folders[0]}/${stem}.cpp`).toBe(true)
        // Composed of another op's kernels, it includes that op's header and has none of its own.
        if (/#include "ops\/(\w+)\/\w+\.h"/.exec(textOf(`${folders[0]}/${stem}.cpp`))?.[1] !== stem) continue
        expect(exists(`${folders[0]}/${stem}.h`), `${folders[0]}/${stem}.h`).toBe(true)
        const kernels = nativeFiles.filter((path) => path.startsWith(`${folders[0]}/`) && path.endsWith('_cpu.cpp'))
        expect(kernels.length, `${folders[0]}/*_cpu.cpp`).toBeGreaterThan(0)
      }
    },
  )

  it.each(ops)('$name has a test and a benchmark', ({ name, file }) => {
    const stems = [name, stemOf(file.path)]
    const timed = !nativeCallsOf(file).includes('view') // a view costs nothing that could be timed
    for (const [folder, suffix] of [
      ['test/ops', 'test'],
      ['benchmarks/ops', 'bench'],
    ] as const) {
      if (suffix === 'bench' && !timed) continue
      const found = stems.map((stem) => `${folder}/${stem}.${suffix}.ts`).filter(exists)
      expect(found.length, `${folder}/${name}.${suffix}.ts`).toBeGreaterThan(0)
      // Ops of one file share kernels: a benchmark of one of them will do, a test will not.
      if (folder === 'benchmarks/ops') continue
      const mentioned = found.some((path) => new RegExp(`\\b${name}\\b`).test(textOf(path)))
      expect(mentioned, `${found} mentions ${name}`).toBe(true)
    }
  })

  it.each(ops)('$name is exported from lib/ops/index.ts', ({ name, file }) => {
    const index = textOf('lib/ops/index.ts')
    const line = new RegExp(`export \\{[^}]*\\b${name}\\b[^}]*\\} from '\\./${stemOf(file.path)}\\.ts'`)
    expect(index).toMatch(line)
  })

  it('leaves no op of the binding without a caller in lib or the benchmarks', () => {
    const text = ['lib', 'benchmarks']
      .flatMap((folder) => filesUnder(folder, (path) => path.endsWith('.ts') && !boundary.includes(path)))
      .map(textOf)
      .join('\n')
    expect([...bound.keys()].filter((name) => !text.includes(`addon.${name}`))).toEqual([])
  })

  it('leaves no native folder without an op of its binding', () => {
    const used = new Set([...bound.values()].flatMap(foldersDefining))
    const folders = new Set(nativeFiles.map((path) => path.split('/').slice(0, 3).join('/')))
    expect([...folders].filter((folder) => !used.has(folder))).toEqual([])
  })
})
