import { describe, expect, it, test } from 'vitest'
import { ClipTextModel } from '../../../lib/models/clip/textModel.ts'
import { loadClipTokenizer, type TokenSequenceLength } from '../../../lib/models/clip/tokenizer.ts'
import { tinySd1, tinySd2 } from '../../../lib/models/stableDiffusion/config.ts'
import { CaptionEncoder, conditioningWarnings } from '../../../lib/train/inputs/conditioning.ts'
import { trainNetwork } from '../../../lib/train/trainings.ts'
import { expectDigest } from '../../support/digest.ts'
import { loadConditioningFixture } from '../../support/modelFixture.ts'
import { formulaWeights, tinyConfigs } from '../../support/tinyModels.ts'
import { eventsOf, makeTinyData, only, saveTinyModel, tinyTraining } from '../../support/tinyTraining.ts'

test('a training of 2.x with a clip skip and long captions starts with a warning and has finite losses', async () => {
  const overrides = { model: { clipSkip: 2, maxTokenLength: 225 } } as const
  const model = await saveTinyModel(tinySd2)
  const events = await eventsOf(trainNetwork(await tinyTraining(model, await makeTinyData(), overrides)))
  expect(only(events, 'warning').map(({ message }) => message)).toEqual([
    expect.stringContaining('clip_skip 2 counts from the last layer that '),
  ])
  const losses = only(events, 'step').map(({ loss }) => loss)
  expect(losses.length).toBe(2)
  expect(losses.every(Number.isFinite)).toBe(true)
})

it.each([
  [tinySd2, null],
  [tinySd2, 1],
  [tinySd1, 2],
] as const)('says nothing about a clip skip that is usual (%#)', (config, clipSkip) => {
  expect(conditioningWarnings(config, clipSkip)).toEqual([])
})

const lengths: readonly TokenSequenceLength[] = [77, 152, 227]

describe.each(['tinySd1', 'tinySd2'] as const)('conditioning on captions with the text encoder of %s', (name) => {
  const fixture = loadConditioningFixture(name)
  const variant = name === 'tinySd1' ? 'sd1' : 'sd2'

  it.each(lengths)(
    "cuts captions into rows as transformers' tokenizer and the trainers do, length %i",
    async (length) => {
      const tokenizer = await loadClipTokenizer({ variant })
      expect(tokenizer.padId).toBe(fixture.pad)
      const { rows } = fixture.lengths[length]
      fixture.captions.forEach((caption, i) => {
        const ids = tokenizer.tokenize(caption, { maxLength: length })
        expect(Array.from(ids), JSON.stringify(caption.slice(0, 40))).toEqual(rows[i]!.flat())
      })
    },
  )

  it.each(lengths.flatMap((length) => ([1, 2, 3] as const).map((clipSkip) => [length, clipSkip] as const)))(
    'computes the hidden states that transformers computes, length %i, clip skip %i',
    async (length, clipSkip) => {
      const model = new ClipTextModel(tinyConfigs[name].textEncoder, formulaWeights('text_encoder'))
      const options = { clipSkip, sequenceLength: length, dtype: 'float32' } as const
      const encoder = new CaptionEncoder(await loadClipTokenizer({ variant }), model, options)
      const hidden = encoder.encode(fixture.captions)
      const digest = fixture.lengths[length][`skip${clipSkip}`]
      expect(hidden.shape).toEqual(digest.shape)
      expect(hidden.dim(1)).toBe(length)
      expectDigest((await hidden.read()) as Float32Array, digest, { rms: 1e-5, max: 1e-4 })
      hidden.dispose()
      model.dispose()
    },
  )
})
