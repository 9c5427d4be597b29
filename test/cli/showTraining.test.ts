import { describe, expect, it } from 'vitest'
import { showTraining, type Train } from '../../lib/cli/showTraining.ts'
import { networkTraining } from '../../lib/train/methods/trainNetwork.ts'
import { parseTraining } from '../../lib/train/options/parseTraining.ts'
import type { TrainNetworkConfig } from '../../lib/train/trainConfig.ts'
import { exitCodes } from '../../lib/util/errors.ts'
import { fakeEvents } from './fakeTraining.ts'
import { makeTestHost } from './testHost.ts'

async function configOf(...more: string[]): Promise<TrainNetworkConfig> {
  const needed = ['--pretrained_model_name_or_path', 'm', '--dataset_config', 'data.toml', '--output_dir', 'out/frog']
  return (await parseTraining('train-network', [...needed, ...more])).config
}

/** Presses a button of the page as the page does. @returns the status */
async function press(url: string, name: string): Promise<number> {
  const token = /content="([\w-]+)">\n<title>frog</.exec(await (await fetch(url)).text())![1]!
  const headers = { 'x-dashboard-token': token, origin: new URL(url).origin }
  return (await fetch(`${url}control/${name}`, { method: 'POST', headers })).status
}

describe('the page of a training that is shown', () => {
  it('is served while it runs; its buttons reach the training, and it sees the end', async () => {
    const host = makeTestHost()
    const taken: boolean[] = []
    let following: Promise<string> | undefined
    const train: Train = async function* (_kind, _config, { signal, controls }) {
      const url = /^(http\S+) shows the training$/.exec(host.stdout.lines[0]!)![1]!
      const { lastId } = (await (await fetch(`${url}state`)).json()) as { lastId: string }
      following = fetch(`${url}events?after=${lastId}`).then((response) => response.text())
      for await (const event of fakeEvents(signal)) {
        yield event
        if (event.type !== 'step' || event.step > 1) continue
        expect([await press(url, 'save'), await press(url, 'preview')]).toEqual([202, 404]) // no prompts, no previews
        taken.push(controls.takeSaveRequest(), controls.takePreviewRequest())
        expect(await press(url, 'stop')).toBe(202)
      }
    }
    expect(await showTraining(networkTraining, await configOf(), host, { train, dashboardPort: 0 })).toBe(
      exitCodes.interrupted,
    )
    expect(taken).toEqual([true, false])
    expect(host.stdout.lines.at(-1)).toContain('interrupted after 1 step')
    expect(await following).toContain('"status":"interrupted"')
  })

  it('is not served unless it is asked for', async () => {
    const host = makeTestHost()
    const train: Train = (_kind, _config, { signal }) => fakeEvents(signal)
    expect(await showTraining(networkTraining, await configOf(), host, { train })).toBe(exitCodes.ok)
    expect(host.stdout.text).not.toContain('http')
  })
})
