import { afterEach, describe, expect, it } from 'vitest'
import { addon } from '../../lib/native/load.ts'
import { add } from '../../lib/ops/add.ts'
import { full, tensor, zeros } from '../../lib/tensor/create.ts'
import { memory, releaseCached, resetPeak, setMemoryLimit } from '../../lib/tensor/runtime.ts'
import { OutOfMemoryError } from '../../lib/util/errors.ts'
import { baselineBuffers, collectGarbage, liveBuffers, settled } from '../support/device.ts'

const MiB = 2 ** 20
/** One mebibyte of float32. */
const elements = MiB / 4

afterEach(() => {
  setMemoryLimit(0)
  addon.setMemoryGuards(false)
})

describe('memory of the device', () => {
  it('holds as many buffers as there are tensors, and none after they are disposed', async () => {
    const before = await baselineBuffers()
    const tensors = [full([8], 1), full([8], 2)]
    tensors.push(add(tensors[0]!, tensors[1]!))
    expect(await liveBuffers()).toBe(before + 3)
    for (const t of tensors) t.dispose()
    expect(await liveBuffers()).toBe(before)
  })

  it('is exact as soon as a read has resolved', async () => {
    const before = await baselineBuffers()
    for (let i = 0; i < 200; i++) {
      const t = full([4], i)
      expect(await t.read()).toEqual(new Float32Array(4).fill(i))
      t.dispose()
      expect(memory().liveBuffers).toBe(before)
    }
  })

  it('keeps a tensor that an op was given, though it was disposed before the op ran', async () => {
    const a = full([elements], 1)
    const b = full([elements], 2)
    const c = add(a, b)
    a.dispose()
    b.dispose()
    expect((await c.read()).at(-1)).toBe(3)
    c.dispose()
  })

  it('is that of sequential execution however far JavaScript runs ahead', async () => {
    await settled()
    releaseCached()
    resetPeak()
    const start = memory().liveBytes
    let x = zeros([4 * elements])
    for (let i = 0; i < 100; i++) {
      const next = add(x, x)
      x.dispose()
      x = next
    }
    await x.read()
    const { peakBytes } = memory()
    x.dispose()
    expect(peakBytes - start).toBeGreaterThanOrEqual(8 * MiB)
    expect(peakBytes - start).toBeLessThan(14 * MiB)
  })

  it('is given back to the system on demand', async () => {
    const t = zeros([16 * elements])
    await settled()
    t.dispose()
    await settled()
    expect(memory().cachedBytes).toBeGreaterThanOrEqual(16 * MiB)
    releaseCached()
    expect(memory().cachedBytes).toBe(0)
  })

  it('is used again for a little less, and not for much less', async () => {
    await settled()
    releaseCached()
    const { liveBytes } = memory()
    for (const [size, reused] of [
      [15, true],
      [12, false],
    ] as const) {
      const large = zeros([16 * elements])
      await settled()
      large.dispose()
      const smaller = zeros([size * elements])
      await settled()
      expect(memory().liveBytes - liveBytes).toBe((reused ? 16 : size) * MiB)
      smaller.dispose()
      await settled()
      releaseCached()
    }
  })

  it('goes back to the system before what other sizes left is much beyond the peak', async () => {
    await settled()
    releaseCached()
    const many = Array.from({ length: 64 }, () => zeros([8 * elements]))
    await settled()
    for (const each of many) each.dispose()
    await settled()
    resetPeak()
    const { liveBytes, cachedBytes } = memory()
    expect(cachedBytes).toBeGreaterThanOrEqual(512 * MiB)
    const other = zeros([256 * elements])
    await settled()
    const held = memory()
    expect(held.liveBytes - liveBytes).toBe(256 * MiB)
    expect(held.liveBytes + held.cachedBytes).toBeLessThanOrEqual((liveBytes * 17) / 16 + 264 * MiB)
    other.dispose()
    await settled()
    releaseCached()
  })

  it('leaves the process when it is given back, also where buffers that stay lie between', async () => {
    const made = () => Array.from({ length: 60 }, (_, i) => full([(((i * 7) % 20) + 1) * 2 ** 18], 1))
    await settled()
    releaseCached()
    const before = process.memoryUsage.rss()
    // The first round teaches malloc that such sizes come and go.
    for (let round = 0; round < 2; round++) {
      const buffers = made()
      await settled()
      expect(process.memoryUsage.rss() - before).toBeGreaterThan(500 * MiB)
      const [kept, others] = [buffers.filter((_, i) => i % 10 === 0), buffers.filter((_, i) => i % 10 !== 0)]
      for (const buffer of others) buffer.dispose()
      await settled()
      releaseCached()
      const held = kept.reduce((sum, { size }) => sum + 4 * size, 0)
      expect(process.memoryUsage.rss() - before - held).toBeLessThan(100 * MiB)
      for (const buffer of kept) buffer.dispose()
      await settled()
      releaseCached()
    }
  })

  it('ends at the limit with an error that names op, bytes and the line, and the device works on', async () => {
    await settled()
    releaseCached()
    const before = await baselineBuffers()
    const small = full([elements], 1)
    await settled()
    setMemoryLimit(memory().liveBytes + 8 * MiB)
    const large = zeros([64 * elements])
    const sum = add(large, large)
    const failure = await sum.read().catch((error: unknown) => error)
    expect(failure).toBeInstanceOf(OutOfMemoryError)
    const { message } = failure as OutOfMemoryError
    expect(message).toContain(`fill: out of memory: needed ${64 * MiB} bytes`)
    expect(message).toContain(`a limit of `)
    expect(message).toMatch(/enqueued at .*memory\.test\.ts:\d+/)
    expect((failure as OutOfMemoryError).exitCode).toBe(6)

    const twice = add(small, small)
    expect((await twice.read())[0]).toBe(2)
    for (const t of [small, large, sum, twice]) t.dispose()
    expect(await liveBuffers()).toBe(before)
  })

  it('reuses cached memory of other sizes before it gives up', async () => {
    await settled()
    releaseCached()
    for (const size of [2, 3, 5]) zeros([size * elements]).dispose()
    await settled()
    setMemoryLimit(memory().liveBytes + 10 * MiB)
    const t = zeros([9 * elements])
    expect((await t.read()).length).toBe(9 * elements)
    t.dispose()
  })

  it('refuses shapes that no memory could hold', () => {
    expect(() => zeros([2 ** 30, 2 ** 30, 16])).toThrow('full: shape must be')
    expect(() => zeros([2 ** 52])).toThrow('full: shape must be')
  })

  it('reports an allocation the system refuses like one beyond the limit', async () => {
    const t = zeros([2 ** 48])
    await expect(t.read()).rejects.toThrow(/fill: out of memory: needed \d+ bytes/)
    t.dispose()
  })

  it('frees tensors that were only forgotten when the garbage collector finds them', async () => {
    const before = await baselineBuffers()
    ;(() => {
      for (let i = 0; i < 20; i++) zeros([16])
    })()
    for (let i = 0; i < 20 && (await liveBuffers()) > before; i++) await collectGarbage()
    expect(await liveBuffers()).toBe(before)
  })
})

describe('guard mode', () => {
  it('notices a write behind the end of a buffer and one before its start', async () => {
    addon.setMemoryGuards(true)
    const before = memory().guardViolations
    expect(addon.checkGuards()).toBe(2)
    expect(memory().guardViolations).toBe(before)
  })

  it('fills fresh buffers with NaN and finds nothing where ops stay inside', async () => {
    addon.setMemoryGuards(true)
    const before = memory().guardViolations
    const a = tensor([1, 2, 3], [3])
    const b = add(a, a)
    expect(await b.read()).toEqual(Float32Array.of(2, 4, 6))
    a.dispose()
    b.dispose()
    await settled()
    expect(memory().guardViolations).toBe(before)
  })
})
