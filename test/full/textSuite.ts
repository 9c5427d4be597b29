import { describe, it } from 'vitest'
import { ClipTextModel } from '../../lib/models/clip/textModel.ts'
import { loadClipTokenizer } from '../../lib/models/clip/tokenizer.ts'
import { sd1, sd2 } from '../../lib/models/stableDiffusion/config.ts'
import { CaptionEncoder } from '../../lib/train/inputs/conditioning.ts'
import {
  check,
  expectParameterCount,
  type FullCase,
  fullDtypes,
  fullWeights,
  loadFullFixture,
  reportProcess,
} from './fullSize.ts'

interface TextCase extends FullCase {
  readonly length: 77 | 227
}

const float32 = { rms: 1e-5, max: 1e-4 }

/** From captions to conditioning with the text encoder of one version: 75 and 225 tokens, clip skip 1 and 2, both types. */
export function testText(version: 'sd1' | 'sd2'): void {
  const file = `${version}Text`
  const { cases, captions, parameters } = loadFullFixture<TextCase>(file)
  reportProcess(file)

  describe.each(fullDtypes)(`the text encoder of ${version} in %s`, (dtype) => {
    it('agrees with transformers for each length and clip skip', async () => {
      const tokenizer = await loadClipTokenizer({ variant: version })
      const model = new ClipTextModel({ sd1, sd2 }[version].textEncoder, fullWeights('text_encoder'), dtype)
      expectParameterCount(model.registry, parameters)
      for (const [name, textCase] of Object.entries(cases)) {
        const clipSkip = Number(name.slice(-1))
        const encoder = new CaptionEncoder(tokenizer, model, { clipSkip, sequenceLength: textCase.length, dtype })
        await check(textCase, dtype, float32, () => encoder.encode(captions!))
      }
      model.dispose()
    })
  })
}
