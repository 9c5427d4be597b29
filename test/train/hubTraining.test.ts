import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { showTraining } from '../../lib/cli/showTraining.ts'
import { networkTraining } from '../../lib/train/methods/trainNetwork.ts'
import type { HubConfig, TrainNetworkConfig } from '../../lib/train/trainConfig.ts'
import { trainNetwork } from '../../lib/train/trainings.ts'
import { CheckpointError, ConfigError } from '../../lib/util/errors.ts'
import { makeTestHost } from '../cli/testHost.ts'
import { hubTests } from '../hub/hubTest.ts'
import { makeFolder } from '../support/pictures.ts'
import { eventsOf, makeTinyData, saveTinyModel, tensorBytes, tinyTraining } from '../support/tinyTraining.ts'

const test = hubTests()
const token = 'hf_secret'
let model: string
let data: string
beforeAll(async () => {
  model = await saveTinyModel()
  data = await makeTinyData({ subset: 'shuffle_caption = true' })
})
beforeEach(() => vi.stubEnv('HF_ENDPOINT', test.hub.endpoint))

async function configOf(hub: HubConfig, state: TrainNetworkConfig['state']): Promise<TrainNetworkConfig> {
  const logs = join(await makeFolder(), 'logs')
  const overrides = {
    training: { maxSteps: 4 },
    output: { saveEverySteps: 2 },
    logging: { folder: logs, kinds: ['tensorboard', 'jsonl'] as const },
  }
  return { ...(await tinyTraining(model, data, overrides)), hub, state: state! }
}

async function textsBelow(folder: string): Promise<Map<string, string>> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  const paths = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name))
  return new Map(await Promise.all(paths.map(async (path) => [path, await readFile(path, 'latin1')] as const)))
}

describe('a training with a repository of the hub', () => {
  it('uploads all it saves and writes the token nowhere; another one goes on from there with the same bits', async () => {
    const hub: HubConfig = { repository: 'org/name', folder: 'runs', states: true, background: true, token }
    const config = await configOf(hub, { save: true })
    const host = makeTestHost()
    expect(await showTraining(networkTraining, config, host)).toBe(0)
    const files = ['frog-step00000002', 'frog-step00000004', 'frog'].flatMap((name) => {
      const states = ['manifest.json', 'optimizer.safetensors', 'parameters.safetensors']
      return [`runs/${name}.safetensors`, ...states.map((file) => `runs/${name}-state/${file}`)]
    })
    const { refs, commits } = test.hub.repositories.get('org/name')!
    const head = commits.get(refs.get('main')!)!
    expect([...head.keys()].sort()).toEqual(files.sort())
    for (const [path, { content }] of head)
      expect(content.equals(await readFile(join(config.output.folder, path.slice('runs/'.length)))), path).toBe(true)
    const written = [await textsBelow(config.output.folder), await textsBelow(config.logging.folder!)]
    for (const [path, text] of written.flatMap((texts) => [...texts])) expect(text.includes(token), path).toBe(false)
    expect(host.stdout.text + host.stderr.text).not.toContain(token)

    // As it was then: the branch goes on without it.
    refs.set('v1', refs.get('main')!)
    test.hub.commit('org/name', { 'README.md': '' })
    const resume = 'org/name/runs/frog-step00000002-state:v1'
    const next = await configOf({ repository: null, token, resume: true }, { resume })
    const events = await eventsOf(trainNetwork(next))
    expect(events.filter(({ type }) => type === 'step').length).toBe(2)
    const [before, after] = [config, next].map(({ output }) => join(output.folder, 'frog.safetensors'))
    expect(await tensorBytes(after!)).toEqual(await tensorBytes(before!))
  })

  it('does not begin without the state that it shall go on from', async () => {
    test.hub.commit('org/name', { 'runs/frog-state/notes.txt': '' })
    const begin = async (resume: string): Promise<unknown> =>
      eventsOf(trainNetwork(await configOf({ repository: null, resume: true }, { resume })))
    await expect(begin('org/name/runs/frog-stat')).rejects.toThrow(
      /folder runs\/frog-stat. Did you mean "runs\/frog-state"/,
    )
    await expect(begin('org/name/runs/frog-stat')).rejects.toBeInstanceOf(CheckpointError)
    const wrong = begin('states/../frog')
    await expect(wrong).rejects.toBeInstanceOf(ConfigError)
    await expect(wrong).rejects.toThrow(/--resume with --resume_from_huggingface: .* must be org\/name\/folder/)
    await expect(begin('org/name/runs/frog-state')).rejects.toThrow(/manifest.json/)
  })
})
