import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { parseTraining } from '../../lib/train/options/parseTraining.ts'
import { loadTrainingData } from '../../lib/train/trainingData.ts'
import { ConfigError } from '../../lib/util/errors.ts'
import { makeFolder } from '../support/pictures.ts'
import { configFailure } from './configFailure.ts'

const model = ['--pretrained_model_name_or_path', 'model', '--output_dir', 'out']

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'noisewright-function-'))
})
afterAll(() => rm(folder, { recursive: true }))

/** A file that exports `data`, as an option. */
async function option(code: string): Promise<string[]> {
  const file = join(folder, `${Math.random().toString(36).slice(2)}.mjs`)
  await writeFile(file, `export const data = ${code}\n`)
  return ['--dataset_class', `${file}#data`]
}

async function load(code: string, ...more: string[]) {
  const args = [...model, ...(await option(code)), '--resolution', '64', '--train_batch_size', '2', ...more]
  const { config } = await parseTraining('train-network', args)
  return loadTrainingData(config, { seed: 1 })
}

describe('a function that describes the data', () => {
  it('gives what a dataset file would hold, and options count where it says nothing', async () => {
    const pictures = JSON.stringify(await makeFolder({ 'a.png': [64, 64], 'b.png': [64, 64] }))
    const group = await load(
      `async () => ({ datasets: [{ subsets: [{ image_dir: ${pictures}, class_tokens: 'x' }] }] })`,
    )
    expect(group.datasets[0]!.config).toMatchObject({ resolution: [64, 64], batchSize: 2 })
    expect(group.datasets[0]!.images.map(({ caption }) => caption)).toEqual(['x', 'x'])
    expect(group.warnings.join()).not.toContain('prior_loss_weight')
  })

  it('of no regularization pictures gives their weight no effect', async () => {
    const folders = await Promise.all([makeFolder({ 'a.png': [64, 64] }), makeFolder({ 'b.png': [64, 64] })])
    const [pictures, reg] = folders.map((each) => JSON.stringify(each))
    const warningsOf = async (subsets: string) => {
      const code = `() => ({ datasets: [{ subsets: [{ image_dir: ${pictures}, class_tokens: 'x' }, ${subsets}] }] })`
      return (await load(code, '--prior_loss_weight', '0.5')).warnings.join()
    }
    expect(await warningsOf('')).toContain('--prior_loss_weight has no effect: no subset is of regularization pictures')
    expect(await warningsOf(`{ image_dir: ${reg}, class_tokens: 'x', is_reg: true }`)).not.toContain(
      'prior_loss_weight',
    )
  })

  it('without metadata of a folder needs no leave to use files outside of it', async () => {
    const metadata = await makeFolder({ 'a.png': [64, 64], 'm.json': '{ "a": {} }' })
    const warningsOf = async (subset: object) => {
      const code = `() => ({ datasets: [{ subsets: [${JSON.stringify(subset)}] }] })`
      return (await load(code, '--allow_outside_image_dir')).warnings.join()
    }
    expect(await warningsOf({ image_dir: metadata, class_tokens: 'x' })).toContain(
      '--allow_outside_image_dir has no effect',
    )
    const confined = { metadata_file: join(metadata, 'm.json'), image_dir: metadata }
    expect(await warningsOf(confined)).not.toContain('allow_outside')
  })

  it.each([
    ['() => ({ datasets: [{ subsets: [{ image_dirr: "a" }] }] })', 'Did you mean "image_dir"?'],
    ['() => 3', 'the configuration must be a table, found 3'],
    [
      '() => { throw new Error("no such bucket") }',
      'the function that describes the data failed: Error: no such bucket',
    ],
  ])('is answered as a wrong file is: %s', async (code, message) => {
    expect((await configFailure(load(code))).message).toContain(message)
  })

  it('must be a function of a file, and takes the place of other data', async () => {
    const python = parseTraining('train-network', [...model, '--dataset_class', 'my.module.Dataset'])
    await expect(python).rejects.toThrow('--dataset_class must name a file and an export of it, ./file.js#Name')
    await expect(parseTraining('train-network', [...model, ...(await option('3'))])).rejects.toThrow(ConfigError)
    const both = [...model, ...(await option('() => ({})')), '--dataset_config', 'data.toml', '--train_data_dir', 'd']
    expect((await parseTraining('train-network', both)).notes).toEqual([
      '--dataset_config is not used, since --dataset_class describes the data',
      '--train_data_dir is not used, since --dataset_class describes the data',
    ])
    const xti = parseTraining('train-textual-inversion-xti', [...model, '--dataset_class', './a.js#b'])
    await expect(xti).rejects.toThrow('--dataset_class is an option of')
  })
})
