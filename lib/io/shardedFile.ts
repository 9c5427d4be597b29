import { dirname, join } from 'node:path'
import { CheckpointError, IoError } from '../util/errors.ts'
import { didYouMean } from '../util/nearest.ts'
import { describeJson, type JsonObject, jsonMembers, readJsonObject } from './jsonFile.ts'
import { openTensorFile } from './openTensorFile.ts'
import type { TensorFile, TensorInfo } from './tensorFile.ts'

/** The index of a model with ten thousand tensors has about a megabyte. */
const MAX_INDEX_BYTES = 16 << 20
/** Each shard is an open file as long as the model is read. */
const MAX_SHARDS = 256

/** Several files that hold the tensors of one model between them, read through their index as if they were one. */
export class ShardedFile implements TensorFile {
  /** Of the index. */
  readonly path: string
  /** Empty: what shards store beside their tensors is about the shard. */
  readonly metadata: ReadonlyMap<string, string> = new Map()
  readonly #shards: ReadonlyMap<string, TensorFile>

  /**
   * Use {@link openShardedFile}.
   * @param shards the file of each tensor, by the tensor's name
   */
  constructor(path: string, shards: ReadonlyMap<string, TensorFile>) {
    this.path = path
    this.#shards = shards
  }

  /** Tensor names in the order of the index. */
  get names(): readonly string[] {
    return [...this.#shards.keys()]
  }

  has(name: string): boolean {
    return this.#shards.has(name)
  }

  /** @throws CheckpointError naming the nearest tensor when there is none of that name */
  info(name: string): TensorInfo {
    return this.shardOf(name).info(name)
  }

  async read(name: string): Promise<Uint8Array> {
    return this.shardOf(name).read(name)
  }

  async readFloat32(name: string): Promise<Float32Array> {
    return this.shardOf(name).readFloat32(name)
  }

  /**
   * The file that holds a tensor.
   * @throws CheckpointError naming the nearest tensor when there is none of that name
   */
  shardOf(name: string): TensorFile {
    const shard = this.#shards.get(name)
    if (shard === undefined) {
      const hint = didYouMean(name, this.#shards.keys())
      throw new CheckpointError(this.path, `expected a tensor "${name}", found none among ${this.#shards.size}.${hint}`)
    }
    return shard
  }

  /** Closes every shard; a second call does nothing. */
  async close(): Promise<void> {
    for (const shard of new Set(this.#shards.values())) await shard.close()
  }
}

export interface OpenShardedOptions {
  /** How a shard is opened. Default: {@link openTensorFile}. */
  readonly openShard?: (path: string) => Promise<TensorFile>
}

/**
 * Opens a sharded model by its index (`*.safetensors.index.json`, `*.bin.index.json`): reads the index and the header of
 * every shard, no tensor. The caller closes it. The index and the shards must agree: every listed tensor lies in the
 * shard it is listed for, and no shard holds a tensor that is listed for another one or not at all. `total_size` in the
 * index is not compared: libraries disagree on how often to count a tensor that two names share.
 *
 * @throws IoError when the index cannot be read
 * @throws CheckpointError when the index is damaged, names files outside its folder or of another format, or disagrees
 *   with a shard; when a shard is missing or damaged
 */
export async function openShardedFile(indexPath: string, options: OpenShardedOptions = {}): Promise<ShardedFile> {
  const { openShard = openTensorFile } = options
  const shardNames = readWeightMap(indexPath, await readJsonObject(indexPath, MAX_INDEX_BYTES))
  const opened = new Map<string, TensorFile>()
  try {
    for (const shard of new Set(shardNames.values()))
      opened.set(shard, await openShard(join(dirname(indexPath), shard)).catch(refuseMissing(indexPath, shard)))
    checkAgreement(indexPath, shardNames, opened)
  } catch (error) {
    for (const file of opened.values()) await file.close()
    throw error
  }
  return new ShardedFile(indexPath, new Map(Array.from(shardNames, ([name, shard]) => [name, opened.get(shard)!])))
}

/** @returns the shard of each tensor, by the tensor's name */
function readWeightMap(path: string, index: JsonObject): ReadonlyMap<string, string> {
  const members = jsonMembers(index.get('weight_map'))
  if (members === null || members.size === 0)
    throw new CheckpointError(
      path,
      `"weight_map" must be an object of tensor names and file names, found ${describeJson(index.get('weight_map'))}`,
    )
  const extension = /\.safetensors\.index\b/.test(path) ? '.safetensors' : '.bin'
  const shards = new Map<string, string>()
  for (const [tensor, shard] of members) {
    const problem = typeof shard === 'string' ? shardNameProblem(shard, extension) : 'is not a text'
    if (problem !== null)
      throw new CheckpointError(path, `the file of tensor "${tensor}", ${describeJson(shard)}, ${problem}`)
    shards.set(tensor, shard as string)
  }
  const count = new Set(shards.values()).size
  if (count > MAX_SHARDS)
    throw new CheckpointError(
      path,
      `expected at most ${MAX_SHARDS} files, found ${count}; save the model in larger shards`,
    )
  return shards
}

/** Why an index may not name this file, or null: nothing outside the folder of the index is opened on its word. */
function shardNameProblem(shard: string, extension: string): string | null {
  if (/[/\\\0]/.test(shard) || shard.includes('..')) return 'is not the name of a file beside the index'
  return shard.endsWith(extension) ? null : `does not end in ${extension}`
}

function refuseMissing(indexPath: string, shard: string): (error: unknown) => never {
  return (error) => {
    if (!(error instanceof IoError)) throw error
    const message = `the index lists the file "${shard}", which cannot be opened; copy or download every file of the model`
    throw new CheckpointError(indexPath, `${message} (${error.message})`, { cause: error })
  }
}

function checkAgreement(
  path: string,
  listed: ReadonlyMap<string, string>,
  opened: ReadonlyMap<string, TensorFile>,
): void {
  for (const [tensor, shard] of listed)
    if (!opened.get(shard)!.has(tensor))
      throw new CheckpointError(path, `tensor "${tensor}" is listed for the file "${shard}", which does not hold it`)
  for (const [shard, file] of opened)
    for (const tensor of file.names) {
      const other = listed.get(tensor)
      if (other === shard) continue
      const found = other === undefined ? 'the index does not list' : `the index lists for the file "${other}"`
      const advice = 'the files do not belong together; copy or download the model again'
      throw new CheckpointError(path, `the file "${shard}" holds a tensor "${tensor}" that ${found}: ${advice}`)
    }
}
