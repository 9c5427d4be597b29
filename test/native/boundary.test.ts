import { readFileSync } from 'node:fs'
import ts from 'typescript'
import { describe, expect, it } from 'vitest'
import { addon } from '../../lib/native/load.ts'
import { dtypes } from '../../lib/tensor/dtype.ts'

const read = (path: string): string => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8')

interface Member {
  readonly name: string
  readonly documented: boolean
}

function membersOf(path: string, interfaceName: string): Member[] {
  const members: Member[] = []
  ts.createSourceFile(path, read(path), ts.ScriptTarget.ES2022, true).forEachChild((node) => {
    if (!ts.isInterfaceDeclaration(node) || node.name.text !== interfaceName) return
    for (const member of node.members)
      members.push({ name: member.name!.getText(), documented: ts.getJSDocCommentsAndTags(member).length > 0 })
  })
  return members
}

describe('the boundary to native code', () => {
  const members = [...membersOf('lib/native/addon.ts', 'Addon'), ...membersOf('lib/native/stepOps.ts', 'StepOps')]

  it('is described as the binary exports it', () => {
    expect(members.length).toBeGreaterThan(20)
    expect(members.map(({ name }) => name).sort()).toEqual(Object.keys(addon).sort())
  })

  it('names the element types in the order of the native enumeration', () => {
    const line = /kDTypeNames\[\] = \{([^}]*)\}/.exec(read('native/core/dtype.h'))?.[1] ?? ''
    expect(line.split(',').map((name) => name.trim().replaceAll('"', ''))).toEqual(dtypes)
  })
})
