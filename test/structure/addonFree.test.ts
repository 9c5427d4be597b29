import { posix } from 'node:path'
import ts from 'typescript'
import { describe, expect, it } from 'vitest'
import { textOf } from './files.ts'

/** Files of lib that load when a file does: its imports that are not of types alone, and theirs. */
function loadedBy(file: string, seen = new Set<string>()): Set<string> {
  if (seen.has(file)) return seen
  seen.add(file)
  for (const statement of ts.createSourceFile(file, textOf(file), ts.ScriptTarget.ES2022).statements) {
    if (!ts.isImportDeclaration(statement) && !ts.isExportDeclaration(statement)) continue
    const { moduleSpecifier: target } = statement
    if (target === undefined || !ts.isStringLiteral(target) || !target.text.startsWith('.')) continue
    const clause = ts.isImportDeclaration(statement) ? statement.importClause : statement
    const named = ts.isImportDeclaration(statement) ? statement.importClause?.namedBindings : statement.exportClause
    const isType = ts.isImportDeclaration(statement)
      ? statement.importClause?.phaseModifier === ts.SyntaxKind.TypeKeyword
      : statement.isTypeOnly
    const elements = named !== undefined && 'elements' in named ? [...named.elements] : []
    if (isType || (clause !== undefined && elements.length > 0 && elements.every((item) => item.isTypeOnly))) continue
    if (target.text.endsWith('.ts')) loadedBy(posix.join(posix.dirname(file), target.text), seen)
  }
  return seen
}

describe('looking at files and converting them', () => {
  it.each(['inspect', 'convertCheckpoint', 'convertFile'])('needs no addon: lib/checkpoints/%s.ts', (name) => {
    const files = loadedBy(`lib/checkpoints/${name}.ts`)
    expect(files.size).toBeGreaterThan(20)
    expect([...files].filter((file) => file === 'lib/native/load.ts')).toEqual([])
  })
})

describe('preparing captions and tags', () => {
  it('needs no addon', () => {
    const files = loadedBy('lib/cli/prepareTexts.ts')
    expect(files.size).toBeGreaterThan(15)
    expect([...files].filter((file) => file === 'lib/native/load.ts')).toEqual([])
  })
})

it('finding pictures, captions and buckets needs no addon', () => {
  const files = loadedBy('lib/data/datasetGroup.ts')
  expect(files).toContain('lib/data/scan.ts')
  expect(files).not.toContain('lib/native/load.ts')
})
