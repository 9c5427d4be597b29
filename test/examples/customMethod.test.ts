import { join } from 'node:path'
import { expect, it } from 'vitest'
import { customMethod } from '../../examples/customMethod.ts'
import { openSafetensors } from '../../lib/io/safetensors.ts'
import { baselineBuffers, liveBuffers } from '../support/device.ts'
import { makeFolder } from '../support/pictures.ts'
import { only } from '../support/tinyTraining.ts'

it('the example of a method of one’s own trains and saves the keys and values alone', async () => {
  const baseline = await baselineBuffers()
  const folder = await makeFolder()
  const events = await customMethod(folder, 2)
  expect(await liveBuffers()).toBe(baseline)
  expect(only(events, 'step').map(({ step }) => step)).toEqual([1, 2])
  expect(only(events, 'start')[0]!.moduleCount).toBe(32)
  const trained = await openSafetensors(only(events, 'end')[0]!.path!)
  const before = await openSafetensors(join(folder, 'model', 'unet', 'diffusion_pytorch_model.safetensors'))
  expect(trained.names).toHaveLength(32)
  expect(trained.metadata.get('steps')).toBe('2')
  for (const name of trained.names)
    expect(Buffer.compare(await trained.read(name), await before.read(name)), name).not.toBe(0)
  await Promise.all([trained.close(), before.close()])
})

it('the example of a method of one’s own ends without a step when it was aborted before', async () => {
  const controller = new AbortController()
  controller.abort()
  const events = await customMethod(await makeFolder(), 2, controller.signal)
  expect(events.at(-1)).toMatchObject({ type: 'end', reason: 'interrupted', step: 0 })
})
