import { posix } from 'node:path'
import ts from 'typescript'
import { describe, expect, it } from 'vitest'
import { filesUnder, textOf } from './files.ts'
import { layers, mayImport, only, packagesLoadedAtImport, sideways } from './layers.ts'

interface Import {
  readonly file: string
  readonly specifier: string
  /** False for `import type` and for `await import()`. */
  readonly atLoad: boolean
}

/** Every import, export-from and dynamic import of a file, with whether it loads code when the file is loaded. */
function importsOf(file: string): Import[] {
  const found: Import[] = []
  const add = (specifier: ts.Node | undefined, atLoad: boolean): void => {
    if (specifier && ts.isStringLiteralLike(specifier)) found.push({ file, specifier: specifier.text, atLoad })
  }
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node)) {
      const clause = node.importClause
      const named = clause?.namedBindings
      const allTypes =
        clause !== undefined &&
        clause.name === undefined &&
        named !== undefined &&
        ts.isNamedImports(named) &&
        named.elements.length > 0 &&
        named.elements.every((element) => element.isTypeOnly)
      add(node.moduleSpecifier, !(clause?.phaseModifier === ts.SyntaxKind.TypeKeyword || allTypes))
    } else if (ts.isExportDeclaration(node)) add(node.moduleSpecifier, !node.isTypeOnly)
    else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword)
      add(node.arguments[0], false)
    else if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) add(node.argument.literal, false)
    ts.forEachChild(node, visit)
  }
  visit(ts.createSourceFile(file, textOf(file), ts.ScriptTarget.ES2022))
  return found
}

const sources = filesUnder('lib', (path) => path.endsWith('.ts'))
const imports = sources.flatMap(importsOf)
const relative = imports.filter(({ specifier }) => specifier.startsWith('.'))
const targetOf = ({ file, specifier }: Import): string => posix.join(posix.dirname(file), specifier)
/** The folder of lib a file belongs to; empty for lib/index.ts. */
const folderOf = (file: string): string => (file.split('/').length > 2 ? file.split('/')[1]! : '')

describe('the layers of lib', () => {
  it('have every folder in the table, once', () => {
    const folders = [...new Set(sources.map(folderOf))].filter((folder) => folder !== '')
    expect(folders.length).toBeGreaterThan(8)
    const listed = layers.flat()
    expect(new Set(listed).size).toBe(listed.length)
    expect(folders.filter((folder) => !listed.includes(folder))).toEqual([])
  })

  it('import downwards only', () => {
    expect(relative.length).toBeGreaterThan(50)
    const wrong = relative
      .filter((item) => folderOf(item.file) !== '')
      .filter((item) => !mayImport(folderOf(item.file), folderOf(targetOf(item))))
      .map((item) => `${item.file} imports ${item.specifier}`)
    expect(wrong).toEqual([])
  })

  it('have no cycle between folders', () => {
    const edges = new Map<string, Set<string>>()
    for (const from of layers.flat())
      edges.set(from, new Set(layers.flat().filter((to) => to !== from && mayImport(from, to))))
    const done = new Set<string>()
    const visit = (folder: string, path: readonly string[]): void => {
      expect(path, 'a cycle in the table of layers').not.toContain(folder)
      if (done.has(folder)) return
      for (const next of edges.get(folder)!) visit(next, [...path, folder])
      done.add(folder)
    }
    for (const folder of edges.keys()) visit(folder, [])
    for (const { from, to } of sideways) expect([from, to].every((folder) => edges.has(folder))).toBe(true)
    for (const folder of Object.keys(only)) expect(edges.has(folder)).toBe(true)
  })

  it('have no cycle between files that are loaded together', () => {
    const edges = new Map<string, string[]>()
    for (const item of relative)
      if (item.atLoad) edges.set(item.file, [...(edges.get(item.file) ?? []), targetOf(item)])
    const cycles: string[] = []
    const done = new Set<string>()
    const visit = (file: string, path: readonly string[]): void => {
      if (path.includes(file)) cycles.push([...path.slice(path.indexOf(file)), file].join(' > '))
      if (done.has(file) || path.includes(file)) return
      for (const next of edges.get(file) ?? []) visit(next, [...path, file])
      done.add(file)
    }
    for (const file of edges.keys()) visit(file, [])
    expect(cycles).toEqual([])
  })

  it('are imported by file names with their extension', () => {
    const bare = relative.filter((item) => !/\.(ts|json)$/.test(item.specifier))
    expect(bare.map((item) => `${item.file}: ${item.specifier}`)).toEqual([])
  })

  it('reach nothing outside lib', () => {
    const outside = relative.filter((item) => !targetOf(item).startsWith('lib/') && !targetOf(item).endsWith('.json'))
    expect(outside.map((item) => `${item.file}: ${item.specifier}`)).toEqual([])
  })
})

describe('packages', () => {
  it('are loaded where they are used, except small ones and those of the command line', () => {
    const eager = imports
      .filter((item) => item.atLoad && !item.specifier.startsWith('.') && !item.specifier.startsWith('node:'))
      .filter((item) => folderOf(item.file) !== 'cli' && !packagesLoadedAtImport.includes(item.specifier))
    expect(eager.map((item) => `${item.file}: ${item.specifier}`)).toEqual([])
  })

  it('are listed in package.json', () => {
    const { dependencies } = JSON.parse(textOf('package.json')) as { dependencies: Record<string, string> }
    const missing = imports
      .filter((item) => !item.specifier.startsWith('.') && !item.specifier.startsWith('node:'))
      .filter(({ specifier }) => {
        const name = specifier
          .split('/')
          .slice(0, specifier.startsWith('@') ? 2 : 1)
          .join('/')
        return !(name in dependencies)
      })
    expect(missing.map((item) => `${item.file}: ${item.specifier}`)).toEqual([])
  })
})
