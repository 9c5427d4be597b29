/** Types of what a dataset file holds, made from the table of options: for programs that describe their data themselves. */
import type {
  DatasetKind,
  DatasetOptionName,
  DatasetOptionValue,
  datasetOptions,
  OptionLevel,
} from './datasetOptions.ts'

type Row = (typeof datasetOptions)[number]

/** Rows that may stand at a level, for data of a kind. */
type RowAt<Level extends OptionLevel, Kind extends DatasetKind, R = Row> = R extends {
  readonly levels: readonly (infer Where)[]
}
  ? Level extends Where
    ? R extends { readonly kind: infer Only }
      ? Kind extends Only
        ? R
        : never
      : R
    : never
  : never

type KeysOf<R> =
  | (R extends { readonly name: infer Name extends string } ? Name : never)
  | (R extends { readonly alias: infer Alias extends string } ? Alias : never)

type NameOf<Key> = Key extends DatasetOptionName
  ? Key
  : Extract<Row, { readonly alias: Key }>['name'] & DatasetOptionName

type Table<R> = { readonly [Key in KeysOf<R>]?: DatasetOptionValue<NameOf<Key>> | undefined }

/** The options of a level for data of a kind; those of the other kind alone are none. */
type KindTable<Level extends OptionLevel, Kind extends DatasetKind> = Table<RowAt<Level, Kind>> & {
  readonly [Key in Exclude<KeysOf<RowAt<Level, DatasetKind>>, KeysOf<RowAt<Level, Kind>>>]?: undefined
}

/** `[general]`: what holds for all data that say nothing else. */
export type GeneralTable = Table<RowAt<'general', DatasetKind>>

/** `[[datasets.subsets]]` of DreamBooth: a folder of pictures. */
export type DreamBoothTable = KindTable<'subset', 'dreambooth'> & { readonly image_dir: string }

/** `[[datasets.subsets]]` of fine-tuning: a metadata file. */
export type FineTuningTable = KindTable<'subset', 'fineTuning'> & { readonly metadata_file: string }

/** `[[datasets]]` whose subsets are folders of pictures. */
export type DreamBoothDatasetTable = KindTable<'dataset', 'dreambooth'> & {
  readonly subsets: readonly DreamBoothTable[]
}

/** `[[datasets]]` whose subsets are metadata files. */
export type FineTuningDatasetTable = KindTable<'dataset', 'fineTuning'> & {
  readonly subsets: readonly FineTuningTable[]
}

/** A dataset configuration as it stands in a file. */
export interface DatasetFile {
  readonly general?: GeneralTable | undefined
  readonly datasets: readonly (DreamBoothDatasetTable | FineTuningDatasetTable)[]
}
