// What the compiler made of the kernels: one file and architecture at a time, with the flags of cmake/CudaFatbin.cmake.
import { execFileSync, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, delimiter, join } from 'node:path'

/** The path of a program of the CUDA toolkit: named by a variable, on PATH, or in the folders CMakeLists.txt looks into; or null. */
export function findTool(name, variable) {
  if (process.env[variable]) return process.env[variable]
  const toolkits = [process.env.CUDA_HOME, process.env.CUDA_PATH, '/usr/local/cuda'].filter(Boolean)
  const folders = [...(process.env.PATH ?? '').split(delimiter), ...toolkits.map((folder) => join(folder, 'bin'))]
  return folders.map((folder) => join(folder, name)).find(existsSync) ?? null
}

/** Files of native/ whose paths match. */
export function filesOf(root, pattern) {
  return readdirSync(join(root, 'native'), { recursive: true })
    .filter((path) => pattern.test(path))
    .map((path) => join(root, 'native', path))
    .sort()
}

const versions = new Map()
/** Release and build of the compiler. */
export function compilerVersion(nvcc) {
  if (!versions.has(nvcc)) {
    const said = execFileSync(nvcc, ['--version'], { encoding: 'utf8' })
    versions.set(nvcc, /release .*/.exec(said)[0])
  }
  return versions.get(nvcc)
}

