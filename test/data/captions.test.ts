import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type CaptionOptions, captionVaries, longestCaptions, processCaption } from '../../lib/data/captions.ts'
import { PhiloxStream } from '../../lib/util/philox.ts'
import { loadOracle } from '../support/dataOracle.ts'
import { type Draw, ScriptedDraws } from '../support/scriptedDraws.ts'

const plain: CaptionOptions = {
  shuffleCaption: false,
  keepTokens: 0,
  keepTokensSeparator: undefined,
  captionSeparator: ',',
  secondarySeparator: undefined,
  enableWildcard: false,
  captionPrefix: undefined,
  captionSuffix: undefined,
  captionDropoutRate: 0,
  captionDropoutEveryNEpochs: 0,
  captionTagDropoutRate: 0,
  tokenWarmupMin: 1,
  tokenWarmupStep: 0,
}
const use = { epoch: 1, step: 0, totalSteps: 100 }
const stream = (key: number): PhiloxStream => new PhiloxStream(1, 'test', key)

interface CaptionCase {
  readonly version: 'v0.6.6' | 'v0.9.1'
  readonly caption: string
  readonly options: { readonly [Name in keyof CaptionOptions]?: CaptionOptions[Name] | null }
  readonly epoch?: number
  readonly step?: number
  readonly totalSteps?: number
  readonly maxTrainSteps?: number
  /** What textual inversion puts in place of its token. */
  readonly replacements?: unknown
  readonly draws: readonly Draw[]
  readonly result: string
}

const newer = [
  'keepTokensSeparator',
  'captionSeparator',
  'secondarySeparator',
  'enableWildcard',
  'captionPrefix',
  'captionSuffix',
]
/** What an option of a later version asks for is that version's; everything else is as in v0.6.6. */
const cases = loadOracle<{ cases: readonly CaptionCase[] }>('captions').cases.filter(
  ({ version, options, replacements }) => {
    if (replacements !== undefined) return false
    return version === 'v0.6.6' || Object.keys(options).some((name) => newer.includes(name))
  },
)

describe('processCaption against sd-scripts', () => {
  it('has cases of both versions', () => {
    expect(cases.filter(({ version }) => version === 'v0.6.6').length).toBeGreaterThan(50)
    expect(cases.filter(({ version }) => version === 'v0.9.1').length).toBeGreaterThan(20)
  })

  it.each(cases.map((each, at) => ({ ...each, at })))('agrees in case $at ($version): $options', (each) => {
    const given = Object.entries(each.options).map(([name, value]) => [name, value ?? undefined])
    const options = { ...plain, ...Object.fromEntries(given) } as CaptionOptions
    const random = new ScriptedDraws(each.draws)
    const { epoch = 1, step = 0, totalSteps = each.maxTrainSteps ?? 0 } = each
    expect(processCaption(each.caption, options, { epoch, step, totalSteps }, random)).toBe(each.result)
    expect(random.left).toBe(0)
  })
})

