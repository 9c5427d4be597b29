// npm run cuda:report -- [--arch 80,86] [--write] [words]: what the compiler made of the GPU's kernels: registers, spills, stack, shared
// memory, occupancy, and from the disassembly tensor-core products and wide accesses. Exits with 1 when a kernel breaks a rule.
// --write writes native/cuda/report.md, of all kernels. Words choose files of kernels by name. Needs nvcc; nvdisasm
// (NOISEWRIGHT_NVDISASM, on PATH or in the toolkit; also on PyPI, as nvidia-cuda-nvdisasm) for the counts of instructions. What was
// compiled stays in out/cuda and is compiled again only when a kernel or the compiler has changed.
import { writeFileSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import * as kernels from './cudaReport/kernels.mjs'
import { limits, occupancy } from './cudaReport/occupancy.mjs'
import { local, narrow, rules } from './cudaReport/rules.mjs'
import { tableOf } from './cudaReport/table.mjs'

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
const counted = nvdisasm ? Object.keys(kernels.counted) : []
if (!nvdisasm)
  console.error(
    'nvdisasm was not found (NOISEWRIGHT_NVDISASM, PATH, CUDA_HOME, CUDA_PATH; pip install nvidia-cuda-nvdisasm): ' +
      'instructions are not counted, and rules about them not checked',
  )

function fail(message) {
  console.error(message)
  process.exit(2)
}

const sources = kernels
  .filesOf(root, /^ops\/.*_cuda\.cu$/)
  .filter((path) => words.every((word) => basename(path).includes(word)))
if (sources.length === 0) fail(`no file of kernels has ${words.join(' and ')} in its name`)

const out = join(root, 'out', 'cuda')
const launchBytes = kernels.launchBytes(nvcc, root, out)

/** Kernels of one source for one architecture. */
function compiled(source, architecture) {
  const { cubin, log } = kernels.compile(nvcc, root, source, architecture, join(out, `sm_${architecture}`))
  const threads = kernels.blockThreads(cubin)
  const counts = nvdisasm ? kernels.instructionsOf(nvdisasm, cubin) : new Map()
  return [...kernels.resourcesOf(log)].map(([name, resources]) => {
    const kernel = { name, threads: threads.get(name) ?? null, ...resources, ...counts.get(name) }
    kernel.sharedBytes += launchBytes.get(name) ?? 0
    kernel.occupancy = kernel.threads && occupancy(architecture, kernel)
    return kernel
  })
}

const files = new Map() // by name: kernels, by name: what was found for each architecture
const violations = []
for (const source of sources) {
  const found = new Map()
  files.set(basename(source), found)
  for (const architecture of architectures) {
    console.error(`${basename(source)} for sm_${architecture}`)
    for (const kernel of compiled(source, architecture)) {
      found.set(kernel.name, [...(found.get(kernel.name) ?? []), kernel])
      for (const { what, counts, broken } of rules)
        if ((nvdisasm || !counts) && broken(kernel)) violations.push(`${kernel.name} for sm_${architecture} ${what}`)
    }
  }
}

const listOf = (exceptions) =>
  Object.entries(exceptions)
    .map(([pattern, reason]) => `- \`${pattern}\`: ${reason}`)
    .join('\n')

const total = [...files.values()].reduce((sum, found) => sum + found.size, 0)
const names = architectures.map((name) => `sm_${name}`)
const report = `# What the compiler makes of the CUDA kernels

Written by \`npm run cuda:report -- --write\` with nvcc ${kernels.compilerVersion(nvcc)}. No GPU has run these kernels: every number is the
compiler's, or computed from its.

${total} kernels for ${names.join(', ')}: where the architectures differ, a cell has their numbers in this order. Spills, stack and shared
memory are bytes; spills are stores and loads together; shared memory is what the kernel is launched with. Occupancy is the share of a
multiprocessor's warps that threads of a block, registers and shared memory leave room for. The other columns count instructions:
tensor-core products (HMMA), accesses of 16 bytes to global memory (LDG 16, STG 16), asynchronous copies of 16 bytes (LDGSTS), loads of
matrices (LDSM), accesses to local memory (LDL, STL).

The rules, in \`scripts/cudaReport/rules.mjs\`: no kernel spills or leaves its threads unbounded; each fits on a multiprocessor; matrix
products of 16-bit floats and of tf32 run on tensor cores. None keeps variables in local memory, except

${listOf(local)}

Each moves 16 bytes at a time, except

${listOf(narrow)}

${violations.length === 0 ? 'No kernel breaks a rule.' : `Rules broken:\n\n${violations.map((text) => `- ${text}`).join('\n')}`}
${[...files].map(([file, found]) => `\n## ${file}\n\n${tableOf(found, counted)}\n`).join('')}`
if (values.write) writeFileSync(join(root, 'native', 'cuda', 'report.md'), report)
else console.log(report)
for (const text of violations) console.error(`rule broken: ${text}`)
process.exit(violations.length > 0 ? 1 : 0)
