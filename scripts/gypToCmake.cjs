#!/usr/bin/env node
// prebuildify talks to a program with node-gyp's command line; this is that program. It keeps what means something to CMake
// (--arch, --debug) and drops --target and --devdir, which choose headers.
'use strict'
const { spawnSync } = require('node:child_process')

const [verb = 'rebuild', ...rest] = process.argv.slice(2)
const option = (name) => rest.find((argument) => argument.startsWith(`--${name}=`))?.slice(name.length + 3)

const options = [require.resolve('cmake-js/bin/cmake-js'), verb === 'build' ? 'build' : 'rebuild']
options.push('--config', rest.includes('--debug') ? 'Debug' : 'Release')
options.push('--CDCUDA_ARCHS=all')
if (option('arch')) options.push('--arch', option('arch'))

const { status, error } = spawnSync(process.execPath, options, { stdio: 'inherit' })
if (error) throw error
process.exit(status ?? 1)
