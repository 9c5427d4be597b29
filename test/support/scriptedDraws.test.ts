import { describe, expect, it } from 'vitest'
import { ScriptedDraws } from './scriptedDraws.ts'

describe('ScriptedDraws', () => {
  it('gives what the reference drew, in order', () => {
    const draws = new ScriptedDraws([{ float: 0.25 }, { integer: 2, below: 3 }, { shuffle: [2, 0, 1] }])
    expect([draws.float(), draws.integer(3), draws.left]).toEqual([0.25, 2, 1])
    expect(draws.shuffle(['a', 'b', 'c'])).toEqual(['c', 'a', 'b'])
    expect(draws.left).toBe(0)
  })

  it('refuses to give anything else', () => {
    expect(() => new ScriptedDraws([]).float()).toThrow('float(), but the reference drew no more')
    expect(() => new ScriptedDraws([{ float: 0.5 }]).integer(3)).toThrow('the reference drew {"float":0.5}')
    expect(() => new ScriptedDraws([{ integer: 1, below: 3 }]).integer(4)).toThrow('draw 1: integer(4)')
    expect(() => new ScriptedDraws([{ shuffle: [0] }]).shuffle([1, 2])).toThrow('shuffle of 2')
  })
})
