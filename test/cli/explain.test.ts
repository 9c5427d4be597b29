import { describe, expect, it } from 'vitest'
import { run } from '../../lib/cli/run.ts'
import { datasetJsonSchema } from '../../lib/config/datasetJsonSchema.ts'
import { exitCodes } from '../../lib/util/errors.ts'
import { makeTestHost } from './testHost.ts'

async function runWith(...args: readonly string[]): Promise<{ code: number; out: string; err: string }> {
  const host = makeTestHost()
  const code = await run(args, host)
  return { code, out: host.stdout.text, err: host.stderr.text }
}

describe('noisewright explain', () => {
  it('prints one option, written as a key or as on the command line', async () => {
    const asKey = await runWith('explain', 'keep_tokens')
    expect(asKey).toMatchObject({ code: exitCodes.ok, err: '' })
    expect(asKey.out).toContain('On the command line: --keep_tokens <integer>')
    expect(await runWith('explain', '--keep_tokens')).toEqual(asKey)
  })

  it('lists all names when given none', async () => {
    const { code, out } = await runWith('explain')
    expect(code).toBe(exitCodes.ok)
    for (const name of ['metadata_file', 'network_dim', 'xformers']) expect(out).toContain(name)
  })

  it('knows the nearest name of what is no option', async () => {
    expect(await runWith('explain', 'network_dimm')).toEqual({
      code: exitCodes.usage,
      out: '',
      err: 'error: there is no option "network_dimm". Did you mean "network_dim"?\n',
    })
  })
})

describe('noisewright schema', () => {
  it('prints the JSON Schema of dataset files', async () => {
    const { code, out, err } = await runWith('schema')
    expect({ code, err }).toEqual({ code: exitCodes.ok, err: '' })
    expect(JSON.parse(out)).toEqual(datasetJsonSchema())
  })
})
