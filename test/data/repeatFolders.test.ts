import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { datasetConfigFromFolders, parseFolderName } from '../../lib/data/repeatFolders.ts'
import { ConfigError, DataError } from '../../lib/util/errors.ts'
import { makeFolder } from '../support/pictures.ts'

const options = { fallbacks: { resolution: 512 } }

describe('parseFolderName', () => {
  it.each([
    ['20_sls frog', 20, 'sls frog'],
    ['5_a_b c', 5, 'a_b c'],
    ['10', 10, ''],
    ['10_', 10, ''],
    ['0_off', 0, 'off'],
    ['-3_x', -3, 'x'],
  ])('reads %j as %i repeats of %j', (name, repeats, words) => {
    expect(parseFolderName(name)).toEqual({ repeats, words })
  })

  it.each(['frog', 'x_5', '1.5_a', '', '_a'])('does not read %j', (name) => {
    expect(parseFolderName(name)).toBeUndefined()
  })
})

describe('datasetConfigFromFolders', () => {
  it('makes one subset per numbered folder, training first, each group by name', async () => {
    const train = await makeFolder({
      '5_b/1.png': '',
      '10_a/1.png': '',
      '0_off/1.png': '',
      'notes/1.png': '',
      'stray.png': '',
    })
    const reg = await makeFolder({ '2_frog/1.png': '' })
    const { config, warnings } = await datasetConfigFromFolders({ trainDataDir: train, regDataDir: reg }, options)
    expect(config.datasets).toHaveLength(1)
    expect(config.datasets[0]!.subsets).toMatchObject([
      { imageDir: join(train, '10_a'), numRepeats: 10, classTokens: 'a', isReg: false },
      { imageDir: join(train, '5_b'), numRepeats: 5, classTokens: 'b', isReg: false },
      { imageDir: join(reg, '2_frog'), numRepeats: 2, classTokens: 'frog', isReg: true },
    ])
    expect(warnings).toEqual([
      `${join(train, '0_off')}: not used, since its repeats are less than 1`,
      `${join(train, 'notes')}: not used, since its name is not <repeats>_<words>`,
      `${train}: the 1 pictures directly in it are not used, only those in its <repeats>_<words> folders`,
    ])
  })

  it('gives a folder without words the empty class, not none', async () => {
    const train = await makeFolder({ '10_/1.png': '' })
    const { config } = await datasetConfigFromFolders({ trainDataDir: train }, options)
    expect(config.datasets[0]!.subsets[0]).toMatchObject({ classTokens: '' })
  })

  it('lets the folder name beat --dataset_repeats, and takes other options from the command line', async () => {
    const train = await makeFolder({ '10_a/1.png': '' })
    const fallbacks = {
      resolution: [512, 768] as const,
      num_repeats: 3,
      flip_aug: true,
      caption_extension: 'txt',
      batch_size: 4,
    }
    const { config } = await datasetConfigFromFolders({ trainDataDir: train }, { fallbacks })
    expect(config.datasets[0]).toMatchObject({ resolution: [512, 768], batchSize: 4 })
    expect(config.datasets[0]!.subsets[0]).toMatchObject({ numRepeats: 10, flipAug: true, captionExtension: '.txt' })
  })

  it('says so when the pictures are in the parent', async () => {
    const train = await makeFolder({ 'a.png': '', 'b.jpg': '' })
    const error = await datasetConfigFromFolders({ trainDataDir: train }, options).catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(DataError)
    expect((error as DataError).message).toBe(
      `${train}: the 2 pictures are directly in this folder: pictures belong in a subfolder named <repeats>_<words>, such as "10_sks dog". Move them into one`,
    )
    expect((error as DataError).exitCode).toBe(3)
  })

  it('rejects a missing parent, one without numbered folders, and wrong command-line values', async () => {
    const train = await makeFolder({ 'frogs/a.png': '' })
    const run = (trainDataDir: string): Promise<unknown> => datasetConfigFromFolders({ trainDataDir }, options)
    await expect(run(join(train, 'none'))).rejects.toThrow('none: the folder does not exist')
    await expect(run(train)).rejects.toThrow(
      'no pictures to train on: pictures belong in a subfolder named <repeats>_<words>',
    )
    await expect(run(train)).rejects.toThrow('found only "frogs"')
    const good = await makeFolder({ '1_a/1.png': '' })
    await expect(datasetConfigFromFolders({ trainDataDir: good })).rejects.toBeInstanceOf(ConfigError)
    await expect(datasetConfigFromFolders({ trainDataDir: good })).rejects.toThrow('--resolution')
    const missingReg = datasetConfigFromFolders({ trainDataDir: good, regDataDir: join(good, 'none') }, options)
    await expect(missingReg).rejects.toThrow('the folder does not exist')
  })
})
