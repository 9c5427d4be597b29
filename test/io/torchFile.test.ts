import * as fs from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { openTensorFile } from '../../lib/io/openTensorFile.ts'
import { PickleOpaque } from '../../lib/io/pickleValues.ts'
import { openSafetensors, writeSafetensors } from '../../lib/io/safetensors.ts'
import type { TensorFile } from '../../lib/io/tensorFile.ts'
import { openTorchFile, TorchFile, TorchTensor } from '../../lib/io/torchFile.ts'
import { type TorchFileTensor, writeTorchFile } from '../../lib/io/torchFileWriter.ts'
import { ArgumentError, CheckpointError, DisposedError, IoError, NoisewrightError } from '../../lib/util/errors.ts'
import { makeZip, type ZipPart } from './zipMaker.ts'

const fixture = (name: string): string => fileURLToPath(new URL(`../fixtures/torch_files/${name}`, import.meta.url))
let folder: string
beforeEach(async () => {
  folder = await fs.mkdtemp(join(tmpdir(), 'noisewright-torch-'))
})
afterEach(async () => {
  await fs.rm(folder, { recursive: true, force: true })
})

async function put(name: string, content: string | Uint8Array): Promise<string> {
  await fs.writeFile(join(folder, name), content)
  return join(folder, name)
}

/** Every tensor of `expected` is in `file` with the same type, shape and bytes, wherever it is read from. */
async function expectSame(file: TensorFile, expected: TensorFile): Promise<void> {
  expect([...file.names].sort()).toEqual([...expected.names].sort())
  for (const name of expected.names) {
    const { dtype, shape, byteLength } = expected.info(name)
    const info = file.info(name)
    expect(info, name).toMatchObject({ name, dtype, shape, byteLength })
    const bytes = Buffer.from(await expected.read(name))
    expect(Buffer.from(await file.read(name)).equals(bytes), name).toBe(true)
    if (info.place === undefined) continue
    const handle = await fs.open(file.path)
    const { buffer } = await handle.read(Buffer.alloc(byteLength), 0, byteLength, info.place.byteOffset)
    await handle.close()
    expect(buffer.equals(bytes), `${name} in place`).toBe(true)
  }
  await file.close()
  await expected.close()
}

