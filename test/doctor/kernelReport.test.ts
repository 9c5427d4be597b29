/** What the doctor runs covers what there is. */
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { caseSizes } from '../../lib/doctor/kernelCase.ts'
import { kernelCases, opOf } from '../../lib/doctor/kernelReport.ts'
import { packageRoot } from '../../lib/util/packageRoot.ts'

/** Folders of native/ops whose kernels serve ops of other names. All others are named like their op. */
const opsOfFolder: Readonly<Record<string, readonly string[]>> = {
  activation: ['silu', 'gelu', 'quickGelu', 'geglu'],
  add: ['add', 'sub', 'mul', 'div'], // one kernel file for four signs
  create: ['full', 'randomNormal', 'randomUniform'],
  reduce: ['sum', 'mean'],
  slice: ['sliceChannels'], // a slice itself is a view
}

const camelCase = (name: string): string => name.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase())

describe('the cases of the doctor', () => {
  const folder = join(packageRoot(), 'native', 'ops')
  const withKernels = readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .filter(({ name }) => readdirSync(join(folder, name)).some((file) => file.endsWith('_cuda.cpp')))
    .map(({ name }) => name)

  it.each(caseSizes)('have every op with CUDA kernels, in size %s', (size) => {
    expect(withKernels.length).toBeGreaterThan(30)
    const checked = new Set(kernelCases(size).map(opOf))
    const ops = withKernels.flatMap((name) => opsOfFolder[name] ?? [camelCase(name)])
    expect(ops.filter((op) => !checked.has(op))).toEqual([])
  })

  it('have names that tell them apart', () => {
    for (const size of caseSizes) {
      const names = kernelCases(size).map(({ op, inputs }) => `${op} ${inputs.map(({ shape }) => shape).join(' ')}`)
      expect(names.filter((name, i) => names.indexOf(name) !== i)).toEqual([])
    }
  })

  it('name no folder that is gone', () => {
    expect(Object.keys(opsOfFolder).filter((name) => !withKernels.includes(name))).toEqual([])
  })
})
