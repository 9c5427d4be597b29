import { defineConfig } from 'tsdown'

export default defineConfig([
  {
    entry: { index: 'lib/index.ts', 'train/index': 'lib/train/index.ts' },
    format: ['esm', 'cjs'],
    dts: true,
    clean: true,
    target: 'node20',
    platform: 'node',
    fixedExtension: false,
  },
  {
    entry: { 'cli/main': 'lib/cli/main.ts' },
    format: ['esm'],
    dts: false,
    clean: false,
    target: 'node20',
    platform: 'node',
    fixedExtension: false,
  },
])
