#!/usr/bin/env node
// Runs after npm install, and as `npx noisewright-build`: a prebuilt binary that loads ends it; otherwise the addon is built.
'use strict'
const { existsSync, readdirSync } = require('node:fs')
const path = require('node:path')
const { spawnSync } = require('node:child_process')

const root = path.join(__dirname, '..')

function prebuiltLoads() {
  const folder = path.join(root, 'prebuilds', `${process.platform}-${process.arch}`)
  if (!existsSync(folder)) return false
  for (const name of readdirSync(folder).filter((file) => file.endsWith('.node'))) {
    try {
      require(path.join(folder, name))
      return true
    } catch (error) {
      console.error(`noisewright: the prebuilt binary does not load (${error.message.split('\n')[0]})`)
    }
  }
  return false
}

const forced = process.env.npm_config_build_from_source
if (forced !== 'true' && forced !== 'noisewright' && prebuiltLoads()) process.exit(0)

const runs = (tool) => spawnSync(tool, ['--version'], { stdio: 'ignore' }).status === 0
const missing = ['cmake', process.env.CXX || 'c++'].filter((tool) => !runs(tool))
if (!runs('ninja') && !runs('make')) missing.push('ninja or make')
if (missing.length > 0) {
  console.error(
    `noisewright: building from source needs ${missing.join(' and ')}; on Debian: apt install cmake g++ ninja-build`,
  )
  process.exit(1)
}
const cmakeJs = require.resolve('cmake-js/bin/cmake-js')
const options = ['compile', '--parallel', String(require('node:os').availableParallelism())]
const { status, error } = spawnSync(process.execPath, [cmakeJs, ...options], { cwd: root, stdio: 'inherit' })
if (error) throw error
process.exit(status ?? 1)
