import ts from 'typescript'
import { describe, expect, it } from 'vitest'
import { filesUnder, textOf } from './files.ts'

/** What a file of lib may take from `node:fs` and `node:fs/promises` besides types. `open` only to read: see below. */
const reading = new Set(['open', 'openSync', 'opendir', 'createReadStream', 'constants'])
const readingPrefix = /^(read|stat|lstat|fstat|statfs|access|exists|realpath)/
/** A folder exists whole or not at all. */
const harmless = new Set(['mkdir', 'mkdirSync'])

/** Files that change files without `atomicWrite`, each with the reason. */
const exceptions: Readonly<Record<string, string>> = {
  'lib/io/atomicWrite.ts': 'the one function through which everything is written',
  'lib/io/atomicFolder.ts': 'its counterpart for folders: renames a temporary one, whose files atomicWrite wrote',
  'lib/hub/downloadBlob.ts':
    'appends to a download that a broken connection cut; the file takes its name once its hash is right',
  'lib/hub/fileLock.ts': 'a lock is a file that must not exist before',
  'lib/hub/modelCache.ts': 'links and small references of the cache that other tools share',
  'lib/io/replacedFolders.ts': 'moves a folder that atomicFolder replaces aside and back, and removes it',
  'lib/io/appendFile.ts': 'appends records to a log that grows as long as the training runs; cuts a torn one off again',
  'lib/prepare/prepareBucketsLatents.ts': 'removes latents of mirrored pictures that belong to latents it has replaced',
  'lib/train/trainingOutput.ts':
    'removes files and states that newer ones replace, and files that previews were drawn from',
  'lib/train/verifyResume.ts': 'removes the folder it made for its runs',
}

interface Use {
  readonly file: string
  readonly what: string
}

/** Imports of writing functions, of whole fs modules, and calls of `open` with a mode other than `'r'`. */
function writesOf(file: string): Use[] {
  const found: Use[] = []
  const imported = new Set<string>()
  const source = ts.createSourceFile(file, textOf(file), ts.ScriptTarget.ES2022)
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node) && ts.isStringLiteral(node.moduleSpecifier)) {
      const clause = node.importClause
      const isType = clause?.phaseModifier === ts.SyntaxKind.TypeKeyword
      if (/^(node:)?fs(\/promises)?$/.test(node.moduleSpecifier.text) && !isType) {
        const named = clause?.namedBindings
        if (named === undefined || !ts.isNamedImports(named)) found.push({ file, what: 'the whole module' })
        else
          for (const { name, propertyName, isTypeOnly } of named.elements) {
            const text = (propertyName ?? name).text
            imported.add(name.text)
            if (!isTypeOnly && !reading.has(text) && !readingPrefix.test(text) && !harmless.has(text))
              found.push({ file, what: text })
          }
      }
    }
    if (ts.isCallExpression(node)) {
      const called = ts.isIdentifier(node.expression) ? node.expression.text : ''
      const mode = node.arguments[1]
      if (
        /^open(Sync)?$/.test(called) &&
        imported.has(called) &&
        mode !== undefined &&
        !(ts.isStringLiteral(mode) && mode.text === 'r')
      )
        found.push({ file, what: `${called} with ${mode.getText(source)}` })
      const [specifier] = node.arguments
      const isDynamic = node.expression.kind === ts.SyntaxKind.ImportKeyword || called === 'require'
      if (isDynamic && specifier && ts.isStringLiteral(specifier) && /^(node:)?fs/.test(specifier.text))
        found.push({ file, what: 'the whole module' })
    }
    ts.forEachChild(node, visit)
  }
  visit(source)
  return found
}

const uses = filesUnder('lib', (path) => path.endsWith('.ts')).flatMap(writesOf)

describe('files that lib writes', () => {
  it('go through atomicWrite', () => {
    const others = uses.filter(({ file }) => !(file in exceptions))
    expect(others.map(({ file, what }) => `${file} takes ${what} from node:fs`)).toEqual([])
  })

  it('are excused only where there is something to excuse', () => {
    for (const file of Object.keys(exceptions)) expect(uses.map((use) => use.file)).toContain(file)
  })
})
