/** What `plan` and `debug-dataset` tell about captions is what the training encodes. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { run } from '../../lib/cli/run.ts'
import { type EpochProgress, epochBatches } from '../../lib/data/batches.ts'
import { templateCaptions } from '../../lib/train/methods/inversionTemplates.ts'
import { parseTraining } from '../../lib/train/options/parseTraining.ts'
import type { TrainingPlan } from '../../lib/train/plan/trainingPlan.ts'
import { loadTrainingData } from '../../lib/train/trainingData.ts'
import { exitCodes } from '../../lib/util/errors.ts'
import { makeFolder } from '../support/pictures.ts'
import { makeTestHost } from './testHost.ts'

let folder: string
let data: readonly string[]

beforeAll(async () => {
  folder = await makeFolder({
    '1_x/a.png': [64, 64],
    '1_x/a.txt': 'qfrog (on:1.3) [a] log, green, wet, cold, small',
    '1_x/b.png': [64, 64],
    '1_x/b.txt': 'a qfrog, red, dry, warm, large',
    '1_x/c.png': [64, 64],
    '1_x/c.txt': 'the qfrog, blue, slow, old, far',
  })
  data = ['--train_data_dir', folder, '--caption_extension', '.txt', '--resolution', '64', '--seed', '5']
})

async function output(...args: readonly string[]): Promise<string> {
  const host = makeTestHost()
  expect(await run(args, host), host.stderr.text).toBe(exitCodes.ok)
  return host.stdout.text
}

/** Of a listing, in its order. */
const captionsIn = (text: string): string[] =>
  Array.from(text.matchAll(/^ {4}caption (".*")$/gm), ([, caption]) => JSON.parse(caption!) as string)

describe('debug-dataset', () => {
  it('counts steps as the training does, for tags that come in by steps', async () => {
    const options = ['--token_warmup_step', '2', '--gradient_accumulation_steps', '2', '--max_train_epochs', '2']
    const { config } = await parseTraining('train-network', [...data, ...options], { dataOnly: true })
    const group = await loadTrainingData(config, { seed: 5 })
    const progress: EpochProgress = { firstStep: 0, batchesPerStep: 2, totalSteps: 4 }
    const expected = Array.from(epochBatches(group, 1, { progress }), ({ items }) => items[0]!.caption)
    const text = await output('debug-dataset', 'train-network', ...data, ...options)
    expect(captionsIn(text)).toEqual(expected)
    expect(expected.map((caption) => caption.split(', ').length)).toEqual([1, 1, 3])
    expect(Array.from(text.matchAll(/, step (\d+):/g), ([, step]) => step)).toEqual(['1', '1', '2'])
  })

  it('shows the sentences that a new word is learned from, and the word as the tokens that it stands for', async () => {
    const word = ['--token_string', 'qfrog', '--num_vectors_per_token', '3']
    const inversion = ['debug-dataset', 'train-textual-inversion', ...data, ...word]
    const text = await output(...inversion, '--use_style_template')
    const expected = [0, 1, 2].flatMap((batch) => templateCaptions('style', 'qfrog', 1, 5, { epoch: 1, batch }))
    expect(captionsIn(text)).toEqual(expected)
    expect(text.match(/qfrog \| qfrog1 \| qfrog2$/gm)).toHaveLength(3)
    const own = await output(...inversion)
    expect(captionsIn(own)).toContain('a qfrog, red, dry, warm, large')
    expect(own).toContain('12 tokens: a | qfrog | qfrog1 | qfrog2 | , | red | ,')
  })

  it('shows no brackets among the tokens where they weigh words', async () => {
    const plain = await output('debug-dataset', 'train-network', ...data)
    expect(plain).toMatch(/frog \| \( \| on/)
    const weighted = await output('debug-dataset', 'train-network', ...data, '--weighted_captions')
    expect(captionsIn(weighted)).toEqual(captionsIn(plain))
    expect(weighted).toMatch(/frog \| on \| a \| log \| , \| green/)
  })

  it('shows the same in a file', async () => {
    const html = join(folder, 'page.html')
    const word = ['--token_string', 'qfrog', '--use_object_template']
    await output('debug-dataset', '--html', html, 'train-textual-inversion', ...data, ...word)
    const [first] = templateCaptions('object', 'qfrog', 1, 5, { epoch: 1, batch: 0 })
    expect(await readFile(html, 'utf8')).toContain(`"caption":"${first}"`)
  })
})

describe('plan', () => {
  async function longOf(caption: string, ...options: readonly string[]): Promise<number[]> {
    const own = await makeFolder({ '1_x/a.png': [64, 64], '1_x/a.txt': caption })
    const args = ['--train_data_dir', own, '--caption_extension', '.txt', '--resolution', '64']
    const plan = JSON.parse(await output('plan', '--json', ...options, ...args)) as TrainingPlan
    return plan.captions.overLimit.map(({ tokens }) => tokens)
  }
  const words = (count: number): string => Array(count).fill('word').join(' ')

  it('counts the tokens of captions as they are used', async () => {
    expect(await longOf(words(75))).toEqual([])
    expect(await longOf(words(76))).toEqual([76])
    expect(await longOf(words(70), '--caption_prefix', 'one two three', '--caption_suffix', 'four five six')).toEqual([
      76,
    ])
    expect(await longOf(`(${words(75)}:1.2)`)).toEqual([81])
    expect(await longOf(`(${words(75)}:1.2)`, '--weighted_captions')).toEqual([])
    expect(await longOf(`${words(50)}\n${words(60)}`, '--enable_wildcard')).toEqual([])
    expect(await longOf(`${words(70)} {a|${words(8)}}\nshort`, '--enable_wildcard')).toEqual([78])
  })

  it('counts sentences and learned words where a word is learned', async () => {
    const inversion = ['train-textual-inversion', '--token_string', 'word', '--num_vectors_per_token', '2']
    expect(await longOf(words(40), ...inversion)).toEqual([80])
    expect(await longOf(words(40), ...inversion, '--use_object_template')).toEqual([])
  })
})
