import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { samplerNames } from '../../lib/config/samplerNames.ts'
import { type PromptSpec, parsePromptLine } from '../../lib/preview/promptSpec.ts'
import { ConfigError } from '../../lib/util/errors.ts'

const defaults = { negativePrompt: '', width: 512, height: 512, steps: 30, scale: 7.5 }

describe('parsePromptLine', () => {
  it('reads every option, in either case, the later one winning', () => {
    expect(parsePromptLine('a cat, sitting --n blurry, --bad --w 640 --H 768 --s 28 --L 7 --d 42 --d 43')).toEqual({
      prompt: 'a cat, sitting',
      negativePrompt: 'blurry,',
      width: 640,
      height: 768,
      steps: 28,
      scale: 7,
      seed: 43,
    })
  })

  it('gives defaults to a bare prompt', () => {
    expect(parsePromptLine('  a cat  ')).toEqual({ prompt: 'a cat', ...defaults })
    expect(parsePromptLine('a cat')).not.toHaveProperty('seed')
  })

  it('rounds sizes down to multiples of 8, at least 64, and clamps the steps', () => {
    const sizes = (line: string): number[] => [parsePromptLine(line)].flatMap(({ width, height }) => [width, height])
    expect(sizes('x --w 519 --h 12')).toEqual([512, 64])
    expect(parsePromptLine('x --s 0').steps).toBe(1)
    expect(parsePromptLine('x --s 5000 --ss euler').steps).toBe(1000)
  })

  it('ignores text after a number, keeps the text after a negative prompt', () => {
    expect(parsePromptLine('x --w 640px --l 3.5 strong --n  two  words')).toMatchObject({
      width: 640,
      scale: 3.5,
      negativePrompt: ' two  words',
    })
  })

  it('keeps a prompt that itself looks like an option', () => {
    expect(parsePromptLine('n blurry')).toEqual({ prompt: 'n blurry', ...defaults })
    expect(parsePromptLine('s 12 --d 1')).toEqual({ prompt: 's 12', ...defaults, seed: 1 })
  })

  it('warns of pieces that are no options: an unknown letter, no space, two spaces', () => {
    const warnings: string[] = []
    const onWarning = (message: string): void => void warnings.push(message)
    const place = { file: 'p.txt', line: 3 }
    expect(parsePromptLine('x --style raw --w640 --q 1', { place, onWarning })).toEqual({ prompt: 'x', ...defaults })
    expect(warnings).toHaveLength(3)
    expect(warnings[0]).toMatch(/^p\.txt:3: "--style raw" is not an option and is ignored/)
  })

  it('refuses values that are no numbers, and options of other versions by name', () => {
    const place = { file: 'p.txt', line: 3 }
    expect(() => parsePromptLine('x --w wide', { place })).toThrow(
      /^p\.txt:3:1: --w must be followed by a whole number/,
    )
    expect(() => parsePromptLine('x --w  640')).toThrow(/--w must be followed by/)
    expect(() => parsePromptLine('x --l 1.2.3')).toThrow(/--l must be followed by a number, found "1.2.3"/)
    expect(() => parsePromptLine('x --d 99999999999999999999')).toThrow(/--d must be followed by/)
    expect(() => parsePromptLine('x --cn pose.png', { place })).toThrow(
      /^p\.txt:3:1: --cn \(a control image\) is not supp/,
    )
    expect(() => parsePromptLine('x --G 3')).toThrow(/--G \(a second guidance scale\) is not supported/)
  })

  it('takes the name of a sampler, in every spelling that there is, and offers the nearest for another', () => {
    for (const name of samplerNames) expect(parsePromptLine(`x --ss ${name}`).sampler).toBe(name)
    expect(parsePromptLine('x --SS  k_euler_a ').sampler).toBe('k_euler_a')
    expect(() => parsePromptLine('x --ss eulr')).toThrow(
      /--ss must be followed by one of ddim, .*found "eulr". Did you mean "euler"/,
    )
    expect(() => parsePromptLine('x --ss  --w 64')).toThrow(/--ss must be followed by/)
  })

  it('refuses steps that the sampler does not take: its own, or that of the context', () => {
    const place = { file: 'p.txt', line: 3 }
    expect(() => parsePromptLine('x --ss pndm --s 3', { place })).toThrow(
      'p.txt:3:1: the sampler pndm takes 4 to 999 steps, found 3; change the steps or the sampler',
    )
    expect(() => parsePromptLine('x --s 1000')).toThrow(/ddim takes 1 to 999 steps, found 1000/)
    expect(() => parsePromptLine('x --s 3', { sampler: 'pndm' })).toThrow(/pndm takes 4 to 999/)
    expect(parsePromptLine('x --s 3 --ss heun', { sampler: 'pndm' })).toMatchObject({ steps: 3, sampler: 'heun' })
  })

  it('refuses pictures and texts that are too large', () => {
    expect(parsePromptLine('x --w 4096').width).toBe(4096)
    expect(() => parsePromptLine('x --w 4097')).toThrow(/--w must be at most 4096, found 4097/)
    expect(() => parsePromptLine('x --H 99999999')).toThrow(/--H must be at most 4096/)
    expect(parsePromptLine('x'.repeat(10_000)).prompt).toHaveLength(10_000)
    expect(() => parsePromptLine('x'.repeat(10_001))).toThrow(/at most 10000 characters, found 10001/)
    expect(() => parsePromptLine(`x --n ${'x'.repeat(10_001)}`)).toThrow(/at most 10000 characters/)
  })

  it('takes any line within its bounds, or refuses it with a ConfigError', () => {
    const letters = fc.constantFrom('w', 'h', 'd', 's', 'l', 'n', 'ss', 'cn', 'g', 'W', 'zz')
    const value = fc.oneof(
      fc.nat(5000).map(String),
      fc.double().map(String),
      fc.string(),
      fc.constantFrom(...samplerNames),
    )
    const piece = fc.oneof(
      fc.string(),
      fc.tuple(letters, value).map((parts) => parts.join(' ')),
    )
    const outcomes = { taken: 0, refused: 0 }
    const parse = (line: string): PromptSpec | null => {
      try {
        return parsePromptLine(line)
      } catch (error) {
        if (!(error instanceof ConfigError)) throw error
        return null
      }
    }
    const property = fc.property(fc.array(piece, { maxLength: 5 }), (pieces) => {
      const spec = parse(pieces.join(' --'))
      outcomes[spec === null ? 'refused' : 'taken']++
      if (spec === null) return
      for (const side of [spec.width, spec.height]) expect(side >= 64 && side <= 4096 && side % 8 === 0).toBe(true)
      expect(Number.isInteger(spec.steps) && spec.steps >= 1 && spec.steps <= 1000).toBe(true)
      expect(Number.isFinite(spec.scale)).toBe(true)
      expect(spec.seed === undefined || (Number.isSafeInteger(spec.seed) && spec.seed >= 0)).toBe(true)
    })
    fc.assert(property, { numRuns: 1000 })
    expect(outcomes.taken).toBeGreaterThan(100)
    expect(outcomes.refused).toBeGreaterThan(100)
  })
})
