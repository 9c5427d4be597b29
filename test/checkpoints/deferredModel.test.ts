import { truncate } from 'node:fs/promises'
import { beforeAll, describe, expect, it } from 'vitest'
import { deferStableDiffusion, loadStableDiffusion } from '../../lib/checkpoints/loadStableDiffusion.ts'
import { cast } from '../../lib/ops/cast.ts'
import { memory } from '../../lib/tensor/runtime.ts'
import { scope } from '../../lib/tensor/scope.ts'
import { DisposedError, NativeError } from '../../lib/util/errors.ts'
import { saveTinyCheckpoint, sizesOf, small1, valuesOf } from '../support/checkpoints.ts'
import { baselineBuffers, liveBuffers, settled } from '../support/device.ts'

const options = { sizes: sizesOf(small1), dtypes: { unet: 'bfloat16' } } as const
let checkpoint = ''
beforeAll(async () => {
  checkpoint = await saveTinyCheckpoint(small1)
})

describe('a deferred model', () => {
  it('takes no memory for a part until it is used, and has the bits of a loaded one', async () => {
    const before = await baselineBuffers()
    const { liveBytes } = memory()
    const { models, finish, close } = await deferStableDiffusion(checkpoint, options)
    await settled()
    expect(memory().liveBytes).toBe(liveBytes)
    const { tensor, shape } = models.unet.registry.parameters.get('conv_in.weight')!
    expect([tensor.shape, tensor.dtype, tensor.device, tensor.contiguous]).toEqual([shape, 'bfloat16', 'cpu', true])
    expect(await liveBuffers()).toBe(before)

    const vae = await valuesOf(models.vae.registry)
    expect(await liveBuffers()).toBe(before + models.vae.registry.parameters.size)
    models.release('vae')
    await finish()
    const rest = models.unet.registry.parameters.size + models.textEncoder.registry.parameters.size
    expect(await liveBuffers()).toBe(before + rest)

    const loaded = await loadStableDiffusion(checkpoint, options)
    expect(vae).toEqual(await valuesOf(loaded.models.vae.registry))
    for (const part of ['unet', 'textEncoder'] as const)
      expect(await valuesOf(models[part].registry)).toEqual(await valuesOf(loaded.models[part].registry))
    loaded.models.dispose()
    models.dispose()
    await close()
    expect(await liveBuffers()).toBe(before)
  })

  it('keeps a parameter that is first used within a scope', async () => {
    const before = await baselineBuffers()
    const { models, close } = await deferStableDiffusion(checkpoint, options)
    const { tensor } = models.unet.registry.parameters.get('conv_in.weight')!
    const once = scope(() => cast(cast(tensor, { dtype: 'float32' }), { dtype: 'bfloat16' }))
    expect(await once.read()).toEqual(await tensor.read())
    once.dispose()
    models.dispose()
    await close()
    expect(await liveBuffers()).toBe(before)
  })

  it('refuses what was not read before it was closed, and tells of files that shrank', async () => {
    const before = await baselineBuffers()
    const closed = await deferStableDiffusion(checkpoint, options)
    await closed.close()
    await closed.close()
    const { tensor } = closed.models.unet.registry.parameters.get('conv_in.weight')!
    expect(() => tensor.handle).toThrow(DisposedError)
    closed.models.dispose()
    const shrinking = await saveTinyCheckpoint(small1)
    const deferred = await deferStableDiffusion(shrinking, options)
    await truncate(shrinking, 1000)
    await expect(deferred.finish()).rejects.toThrow(NativeError)
    deferred.models.dispose()
    await deferred.close()
    expect(await liveBuffers()).toBe(before)
  })
})
