import { describe, expect, it } from 'vitest'
import { toml, tomlProblems } from './configFailure.ts'

/** Two subsets; lines 5 and 8 are theirs. */
const source = (first: string, second = ''): string => `[[datasets]]
resolution = 512
[[datasets.subsets]]
image_dir = 'pictures'
${first}
[[datasets.subsets]]
image_dir = 'others'
${second}
`
const folder = "conditioning_data_dir = 'masks'"

describe('masks', () => {
  it('are those of the subset that names their folder', async () => {
    const { datasets, notes } = await toml(source(folder), { maskedLoss: true })
    expect(datasets[0]!.subsets).toMatchObject([{ conditioningDataDir: 'masks' }, { conditioningDataDir: undefined }])
    expect(notes).toEqual([])
  })

  it('are not used without masked_loss, which is said', async () => {
    const { datasets, notes } = await toml(source(folder))
    expect(datasets[0]!.subsets[0]).toMatchObject({ conditioningDataDir: undefined })
    expect(notes).toEqual([
      'data.toml:5:1: option "conditioning_data_dir" has no effect: masks weigh the loss with --masked_loss only',
    ])
  })

  it('are missed by masked_loss where no subset has any', async () => {
    expect(await tomlProblems(source(''), { maskedLoss: true })).toEqual([
      '--masked_loss needs masks: set conditioning_data_dir or alpha_mask in a subset of the data',
    ])
  })

  it('may be the opacity of pictures, which weighs the loss without masked_loss too', async () => {
    expect((await toml(source('', 'alpha_mask = true'), { maskedLoss: true })).notes).toEqual([])
    expect((await toml(source('', 'alpha_mask = true'))).notes).toEqual([])
    expect((await toml(source(''), { maskedLoss: true, fallbacks: { alpha_mask: true } })).notes).toEqual([])
  })

  it('take the place of alpha_mask in their subset, and only there', async () => {
    const both = source(`${folder}\nalpha_mask = true`)
    expect(await tomlProblems(both, { maskedLoss: true })).toEqual([
      'data.toml:6:1: option "alpha_mask" has no effect: conditioning_data_dir holds the masks',
    ])
    const everywhere = `general = { alpha_mask = true }\n${source(folder)}`
    expect((await toml(everywhere, { maskedLoss: true })).notes).toEqual([])
  })

  it('are not for metadata', async () => {
    const problems = await tomlProblems(`[[datasets]]\n[[datasets.subsets]]\nmetadata_file = 'm.json'\n${folder}\n`)
    expect(problems).toEqual([
      expect.stringMatching(
        /^data\.toml:4:1: option "conditioning_data_dir" is not accepted: it is for DreamBooth data/,
      ),
    ])
  })
})
