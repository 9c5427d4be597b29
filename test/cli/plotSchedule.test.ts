import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { chartSvg, drawChart } from '../../lib/cli/chart.ts'
import { run } from '../../lib/cli/run.ts'
import { exitCodes } from '../../lib/util/errors.ts'
import { makeTestHost } from './testHost.ts'

let folder: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'noisewright-plot-'))
})

afterAll(async () => {
  await rm(folder, { recursive: true, force: true })
})

async function plot(args: readonly string[], isTTY = false): Promise<{ code: number; out: string; err: string }> {
  const host = makeTestHost({ isTTY })
  const code = await run(['plot-schedule', ...args], host)
  return { code, out: host.stdout.text, err: host.stderr.text }
}

const cosine = ['--lr_scheduler', 'cosine', '--learning_rate', '1e-4', '--max_train_steps', '200']

describe('noisewright plot-schedule', () => {
  it('draws every group in plain characters where there is no terminal', async () => {
    const { code, out, err } = await plot([...cosine, '--text_encoder_lr', '5e-5', '--lr_warmup_steps', '10%'])
    expect(code).toBe(exitCodes.ok)
    expect(err).toBe('')
    expect(out).toMatch(/^[ -~\n]+$/)
    const lines = out.split('\n').slice(0, -1)
    expect(lines[0]).toBe('learning rate by step: cosine')
    expect(lines[1]).toMatch(/^1\.00e-4 \| +o+/)
    expect(lines.at(-2)).toMatch(/^ +1 +200$/)
    expect(lines.at(-1)).toMatch(/^ +\* textencoder {3}o unet$/)
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(100)
    // Warm-up: the first column begins at the bottom.
    expect(lines[14]).toMatch(/^ +0 \|[*o]/)
  })

  it('draws braille in colours on a terminal, and groups with the same rates once', async () => {
    const { out } = await plot(cosine, true)
    expect(out).toMatch(/[\u2801-\u28ff]/)
    expect(out).toContain('\x1b[36m── textencoder, unet\x1b[0m')
  })

  it('writes an SVG picture', async () => {
    const file = join(folder, 'rates.svg')
    const { out } = await plot([...cosine, '--svg', file])
    expect(out).toContain(`saved ${file}`)
    const svg = await readFile(file, 'utf8')
    expect(svg).toMatch(/^<svg [^>]+>\n(<[^\n]+>\n)+<\/svg>\n$/)
    expect(svg.match(/<polyline/g)).toHaveLength(1)
    expect(svg.match(/points="([^"]+)"/)![1]!.split(' ')).toHaveLength(200)
  })

  it('shows blocks and LoRA+ of the network as groups', async () => {
    const { out } = await plot([
      ...cosine,
      '--network_args',
      'up_lr_weight=zeros',
      'down_lr_weight=1,0.5',
      'loraplus_lr_ratio=4',
    ])
    expect(out).toContain('textencoder, block 2')
    expect(out).toContain('block 1')
    expect(out).not.toContain('block 13')
    expect(out).toContain('plus')
  })

  it('draws a function of the user', async () => {
    const file = join(folder, 'mine.mjs')
    await writeFile(file, 'export const halves = (step, { totalSteps }) => (2 * step < totalSteps ? 1 : 0.5)\n')
    const { code, out } = await plot(['--lr_scheduler_type', `${file}#halves`, '--max_train_steps', '10'])
    expect(code).toBe(exitCodes.ok)
    expect(out).toContain('learning rate by step: halves')
    const wrong = await plot(['--lr_scheduler_type', `${file}#halfs`])
    expect(wrong.code).toBe(exitCodes.usage)
    expect(wrong.err).toContain('Did you mean "halves"?')
  })

  it.each([
    [['--lr_scheduler', 'cosin'], 'Did you mean "cosine"?'],
    [['--lr_scheduler_type', 'StepLR'], 'StepLR needs step_size'],
    [['--max_train_epochs', '3'], 'give --max_train_steps'],
    [['--optimizer_type', 'Prodgy'], 'Did you mean "Prodigy"?'],
  ])('refuses %j with the code of wrong usage', async (args, message) => {
    const { code, out, err } = await plot(args)
    expect(code).toBe(exitCodes.usage)
    expect(out).toBe('')
    expect(err).toContain(message)
  })
})

describe('drawChart', () => {
  it.each([20, 40, 80, 120])('keeps to a width of %d', (width) => {
    const values = Array.from({ length: 500 }, (_, i) => Math.abs(Math.sin(i / 30)))
    for (const colours of [false, true]) {
      const lines = drawChart([{ name: 'a', values }], { width, height: 6, colours })
      const plain = lines.map((line) =>
        line
          .split('\x1b[')
          .map((part, i) => (i === 0 ? part : part.replace(/^[0-9]+m/, '')))
          .join(''),
      )
      expect(Math.max(...plain.map((line) => line.length))).toBeLessThanOrEqual(width)
    }
  })
  it('draws one step, and rates that are all zero', () => {
    expect(drawChart([{ name: 'a', values: [1] }], { width: 30, height: 3, colours: false })[0]).toContain('*')
    expect(drawChart([{ name: 'a', values: [0, 0] }], { width: 30, height: 3, colours: false })[2]).toContain('*')
  })
  it('escapes names in SVG', () => {
    expect(chartSvg([{ name: 'a<b', values: [1, 2] }], 'x & y')).toContain('x &amp; y')
  })
})
