// npm run check:package: what npm would publish works without a build. Packs it with the binary that `npm run prebuild` made,
// installs the tarball in an empty folder with install scripts off, requires, imports and runs it, and asks publint.
// Needs: npm run build:ts, npm run prebuild, and packages to install from (npm's cache is asked first).
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { publint } from 'publint'
import { formatMessage } from 'publint/utils'
import { root } from './bundle.mjs'

const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
const prebuilt = join(root, 'prebuilds', `${process.platform}-${process.arch}`)
const need = (path, command) => {
  if (!existsSync(path)) fail(`${path} does not exist; run: ${command}`)
}
need(join(root, 'dist', 'index.js'), 'npm run build:ts')
need(prebuilt, 'npm run prebuild')

const folder = mkdtempSync(join(tmpdir(), 'noisewright-package-'))
try {
  check()
  console.log('the package installs and runs')
} finally {
  rmSync(folder, { recursive: true })
}

const { messages } = await publint({ pkgDir: root, strict: true })
for (const message of messages) console.log(`publint ${message.type}: ${formatMessage(message, manifest)}`)
if (messages.some(({ type }) => type !== 'suggestion')) fail('publint has objections')
console.log('publint has no objections')

function check() {
  const [packed] = JSON.parse(run('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', folder], root))
  const tarball = join(folder, packed.filename)
  console.log(
    `${packed.filename}: ${mebibytes(statSync(tarball).size)} packed, ${mebibytes(packed.unpackedSize)} unpacked`,
  )
  checkContents(packed.files.map(({ path }) => path))

  writeFileSync(join(folder, 'package.json'), '{ "name": "empty", "private": true }')
  run('npm', ['install', '--ignore-scripts', '--prefer-offline', '--no-audit', '--no-fund', tarball], folder)
  const facts = 'console.log(JSON.stringify([typeof n.add, n.cpuTarget(), typeof t.trainNetwork]))'
  const add = 'const x = n.tensor([1, 2], [2]); n.add(x, x).read().then((y) => console.log([...y].join()))'
  const required = `const n = require('noisewright'), t = require('noisewright/train'); ${facts}; ${add}`
  const imported = `import * as n from 'noisewright'; import * as t from 'noisewright/train'; ${facts}; ${add}`
  const outputs = [
    run('node', ['-e', required], folder),
    run('node', ['--input-type=module', '-e', imported], folder),
  ].map((text) => text.trim().split('\n'))
  for (const [found, sum] of outputs) {
    const [op, target, train] = JSON.parse(found)
    if (op !== 'function' || train !== 'function' || !target || sum !== '2,4')
      fail(`the package answers ${found} ${sum}`)
  }
  console.log(`require and import give the same: ${outputs[0].join(' ')}`)
  const told = run('npx', ['--no-install', 'noisewright', '--version'], folder).trim()
  if (told !== manifest.version) fail(`noisewright --version says ${told}, package.json ${manifest.version}`)
  console.log(`noisewright --version: ${told}`)
}

/** The tarball holds what it must and nothing that is only for work on the package. */
function checkContents(paths) {
  const binaries = readdirSync(prebuilt).filter((name) => name.endsWith('.node'))
  if (binaries.length !== 1) fail(`${prebuilt} must hold one binary, found ${binaries.join(', ') || 'none'}`)
  const wanted = [
    `prebuilds/${process.platform}-${process.arch}/${binaries[0]}`,
    ...['README.md', 'LICENSE', 'CMakeLists.txt', 'binding.gyp', 'scripts/install.cjs', 'native/addon.cpp'],
    ...[
      'dist/index.js',
      'dist/index.cjs',
      'dist/index.d.ts',
      'dist/index.d.cts',
      'dist/train/index.js',
      'dist/cli/main.js',
    ],
  ]
  const missing = wanted.filter((path) => !paths.includes(path))
  if (missing.length > 0) fail(`the package lacks ${missing.join(', ')}`)
  const stray = paths.filter((path) => /^(test|benchmarks|out|build|lib)\/|\.(test|bench)\.ts$/.test(path))
  if (stray.length > 0) fail(`the package holds ${stray.slice(0, 5).join(', ')}`)
}

function run(command, args, cwd) {
  const { status, stdout, stderr, error } = spawnSync(command, args, { cwd, encoding: 'utf8', env: environment() })
  if (error) throw error
  if (status !== 0) fail(`${command} ${args.join(' ')} ended with ${status}\n${stdout}${stderr}`)
  return stdout
}

/** Without what would lead the installed package to another binary, or npm to another package. */
function environment() {
  const kept = Object.entries(process.env).filter(
    ([name]) => !/^(NOISEWRIGHT_|npm_package_|npm_lifecycle_|npm_config_local)/.test(name),
  )
  return Object.fromEntries(kept)
}

function mebibytes(bytes) {
  return `${(bytes / 2 ** 20).toFixed(1)} MiB`
}

function fail(message) {
  throw new Error(`checkPackage: ${message}`)
}