describe('openTorchFile', () => {
  it('reads every type as PyTorch does', async () => {
    await expectSame(await openTorchFile(fixture('dtypes.pt')), await openSafetensors(fixture('dtypes.safetensors')))
  })

  it.each([2, 3, 4, 5])('reads views, shared storages and parameters of protocol %i', async (protocol) => {
    const file = await openTorchFile(fixture(`views${protocol}.pt`))
    const placed = file.names.filter((name) => file.info(name).place !== undefined)
    expect(placed).toEqual(['whole', 'rows', 'one', 'parameter', 'tied'])
    expect(file.tensor('rows').storageKey).toBe(file.tensor('whole').storageKey)
    expect(file.tensor('rows')).toMatchObject({ strides: [30, 6, 1], storageOffset: 30 })
    expect(file.tensor('tied').storage).toEqual(file.tensor('parameter').storage)
    await expectSame(file, await openSafetensors(fixture('views.safetensors')))
  })

  it('finds the tensors under state_dict, what lies beside them, and the classes it does not know', async () => {
    const file = await openTorchFile(fixture('lightning.ckpt'))
    const callback = 'pytorch_lightning.callbacks.model_checkpoint'
    expect(file.under).toBe('state_dict')
    expect(file.foreign).toEqual([`${callback}.ModelCheckpoint`])
    expect(file.outer.get('epoch')).toBe(3)
    expect(file.outer.get('global_step')).toBe(470000)
    expect(file.outer.get('big')).toBe(2n ** 70n)
    expect(file.outer.get('device')).toBe('cuda:1')
    const callbacks = file.outer.get('callbacks') as Map<unknown, unknown>
    expect(callbacks.get('other')).toEqual(new PickleOpaque(callback, 'ModelCheckpoint'))
    expect(file.outer.has('state_dict')).toBe(false)
    await expectSame(file, await openSafetensors(fixture('lightning.safetensors')))
  })

  it('reads tensors of inner dictionaries by their description', async () => {
    const file = await openTorchFile(fixture('inversion.pt'))
    expect(file.names).toEqual([])
    expect(file.outer.get('name')).toBe('cat')
    const tensor = (file.root.get('string_to_param') as Map<string, unknown>).get('*')
    expect(tensor).toBeInstanceOf(TorchTensor)
    expect(file.infoOf(tensor as TorchTensor)).toMatchObject({ dtype: 'F32', shape: [2, 4], byteLength: 32 })
    expect(new Float32Array((await file.readTensor(tensor as TorchTensor)).buffer)).toEqual(new Float32Array(8).fill(1))
    await file.close()
  })

  it('executes nothing, and names what wanted to run', async () => {
    const file = await openTorchFile(fixture('hostile.pt'))
    expect(file.names).toEqual(['weight'])
    expect(file.foreign).toEqual(['posix.system'])
    await file.close()
    await expect(openTorchFile(fixture('hostileRoot.pt'))).rejects.toThrow(/found an object of posix.system/)
  })

  it('refuses reads after close and unknown names', async () => {
    const file = await openTorchFile(fixture('dtypes.pt'))
    expect(() => file.info('as.flaot16')).toThrow(/Did you mean "as.float16"/)
    await file.close()
    await file.close()
    expect(file.info('scalar').place).toBeUndefined()
    await expect(file.read('scalar')).rejects.toThrow(DisposedError)
  })

  it.each([
    ['float8.pt', /"w" has the dtype float8_e4m3fn; this reader knows .*BF16/],
    ['module.pt', /found an object of torch.nn.modules.linear.Linear; save its state_dict\(\)/],
    ['tensor.pt', /expected a dictionary of tensors.*found a float32 tensor \[2\]/],
    ['legacy.ckpt', /a file of PyTorch before 1.6; convert it once: python -c "import torch; torch.save/],
    ['compressed.pt', /"archive\/data.pkl" is compressed \(deflate\).*torch.save/],
    ['arrays.npz', /found a NumPy .npz archive/],
    ['protocol4.pkl', /found a bare Python pickle/],
    ['dtypes.safetensors', /expected a PyTorch file.*found a safetensors file/],
  ])('refuses %s and says what it is', async (name, message) => {
    await expect(openTorchFile(fixture(name))).rejects.toThrow(CheckpointError)
    await expect(openTorchFile(fixture(name))).rejects.toThrow(message)
  })

  it('refuses a file cut short at every 7th byte', async () => {
    const bytes = await fs.readFile(fixture('views2.pt'))
    for (let length = 0; length < bytes.byteLength; length += 7) {
      const path = await put('cut.pt', bytes.subarray(0, length))
      await expect(openTorchFile(path), `cut at ${length}`).rejects.toThrow(CheckpointError)
    }
  })

  it('reads or refuses a file with any one byte changed, and nothing else happens', async () => {
    const bytes = await fs.readFile(fixture('ordered.bin'))
    for (let at = 0; at < bytes.byteLength; at += 5) {
      const changed = Buffer.from(bytes)
      changed[at] = changed[at]! ^ 0xa5
      const path = await put('changed.pt', changed)
      try {
        const file = await openTorchFile(path)
        for (const name of file.names) await file.read(name)
        await file.close()
      } catch (error) {
        expect(error, `byte ${at}`).toBeInstanceOf(NoisewrightError)
      }
    }
  })
})

/** A file of one float32 storage of 4 elements, with any description. */
async function described(pickle: string, more: readonly ZipPart[] = []): Promise<string> {
  const parts = [
    { name: 'x/data.pkl', data: Buffer.from(pickle, 'latin1') },
    { name: 'x/data/0', data: Buffer.alloc(16) },
    ...more,
  ]
  return put('made.pt', makeZip(parts))
}

const long = (value: number): string => {
  const bytes = Buffer.alloc(8)
  bytes.writeBigInt64LE(BigInt(value))
  return `\x8a\x08${bytes.toString('latin1')}`
}

interface View {
  storageClass?: string
  key?: string
  elements?: number
  offset?: number
  shape?: readonly number[]
  strides?: readonly number[]
}

function tensorPickle(view: View): string {
  const { storageClass = 'torch\nFloatStorage', key = '0', elements = 4, offset = 0 } = view
  const { shape = [4], strides = [1] } = view
  const tuple = (items: readonly number[]): string => `(${items.map(long).join('')}t`
  const id = `(U\x07storagec${storageClass}\nU${String.fromCharCode(key.length)}${key}U\x03cpu${long(elements)}tQ`
  const rebuild = 'ctorch._utils\n_rebuild_tensor_v2\n'
  return `\x80\x02}U\x01a${rebuild}(${id}${long(offset)}${tuple(shape)}${tuple(strides)}\x89ccollections\nOrderedDict\n)RtRs.`
}

describe('openTorchFile, on files made to mislead', () => {
  it('reads the file that the others are made from', async () => {
    const file = await openTorchFile(await described(tensorPickle({ offset: 1, shape: [3] })))
    expect(await file.readFloat32('a')).toEqual(new Float32Array(3))
    await file.close()
  })

  it.each<[string, View, RegExp]>([
    ['a storage larger than its entry', { elements: 5 }, /storage 0 of 5 float32: expected 20 bytes.*found 16 bytes/],
    ['a storage smaller than its entry', { elements: 3, shape: [3] }, /expected 12 bytes in data\/0, found 16/],
    ['a storage that is not there', { key: '7' }, /expected 16 bytes in data\/7, found no such entry/],
    ['a storage outside of the archive', { key: '../../x' }, /found no such entry/],
    ['a storage of 2^53 elements', { elements: 2 ** 52 }, /expected 18014398509481984 bytes/],
    ['a storage of a class of its own', { storageClass: 'os\nsystem' }, /a storage class of PyTorch, found os.system/],
    ['a negative count', { elements: -4 }, /the id of a storage/],
    ['a view past the end', { shape: [5] }, /a tensor inside of storage 0/],
    ['an offset past the end', { offset: 4 }, /a tensor inside/],
    ['a negative offset', { offset: -1 }, /all 0 or more/],
    ['a negative stride', { strides: [-1] }, /all 0 or more/],
    ['a negative size', { shape: [-4] }, /all 0 or more/],
    ['fewer strides than sizes', { shape: [2, 2] }, /as many sizes as strides/],
    ['sizes whose product overflows', { shape: [2 ** 31, 2 ** 31, 2 ** 31], strides: [0, 0, 0] }, /a tensor inside/],
    ['strides whose sum overflows', { shape: [2, 2], strides: [2 ** 52, 2 ** 52] }, /a tensor inside/],
    ['four bytes repeated to a terabyte', { shape: [2 ** 38], strides: [0] }, /a tensor inside/],
    ['a huge size beside an empty axis', { shape: [2 ** 52, 0], strides: [1, 1] }, /a tensor inside/],
    ['65 axes', { shape: Array(65).fill(1), strides: Array(65).fill(1) }, /at most 64 axes/],
  ])('refuses %s', async (_what, view, message) => {
    const path = await described(tensorPickle(view))
    await expect(openTorchFile(path)).rejects.toThrow(CheckpointError)
    await expect(openTorchFile(path)).rejects.toThrow(message)
  })

  it('refuses one storage under two types', async () => {
    const half = 'ctorch\nHalfStorage\n'
    const id = (type: string, count: string): string => `(U\x07storage${type}U\x010U\x03cpu${count}tQ`
    const path = await described(`}(U\x01a${id(half, 'K\x08')}U\x01b${id('ctorch\nFloatStorage\n', 'K\x04')}u.`)
    await expect(openTorchFile(path)).rejects.toThrow(/one description of a storage/)
  })

  it('refuses big-endian data, TorchScript, two descriptions and none', async () => {
    const part = (name: string, data = 'big'): ZipPart => ({ name, data: Buffer.from(data) })
    const pickle = tensorPickle({})
    await expect(openTorchFile(await described(pickle, [part('x/byteorder')]))).rejects.toThrow(/byte order "big"/)
    await expect(openTorchFile(await described(pickle, [part('x/constants.pkl')]))).rejects.toThrow(/TorchScript/)
    await expect(openTorchFile(await described(pickle, [part('y/data.pkl')]))).rejects.toThrow(/found 2 of them/)
    const other = await put('other.zip', makeZip([part('readme.txt')]))
    await expect(openTorchFile(other)).rejects.toThrow(/a zip archive of 1 entries without one/)
  })

  it('refuses a pickle with bytes of state for the wrong kind of object', async () => {
    await expect(openTorchFile(await described('}]K\x01s.'))).rejects.toThrow(/expected a key, found a list/)
    await expect(openTorchFile(await described(']K\x01K\x02s.'))).rejects.toThrow(/a dictionary to fill/)
  })

  it('reads the parameter dictionary of the first textual inversion program', async () => {
    const tensor = tensorPickle({}).slice(6, -2)
    const state = `}(U\x08trainingI01\nU\x0b_parametersccollections\nOrderedDict\n)R(U\x01*${tensor}uu`
    const path = await described(`}U\x0fstring_to_paramctorch.nn.modules.container\nParameterDict\n)\x81${state}bs.`)
    const file = await openTorchFile(path)
    const inner = file.root.get('string_to_param') as Map<string, TorchTensor>
    expect(inner.get('*')?.shape).toEqual([4])
    await file.close()
  })
})

describe('openTensorFile', () => {
  it('goes by the content, whatever the name', async () => {
    const torch = await put('model.safetensors', await fs.readFile(fixture('dtypes.pt')))
    const safetensors = await put('model.ckpt', await fs.readFile(fixture('dtypes.safetensors')))
    const [first, second] = [await openTensorFile(torch), await openTensorFile(safetensors)]
    expect(first).toBeInstanceOf(TorchFile)
    expect(second).not.toBeInstanceOf(TorchFile)
    await expectSame(first, second)
  })

  it.each([
    ['page.safetensors', '<!DOCTYPE html><html><body>404</body></html>', /found a web page, probably an error message/],
    ['page.ckpt', '\n <html>', /found a web page/],
    ['empty.ckpt', '', /found an empty file/],
    ['pointer.safetensors', 'version https://git-lfs.github.com/spec/v1\noid sha256:0\n', /git-lfs pointer.*lfs pull/],
    ['model.gguf', 'GGUF\x03\0\0\0', /found a GGUF file/],
    ['config.ckpt', '{"a": 1}', /found a JSON text/],
    ['zeros.ckpt', '\0'.repeat(600), /found zero bytes/],
    ['noise.bin', 'abcdefghijkl', /starts with the bytes 6162636465666768/],
    ['short.safetensors', 'abc', /at least 10 bytes, found 3/],
  ])('says what %s holds', async (name, content, message) => {
    const path = await put(name, content)
    await expect(openTensorFile(path)).rejects.toThrow(CheckpointError)
    await expect(openTensorFile(path)).rejects.toThrow(message)
  })

  it('tells a tar archive of old PyTorch', async () => {
    const tar = Buffer.alloc(1024)
    tar.write('ustar', 257)
    tar.write('pickle', 0)
    await expect(openTensorFile(await put('old.pt', tar))).rejects.toThrow(/a tar archive.*convert it once/)
  })

  it('mentions an extension that promises another format', async () => {
    const bytes = await fs.readFile(fixture('dtypes.safetensors'))
    const path = await put('model.ckpt', bytes.subarray(0, bytes.byteLength - 3))
    await expect(openTensorFile(path)).rejects.toThrow(/cut short.*the extension is .ckpt, but.*a safetensors file/)
    const legacy = await put('model.safetensors', await fs.readFile(fixture('legacy.ckpt')))
    await expect(openTensorFile(legacy)).rejects.toThrow(/before 1.6.*the extension is .safetensors/)
    await expect(openTensorFile(join(folder, 'none'))).rejects.toThrow(IoError)
  })
})

describe('writeTorchFile', () => {
  const all = async (): Promise<TorchFileTensor[]> => {
    const file = await openSafetensors(fixture('dtypes.safetensors'))
    const tensors = await Promise.all(
      file.names.map(async (name) => ({ ...file.info(name), data: await file.read(name) })),
    )
    await file.close()
    return tensors
  }

  it.each(['state_dict', undefined])('is read back byte for byte, under %s', async (under) => {
    const path = join(folder, 'w.ckpt')
    const outer = { epoch: 2, global_step: 100, note: 'x' }
    const tensors = await all()
    const options = { outer, ordered: true, ...(under === undefined ? {} : { under }) }
    const size = await writeTorchFile(path, tensors, options)
    expect((await fs.stat(path)).size).toBe(size)
    const file = await openTorchFile(path)
    expect(file.under).toBe(under)
    expect(file.names).toEqual(tensors.map(({ name }) => name))
    expect(Object.fromEntries(file.outer)).toEqual(outer)
    for (const name of file.names) expect((file.info(name).place?.byteOffset ?? 0) % 64).toBe(0)
    await expectSame(file, await openSafetensors(fixture('dtypes.safetensors')))
  })

  it('makes equal bytes of equal contents, one tensor at a time', async () => {
    let held = 0
    const lazy = (await all()).map((tensor) => ({
      ...tensor,
      data: async (): Promise<Uint8Array> => {
        expect(++held).toBe(1)
        await new Promise((resolve) => setImmediate(resolve))
        held--
        return tensor.data as Uint8Array
      },
    }))
    await writeTorchFile(join(folder, 'a.pt'), await all())
    await writeTorchFile(join(folder, 'b.pt'), lazy)
    const [a, b] = [await fs.readFile(join(folder, 'a.pt')), await fs.readFile(join(folder, 'b.pt'))]
    expect(a.equals(b)).toBe(true)
  })

  it('goes through safetensors and back without change', async () => {
    const source = await openTorchFile(fixture('views2.pt'))
    const tensors = source.names.map((name) => ({ ...source.info(name), data: () => source.read(name) }))
    await writeSafetensors(join(folder, 'v.safetensors'), tensors)
    await expectSame(source, await openTensorFile(join(folder, 'v.safetensors')))
  })

  it('refuses what is not right, and leaves the previous file', async () => {
    const path = await put('kept.pt', 'previous')
    const tensor: TorchFileTensor = { name: 'a', dtype: 'F32', shape: [2], data: new Uint8Array(8) }
    await expect(writeTorchFile(path, [tensor, tensor])).rejects.toThrow(ArgumentError)
    const short = { ...tensor, data: new Uint8Array(7) }
    await expect(writeTorchFile(path, [short])).rejects.toThrow(/data of "a" must be 8 bytes for F32.*received 7/)
    await expect(writeTorchFile(path, [tensor], { outer: { a: 1 } })).rejects.toThrow(/not taken by tensors/)
    await expect(writeTorchFile(path, [tensor], { under: 'x', outer: { x: 1 } })).rejects.toThrow(/not taken/)
    expect(await fs.readFile(path, 'utf8')).toBe('previous')
    expect(await fs.readdir(folder)).toEqual(['kept.pt'])
  })
})
