/** Which kind each dataset of a file is, and what that allows: one loader for DreamBooth, another for fine-tuning metadata. */
import {
  type DatasetKind,
  type DatasetOption,
  datasetOption,
  expectedValue,
  findDatasetOption,
  flagOf,
} from './datasetOptions.ts'
import { type ConfigPath, type ConfigProblem, pathInWords } from './problem.ts'

/** What a trainer takes. */
export interface AcceptedData {
  /** Whether captions may be dropped, whole or in part. Default true. */
  readonly captionDropout?: boolean
  /** Whether a network trains, whose strength may differ between datasets. Default true. */
  readonly network?: boolean
  /** Default: both. */
  readonly kinds?: readonly DatasetKind[]
}

const kindNames: Readonly<Record<DatasetKind, string>> = { dreambooth: 'DreamBooth', fineTuning: 'fine-tuning' }

type Table = Readonly<Record<string, unknown>>

/** Fine-tuning is what has `metadata_file`. */
export function kindOfSubset(subset: Table): DatasetKind {
  return subset.metadata_file === undefined ? 'dreambooth' : 'fineTuning'
}

/**
 * Everything wrong with the kinds of a configuration: mixed ones, options of the other kind, and what the trainer does not take.
 * Its shape may be wrong too; tables that are none are passed over.
 */
export function checkKinds(
  raw: unknown,
  { captionDropout = true, network = true, kinds }: AcceptedData,
): ConfigProblem[] {
  const problems: ConfigProblem[] = []
  const root = isTable(raw) ? raw : {}
  const found = new Set<DatasetKind>()
  const whyLacking = ({ needs }: DatasetOption): string | undefined => {
    if (needs === 'captionDropout' && !captionDropout) return 'this training drops no captions'
    return needs === 'network' && !network ? 'this training is not of a network' : undefined
  }
  const checkKeys = (path: ConfigPath, table: Table, isIdle: (option: DatasetOption) => string | undefined): void => {
    for (const [key, value] of Object.entries(table)) {
      const option = value === undefined ? undefined : findDatasetOption(key)
      if (option === undefined) continue
      const reason = whyLacking(option) ?? isIdle(option)
      if (reason !== undefined)
        problems.push({ path: [...path, key], message: `option "${key}" is not accepted: ${reason}. Remove it` })
    }
  }
  for (const { path, table } of tablesIn(['datasets'], root.datasets)) {
    const subsets = tablesIn([...path, 'subsets'], table.subsets)
    const [first] = subsets
    if (first === undefined) continue
    const kind = kindOfSubset(first.table)
    found.add(kind)
    const other = subsets.find((subset) => kindOfSubset(subset.table) !== kind)
    if (other !== undefined) {
      found.add(kindOfSubset(other.table))
      const message = `${pathInWords(path)} has subsets with metadata_file and without: move those without into a [[datasets]] table of their own`
      problems.push({ path: other.path, message })
      continue
    }
    if (kinds?.includes(kind) === false) {
      const message = `this training takes no ${kindNames[kind]} data, only ${kinds.map((each) => kindNames[each]).join(' and ')}: ${kind === 'dreambooth' ? 'a subset needs metadata_file' : 'leave metadata_file out'}`
      problems.push({ path: kind === 'dreambooth' ? first.path : [...first.path, 'metadata_file'], message })
      continue
    }
    const ofOtherKind = (option: DatasetOption): string | undefined =>
      option.kind === undefined || option.kind === kind
        ? undefined
        : `it is for ${kindNames[option.kind]} data, and ${pathInWords(path)} is ${kindNames[kind]} data, since it has metadata_file`
    checkKeys(path, table, ofOtherKind)
    for (const subset of subsets) {
      checkKeys(subset.path, subset.table, ofOtherKind)
      if (kind === 'dreambooth' && subset.table.image_dir === undefined) {
        const option = datasetOption('image_dir')
        const message = `option "image_dir" is missing: expected ${expectedValue(option)}. ${option.doc}`
        problems.push({ path: subset.path, message })
      }
    }
  }
  if (isTable(root.general))
    checkKeys(['general'], root.general, ({ kind }) =>
      kind === undefined || found.size === 0 || found.has(kind) ? undefined : `no dataset is ${kindNames[kind]} data`,
    )
  return problems
}

/** Why no dataset asked for the value that the command line gives to an option. */
export function whyNotAsked(option: DatasetOption, kinds: ReadonlySet<DatasetKind>): string {
  if (option.kind !== undefined && !kinds.has(option.kind))
    return `${flagOf(option)} is not used, since no dataset is ${kindNames[option.kind]} data`
  const holder = option.levels.includes('subset') ? 'subset' : 'dataset'
  return `${flagOf(option)} is not used, since each ${holder} has its own ${option.name}`
}

function isTable(value: unknown): value is Table {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date)
}

function tablesIn(path: ConfigPath, list: unknown): { readonly path: ConfigPath; readonly table: Table }[] {
  if (!Array.isArray(list)) return []
  return list.flatMap((table: unknown, index) => (isTable(table) ? [{ path: [...path, index], table }] : []))
}
