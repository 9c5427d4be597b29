import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { run } from '../../lib/cli/run.ts'
import { readKohyaLora } from '../../lib/networks/kohyaLora.ts'
import { exitCodes } from '../../lib/util/errors.ts'
import { packageRoot } from '../../lib/util/packageRoot.ts'
import { baselineBuffers, liveBuffers } from '../support/device.ts'
import { makeFolder } from '../support/pictures.ts'
import { makeTinyData, saveTinyModel } from '../support/tinyTraining.ts'
import { makeTestHost } from './testHost.ts'

it('a training from the command line learns with a class in a file of the user, and refuses its bad arguments', async () => {
  const [folder, model, data] = [join(await makeFolder(), 'out'), await saveTinyModel(), await makeTinyData()]
  const example = join(packageRoot(), 'examples', 'customOptimizer.ts')
  const train = async (type: string, args: readonly string[], name: string): Promise<[number, string]> => {
    const host = makeTestHost()
    const code = await run(
      [
        ...['train-network', '--pretrained_model_name_or_path', model, '--dataset_config', data],
        ...['--output_dir', folder, '--output_name', name, '--cache_latents', '--max_train_steps', '3'],
        ...['--optimizer_type', type, '--learning_rate', '1', '--optimizer_args', ...args],
      ],
      host,
    )
    return [code, host.stderr.text]
  }
  const baseline = await baselineBuffers()
  const [code, text] = await train(`${example}#HeavyBall`, ['momentum=.5'], 'mine')
  expect(code, text).toBe(exitCodes.ok)
  const { modules, metadata } = await readKohyaLora(join(folder, 'mine.safetensors'))
  expect(metadata.get('ss_optimizer')).toBe('HeavyBall(momentum=0.5)')
  expect(
    [...modules.values()].some(({ weights }) => weights['lora_up.weight']!.values.some((value) => value !== 0)),
  ).toBe(true)
  for (const { weights } of modules.values())
    expect(weights['lora_up.weight']!.values.every(Number.isFinite)).toBe(true)

  const [refused, why] = await train(`${example}#HeavyBall`, ['momentum=2'], 'refused')
  expect(refused).not.toBe(exitCodes.ok)
  expect(why).toContain('momentum must be in [0, 1)')
  const [unknown, which] = await train(`${example}#HeavyBal`, ['momentum=.5'], 'unknown')
  expect(unknown).toBe(exitCodes.usage)
  expect(which).toContain('Did you mean "HeavyBall"?')
  expect(await readdir(folder)).toEqual(['mine.safetensors'])
  expect(await liveBuffers()).toBe(baseline)
})
