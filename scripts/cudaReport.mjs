// npm run cuda:report -- [--arch 80,86] [--write] [words]: what the compiler made of the GPU's kernels: registers, spills, stack, shared
// memory, occupancy, and from the disassembly tensor-core products and wide accesses. Exits with 1 when a kernel breaks a rule.
// --write writes native/cuda/report.md, of all kernels. Needs nvcc; nvdisasm (NOISEWRIGHT_NVDISASM, on PATH or in the toolkit; also on
// PyPI, as nvidia-cuda-nvdisasm) for the counts of instructions.
import { readFileSync, writeFileSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import * as kernels from './cudaReport/kernels.mjs'
import { limits, occupancy } from './cudaReport/occupancy.mjs'

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..')
const { values, positionals: words } = parseArgs({
  allowPositionals: true,
  options: {
    arch: { type: 'string', default: Object.keys(limits).join(',') },
    write: { type: 'boolean', default: false },
  },
})
const architectures = values.arch.split(',')
const unknown = architectures.filter((name) => !(name in limits))
if (unknown.length > 0) fail(`--arch: ${unknown.join(', ')} is none of ${Object.keys(limits).join(', ')}`)
if (values.write && words.length > 0) fail('--write writes the report of all kernels: leave the words out')

const nvcc = kernels.findTool('nvcc', 'NOISEWRIGHT_NVCC')
if (!nvcc)
  fail('nvcc was not found (NOISEWRIGHT_NVCC, PATH, CUDA_HOME, CUDA_PATH, /usr/local/cuda): nothing can be reported')
const nvdisasm = kernels.findTool('nvdisasm', 'NOISEWRIGHT_NVDISASM')
const columns = Object.keys(kernels.counted)
if (!nvdisasm)
  console.error(
    `nvdisasm was not found (NOISEWRIGHT_NVDISASM, PATH, CUDA_HOME, CUDA_PATH; pip install nvidia-cuda-nvdisasm): ` +
      `the columns ${columns.join(', ')} are absent, and of the rules only that on spills is checked`,
  )

function fail(message) {
  console.error(message)
  process.exit(2)
}

const sources = kernels
  .filesOf(root, /^ops\/.*_cuda\.cu$/)
  .filter((path) => words.every((word) => basename(path).includes(word)))
if (sources.length === 0) fail(`no file of kernels has ${words.join(' and ')} in its name`)

/** Kernels that treat every element by itself: made by the macros of cuda/elementwise.cuh. */
const elementwise = sources.flatMap((path) =>
  [...readFileSync(path, 'utf8').matchAll(/^FLOAT_(?:PAIR_)?KERNELS\((\w+)/gm)].map(([, name]) => name),
)
const isElementwise = (name) =>
  elementwise.some((prefix) => new RegExp(`^${prefix}(_f32|_bf16|_f16)+_kernel$`).test(name))
/** Products on tensor cores; those of float32 alone are multiply-adds. */
const isProduct = (name) =>
  /^gemm_(tf32|bf16|f16)_/.test(name) || /^attention_(forward|backward_(queries|keys))_(bf16|f16)_\d/.test(name)
/** Kernels whose shared memory is chosen when they are launched. */
const dynamic = /^gemm_(?!join)|^attention_(forward|backward_(queries|keys))_(bf16|f16)_\d/

const rules = [
  { what: 'spills registers', broken: ({ spillStores, spillLoads }) => spillStores + spillLoads > 0 },
  { what: 'is a product without HMMA', broken: ({ name, HMMA }) => nvdisasm && isProduct(name) && HMMA === 0 },
  {
    what: 'is elementwise without accesses of 16 bytes',
    broken: (kernel) => nvdisasm && isElementwise(kernel.name) && kernel['LDG 16'] + kernel['STG 16'] === 0,
  },
]

/** Kernels of one source for one architecture. */
function compiled(source, architecture) {
  const { cubin, log } = kernels.compile(
    nvcc,
    root,
    source,
    architecture,
    join(root, 'out', 'cuda', `sm_${architecture}`),
  )
  const threads = kernels.blockThreads(cubin)
  const counts = nvdisasm ? kernels.instructionsOf(nvdisasm, cubin) : new Map()
  return [...kernels.resourcesOf(log)].map(([name, resources]) => {
    const block = threads.get(name) ?? null
    const share = block && occupancy(architecture, { threads: block, ...resources })
    return { name, architecture, threads: block, occupancy: share, ...resources, ...counts.get(name) }
  })
}

const found = new Map()
const violations = []
for (const source of sources)
  for (const architecture of architectures) {
    console.error(`${basename(source)} for sm_${architecture}`)
    for (const kernel of compiled(source, architecture)) {
      found.set(kernel.name, [...(found.get(kernel.name) ?? []), kernel])
      for (const { what, broken } of rules)
        if (broken(kernel)) violations.push(`${kernel.name} for sm_${architecture} ${what}`)
    }
  }

const percent = (share) => (share === null ? '-' : `${Math.round(100 * share)} %`)
const bound = (name) => (dynamic.test(name) ? '<= ' : '')
const worst = (list, of) => Math.max(...list.map(of))
const heads = ['kernel', 'threads', 'registers', 'spills', 'stack', 'shared', 'occupancy', ...(nvdisasm ? columns : [])]
const worstHeads = ['registers', 'spills', 'stack', 'occupancy'].map((name) => `worst ${name}`)
const rows = [...found].map(([name, list]) => {
  const [first] = list
  const lowest = first.occupancy === null ? null : Math.min(...list.map(({ occupancy: share }) => share))
  return [
    name,
    first.threads ?? '-',
    first.registers,
    first.spillStores + first.spillLoads,
    first.stack,
    first.sharedBytes,
    bound(name) + percent(first.occupancy),
    ...(nvdisasm ? columns.map((column) => first[column]) : []),
    worst(list, ({ registers }) => registers),
    worst(list, ({ spillStores, spillLoads }) => spillStores + spillLoads),
    worst(list, ({ stack }) => stack),
    bound(name) + percent(lowest),
  ].map(String)
})
const all = [[...heads, ...worstHeads], ...rows]
const widths = all[0].map((_, i) => Math.max(3, ...all.map((row) => row[i].length)))
const line = (row) =>
  `| ${row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]) : cell.padStart(widths[i]))).join(' | ')} |`
const rule = `| ${widths.map((width, i) => (i === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`)).join(' | ')} |`
const names = architectures.map((name) => `sm_${name}`)
const report = `# What the compiler makes of the CUDA kernels

Written by \`npm run cuda:report -- --write\` with nvcc ${kernels.compilerVersion(nvcc)}. No GPU has run these kernels: every number is the
compiler's, or computed from its.

The first columns are of ${names[0]}, the last the worst of ${names.join(', ')}. Spills, stack and shared memory are bytes; spills are
stores and loads together. Occupancy is the share of a multiprocessor's warps that threads of a block, registers and shared memory leave
room for; an upper bound (<=) where shared memory is chosen at launch, and unknown (-) where a kernel does not bound its threads. The other
columns count instructions: tensor-core products (HMMA), accesses of 16 bytes to global memory (LDG 16, STG 16), asynchronous copies
(LDGSTS), loads of matrices (LDSM), accesses to local memory (LDL, STL).

${violations.length === 0 ? 'No kernel breaks a rule of `scripts/cudaReport.mjs`.' : `Rules broken:\n\n${violations.map((text) => `- ${text}`).join('\n')}`}

${[line(all[0]), rule, ...all.slice(1).map(line)].join('\n')}
`
if (values.write) writeFileSync(join(root, 'native', 'cuda', 'report.md'), report)
else console.log(report)
for (const text of violations) console.error(`rule broken: ${text}`)
process.exit(violations.length > 0 ? 1 : 0)