/** What goes into a compilation: the text of a source and of all that it includes, without comments, which change no instruction. */
function inputOf(root, source) {
  const texts = new Map()
  const visit = (path) => {
    if (texts.has(path) || !existsSync(path)) return
    const text = readFileSync(path, 'utf8')
    texts.set(path, text.replace(/\/\/.*$/gm, '').replace(/\s+/g, ' '))
    for (const [, included] of text.matchAll(/^#include "(.+)"/gm)) visit(join(root, 'native', included))
  }
  visit(source)
  return [...texts.values()].join('\n')
}

/**
 * Compiles a source for an architecture into `folder`, unless that holds what this compiler made of the same input.
 * @returns paths of the cubin and of what the compiler said
 */
export function compile(nvcc, root, source, architecture, folder) {
  mkdirSync(folder, { recursive: true })
  const flags = ['-std=c++17', '-O3', '--fmad=false', '--ftz=true', '-Xptxas', '-v', '--expt-relaxed-constexpr']
  const key = createHash('sha256')
  for (const part of [compilerVersion(nvcc), ...flags, architecture, inputOf(root, source)]) key.update(`${part}\n`)
  const name = join(folder, `${basename(source, '.cu')}-${key.digest('hex').slice(0, 16)}`)
  const [cubin, log] = [`${name}.cubin`, `${name}.txt`]
  if (existsSync(log)) return { cubin, log }
  const target = [`-arch=sm_${architecture}`, `-I${join(root, 'native')}`, '-cubin', '-o', cubin, source]
  const { status, stdout, stderr } = spawnSync(nvcc, [...flags, ...target], { encoding: 'utf8' })
  if (status !== 0) throw new Error(`nvcc does not compile ${source} for sm_${architecture}:\n${stderr}`)
  writeFileSync(log, stdout + stderr) // last: it says that the cubin is whole
  return { cubin, log }
}

/** By kernel: the bytes of shared memory that the host code launches it with, of those that it launches with any. */
export function launchBytes(nvcc, root, folder) {
  mkdirSync(folder, { recursive: true })
  const program = join(folder, 'sharedBytes')
  const source = join(root, 'scripts', 'cudaReport', 'sharedBytes.cpp')
  execFileSync(nvcc, ['-std=c++17', `-I${join(root, 'native')}`, '-cudart', 'none', '-o', program, source])
  const lines = execFileSync(program, { encoding: 'utf8' }).trim().split('\n')
  return new Map(lines.map((line) => line.split(' ')).map(([name, bytes]) => [name, Number(bytes)]))
}

/** Resources of every kernel of a compiler's log, with those of functions that it calls: registers, bytes of stack, spills, static shared memory. */
export function resourcesOf(log) {
  const kernels = new Map()
  let kernel
  for (const line of readFileSync(log, 'utf8').split('\n')) {
    const name = /Compiling entry function '(\w+)'/.exec(line)?.[1]
    if (name) {
      kernel = { registers: 0, stack: 0, spillStores: 0, spillLoads: 0, sharedBytes: 0 }
      kernels.set(name, kernel)
    }
    const sizes = /(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads/.exec(line)
    if (sizes) {
      kernel.stack += Number(sizes[1])
      kernel.spillStores += Number(sizes[2])
      kernel.spillLoads += Number(sizes[3])
    }
    const used = /Used (\d+) registers/.exec(line)
    if (used) {
      kernel.registers = Number(used[1])
      kernel.sharedBytes = Number(/(\d+) bytes smem/.exec(line)?.[1] ?? 0)
    }
  }
  return kernels
}

const maxThreads = 0x05 // EIATTR_MAX_THREADS: three 32-bit numbers
const sized = 0x04 // attributes of this form have a size and as many bytes; others 16 bits

/** Threads of a block that `__launch_bounds__` names, by kernel: from the sections .nv.info.<kernel> of a cubin, an ELF file. */
export function blockThreads(cubin) {
  const file = readFileSync(cubin)
  const sections = Number(file.readBigUInt64LE(0x28))
  const [entry, count, names] = [0x3a, 0x3c, 0x3e].map((at) => file.readUInt16LE(at))
  const header = (i) => {
    const at = sections + i * entry
    const [offset, size] = [0x18, 0x20].map((field) => Number(file.readBigUInt64LE(at + field)))
    return { name: file.readUInt32LE(at), offset, size }
  }
  const text = header(names).offset
  const threads = new Map()
  for (let i = 0; i < count; i++) {
    const { name: start, offset, size } = header(i)
    const name = file.toString('latin1', text + start, file.indexOf(0, text + start))
    if (!name.startsWith('.nv.info.')) continue
    for (let at = offset; at < offset + size; ) {
      const length = file[at] === sized ? file.readUInt16LE(at + 2) : 0
      if (file[at] === sized && file[at + 1] === maxThreads)
        threads.set(
          name.slice('.nv.info.'.length),
          [4, 8, 12].map((k) => file.readUInt32LE(at + k)).reduce((a, b) => a * b),
        )
      at += 4 + length
    }
  }
  return threads
}

/** What is counted in a disassembly, by column: whether an instruction is one. */
export const counted = {
  HMMA: (name) => name.startsWith('HMMA'),
  'LDG 16': (name) => /^LDG\b.*\.128/.test(name),
  'STG 16': (name) => /^STG\b.*\.128/.test(name),
  LDGSTS: (name) => name.startsWith('LDGSTS'),
  LDSM: (name) => name.startsWith('LDSM'),
  LDL: (name) => /^LDL\b/.test(name),
  STL: (name) => /^STL\b/.test(name),
}

/** How many instructions of each kind of `counted` every kernel of a cubin has. */
export function instructionsOf(nvdisasm, cubin) {
  const text = execFileSync(nvdisasm, ['-c', cubin], { encoding: 'utf8', maxBuffer: 1 << 30 })
  const kernels = new Map()
  let counts
  for (const line of text.split('\n')) {
    const section = /\.section\s+\.text\.(\w+)/.exec(line)
    if (section) {
      counts = Object.fromEntries(Object.keys(counted).map((name) => [name, 0]))
      kernels.set(section[1], counts)
    }
    const name = /^\s*\/\*[0-9a-f]{4,}\*\/\s+(?:@!?\w+\s+)?([A-Z][A-Z0-9_.]+)/.exec(line)?.[1]
    if (name && counts) for (const [kind, is] of Object.entries(counted)) if (is(name)) counts[kind]++
  }
  return kernels
}