describe('processCaption', () => {
  it('returns the caption byte for byte when nothing is asked for, whatever keep_tokens says', () => {
    expect(processCaption(' a ,b,, c', { ...plain, keepTokens: 2 }, use, stream(0))).toBe(' a ,b,, c')
  })

  it('keeps leading tags in place and every tag, empty ones too', () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.string({ maxLength: 5 }).map((tag) => tag.replaceAll(',', '').trim()),
          { minLength: 1, maxLength: 9 },
        ),
        fc.nat(10),
        fc.nat(),
        (tags, keepTokens, key) => {
          fc.pre(tags.join('').trim() !== '')
          const caption = `x,${tags.join(',')},y`
          const all = caption.split(',')
          const result = processCaption(
            caption,
            { ...plain, shuffleCaption: true, keepTokens },
            use,
            stream(key),
          ).split(', ')
          expect(result.slice(0, keepTokens)).toEqual(all.slice(0, keepTokens))
          expect(result.toSorted()).toEqual(all.toSorted())
        },
      ),
    )
  })

  it('shuffles into different orders', () => {
    const options = { ...plain, shuffleCaption: true }
    const seen = new Set(Array.from({ length: 100 }, (_, i) => processCaption('a,b,c,d', options, use, stream(i))))
    expect(seen.size).toBeGreaterThan(15)
  })

  it('drops captions and tags as often as asked', () => {
    const dropped = Array.from({ length: 4000 }, (_, i) =>
      processCaption('a', { ...plain, captionDropoutRate: 0.3 }, use, stream(i)),
    ).filter((caption) => caption === '').length
    // Four standard deviations of a binomial count.
    expect(Math.abs(dropped - 1200)).toBeLessThan(4 * Math.sqrt(4000 * 0.3 * 0.7))
    const tags = Array.from({ length: 1000 }, (_, i) =>
      processCaption('k,a,b,c,d', { ...plain, captionTagDropoutRate: 0.25, keepTokens: 1 }, use, stream(i)),
    )
    expect(tags.every((caption) => caption.startsWith('k'))).toBe(true)
    const kept = tags.reduce((sum, caption) => sum + caption.split(', ').length - 1, 0)
    expect(Math.abs(kept - 3000)).toBeLessThan(4 * Math.sqrt(4000 * 0.25 * 0.75))
  })

  it('drops every n-th epoch whole, before prefix and replacement come to anything', () => {
    const options = { ...plain, captionDropoutEveryNEpochs: 2, captionPrefix: 'pre' }
    const captions = [1, 2, 3, 4].map((epoch) => processCaption('a', options, { ...use, epoch }, stream(0)))
    expect(captions).toEqual(['pre a', '', 'pre a', ''])
  })

  it.each([
    [0, 1],
    [50, 5],
    [99, 9],
    [100, 10],
  ])('at step %i of a warm-up over 100 uses %i of ten tags', (step, count) => {
    const caption = Array.from({ length: 10 }, (_, i) => `t${i}`).join(',')
    const whole = { ...plain, tokenWarmupStep: 100 }
    const share = { ...plain, tokenWarmupStep: 0.5 }
    expect(processCaption(caption, whole, { ...use, step }, stream(0)).split(', ')).toHaveLength(count)
    expect(processCaption(caption, share, { ...use, step, totalSteps: 200 }, stream(0)).split(', ')).toHaveLength(count)
  })

  it('keeps a dollar sign in a separator as it is', () => {
    const options = { ...plain, secondarySeparator: ';;;', captionSeparator: '$&' }
    expect(processCaption('sky;;;cloud', options, use, stream(0))).toBe('sky$&cloud')
  })
})

it.each([
  [{}, false],
  [{ keepTokens: 2, captionPrefix: 'a' }, false],
  [{ shuffleCaption: true }, true],
  [{ enableWildcard: true }, true],
  [{ captionDropoutEveryNEpochs: 3 }, true],
  [{ tokenWarmupStep: 5 }, true],
])('knows whether captions vary: %j', (options, expected) => {
  expect(captionVaries({ ...plain, ...options })).toBe(expected)
})

describe('longestCaptions', () => {
  const letters = (text: string): number => text.replace(/[^a-z]/g, '').length

  it('are as long as any use of the caption, and one of them is that long', () => {
    const pieces = fc.constantFrom('a', 'bb', ' ', ', ', '|||', ';;;', '{a|bb|}', '{{x}}', '\n')
    const options = fc.record({
      shuffleCaption: fc.boolean(),
      enableWildcard: fc.boolean(),
      keepTokensSeparator: fc.constantFrom('|||', undefined),
      secondarySeparator: fc.constantFrom(';;;', undefined),
      captionPrefix: fc.constantFrom('start', undefined),
      captionSuffix: fc.constantFrom('end', undefined),
      tokenWarmupStep: fc.constantFrom(0, 3),
    })
    fc.assert(
      fc.property(fc.array(pieces, { maxLength: 12 }), options, (caption, some) => {
        const all = { ...plain, ...some }
        const longest = Math.max(...longestCaptions(caption.join(''), all).map(letters))
        const late = { ...use, step: 3 }
        const found = Array.from({ length: 40 }, (_, i) =>
          letters(processCaption(caption.join(''), all, late, stream(i))),
        )
        expect(Math.max(...found)).toBeLessThanOrEqual(longest)
        const choices = caption.filter((piece) => piece === '{a|bb|}' || piece === '\n').length
        if (!some.enableWildcard || choices < 2) expect(Math.max(...found)).toBe(longest)
      }),
    )
  })

  it('hold no separators but those that are encoded', () => {
    const options = { ...plain, keepTokensSeparator: '|||', secondarySeparator: ';;;' }
    expect(longestCaptions('a ||| b;;;c', options)).toEqual(['a ||| b,c'])
    expect(longestCaptions('a ||| b;;;c', { ...options, shuffleCaption: true })).toEqual(['a ,  b,c'])
    expect(longestCaptions('{a|bbb}\n{{c}}', { ...plain, enableWildcard: true, captionPrefix: 'p' })).toEqual([
      'p bbb',
      '{c}',
    ])
  })
})
