/** The option `device` where there is no GPU: refused with the reason, before anything is loaded. */
import { beforeAll, describe, expect, it } from 'vitest'
import { parseTraining } from '../../lib/train/options/parseTraining.ts'
import { trainNetwork } from '../../lib/train/trainings.ts'
import { ConfigError } from '../../lib/util/errors.ts'
import { eventsOf, makeTinyData, type TinyOverrides, tinyTraining } from '../support/tinyTraining.ts'

// The addon opens the driver on the first question about GPUs.
process.env.NOISEWRIGHT_LIBCUDA = '/nowhere/libcuda.so.1'

let data: string
beforeAll(async () => {
  data = await makeTinyData()
})

async function refusal(overrides: TinyOverrides): Promise<ConfigError> {
  const config = await tinyTraining('/nowhere/model', data, overrides)
  const error = await eventsOf(trainNetwork(config)).catch((reason: unknown) => reason)
  expect(error).toBeInstanceOf(ConfigError)
  return error as ConfigError
}

describe('a training on a device', () => {
  const needed = ['--pretrained_model_name_or_path', 'm', '--output_dir', 'o', '--dataset_config', 'd.toml']

  it.each([
    ['cpu', undefined],
    ['CUDA', 'cuda'],
    ['cuda:1', 'cuda:1'],
  ])('is asked for by --device %s', async (given, device) => {
    const { config } = await parseTraining('train-network', [...needed, '--device', given])
    expect(config.training.device).toBe(device)
  })
  it.each(['gpu', 'cuda:', 'cuda:one'])('is not %s', async (given) => {
    const expected = 'cpu, cuda, or cuda:1 and so on where there are several GPUs'
    await expect(parseTraining('train-network', [...needed, '--device', given])).rejects.toThrow(
      `--device must be ${expected}, found "${given}"`,
    )
  })
  it('that is not there is refused before the model is looked for', async () => {
    const { message, details } = await refusal({ training: { device: 'cuda' } })
    expect(message).toMatch(/^device cuda cannot be used: .*no CUDA device: .*is not installed; --device cpu computes/)
    expect(details.option).toBe('device')
  })
  it('that has no files for states is told no folder for them', async () => {
    const optimizer = { type: 'PagedAdamW8bit', arguments: { folder: '/tmp' } }
    const { message, details } = await refusal({ training: { device: 'cuda' }, optimizer })
    expect(message).toBe(
      '--optimizer_args: folder has no meaning on device cuda, where PagedAdamW8bit keeps its states in pinned host memory and not in files; leave it out',
    )
    expect(details.option).toBe('optimizer_args')
  })
})
