import { beforeAll, describe, expect, it } from 'vitest'
import { tokenizeWeighted } from '../../lib/models/clip/captionWeights.ts'
import { ClipTextModel } from '../../lib/models/clip/textModel.ts'
import { type ClipTokenizer, loadClipTokenizer } from '../../lib/models/clip/tokenizer.ts'
import { UNet } from '../../lib/models/stableDiffusion/unet.ts'
import { type EncodePromptsOptions, encodePrompts } from '../../lib/preview/encodePrompts.ts'
import { tensor } from '../../lib/tensor/create.ts'
import { baselineBuffers, liveBuffers } from '../support/device.ts'
import { formulaWeights, tinyConfigs } from '../support/tinyModels.ts'

const { textEncoder: textConfig, unet: unetConfig } = tinyConfigs.tinySd2
const models = {
  textEncoder: new ClipTextModel(textConfig, formulaWeights('text_encoder')),
  unet: new UNet(unetConfig, formulaWeights('unet')),
}
const width = textConfig.hiddenSize
const words = (count: number): string => new Array<string>(count).fill('frog').join(' ')
let tokenizer: ClipTokenizer
beforeAll(async () => {
  tokenizer = await loadClipTokenizer({ variant: 'sd2' })
})

async function encode(prompts: readonly string[], options: EncodePromptsOptions = {}): Promise<Float32Array[]> {
  const context = encodePrompts(models, tokenizer, prompts, options)
  const values = (await context.read()) as Float32Array
  const size = values.length / prompts.length
  expect(context.shape).toEqual([prompts.length, size / width, width])
  context.dispose()
  return prompts.map((_, i) => values.slice(i * size, (i + 1) * size))
}

const mean = (values: Float32Array): number => values.reduce((sum, x) => sum + x, 0) / values.length

describe('encodePrompts', () => {
  it('gives positive and negative prompt as many rows of 77 as the longer needs, at most three', async () => {
    const baseline = await baselineBuffers()
    for (const [count, rows] of [
      [0, 1],
      [75, 1],
      [76, 2],
      [151, 3],
      [400, 3],
    ] as const) {
      const [negative, positive] = await encode(['', words(count)])
      expect(negative).toHaveLength(rows * 77 * width)
      expect(positive).toHaveLength(rows * 77 * width)
    }
    expect(await liveBuffers()).toBe(baseline)
  })

  it('gives each row its start and end and fills it with end tokens, in version 2 too', async () => {
    const [prompt] = await encode([words(80)])
    const row = (content: readonly number[]): number[] => [
      49406,
      ...content,
      ...new Array<number>(76 - content.length).fill(49407),
    ]
    const ids = tokenizer.encode(words(80))
    const rows = tensor(Int32Array.from([...row(ids.slice(0, 75)), ...row(ids.slice(75))]), [2, 77])
    const expected = (await models.textEncoder.encode(rows).read()) as Float32Array
    prompt!.forEach((x, i) => {
      expect(Math.abs(x - expected[i]!)).toBeLessThan(1e-5)
    })
  })

  it('weighs words in brackets and restores the mean of each prompt by itself', async () => {
    const [plain, negative] = await encode(['a red frog', 'a pond'])
    const [weighted, same] = await encode(['a (red:1.8) frog', 'a pond'])
    expect(same).toEqual(negative)
    expect(mean(weighted!)).toBeCloseTo(mean(plain!), 6)
    // Positions: start, a, red, frog, end.
    const ratio = (at: number): number => weighted![at * width]! / plain![at * width]!
    expect(ratio(2) / ratio(1)).toBeCloseTo(1.8, 4)
    expect(ratio(3) / ratio(1)).toBeCloseTo(1, 4)
    expect(ratio(1)).not.toBe(1)
  })

  it('reads the hidden state that clip skip tells', async () => {
    const [last] = await encode(['a frog'])
    expect((await encode(['a frog'], { clipSkip: 1 }))[0]).toEqual(last)
    expect((await encode(['a frog'], { clipSkip: 2 }))[0]).not.toEqual(last)
  })

  it('warns of what is cut off and draws the rest', async () => {
    const warnings: string[] = []
    const onWarning = (message: string): void => void warnings.push(message)
    const [long] = await encode([`${words(225)} and a pond`], { onWarning })
    expect(warnings).toEqual([
      expect.stringMatching(
        /^a prompt has 228 tokens; the last 3 are not drawn, since there is room for 225: "frog frog/,
      ),
    ])
    expect(long).toEqual((await encode([words(225)], { onWarning }))[0])
    expect(warnings).toHaveLength(1)
    expect(tokenizeWeighted(tokenizer, ['', words(100)], 1).cut).toEqual([0, 25])
  })

  it('expands prompts before their brackets are read', async () => {
    const expandPrompt = (prompt: string): string => prompt.replaceAll('sks', '(red:1.8) frog')
    const expanded = await encode(['sks', 'a sks'], { expandPrompt })
    expect(expanded).toEqual(await encode(['(red:1.8) frog', 'a (red:1.8) frog']))
  })
})
