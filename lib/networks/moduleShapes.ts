/** The tensors that each kind of module has in files, and what their shapes tell. */
import { type BranchPlace, sizesOf } from './place.ts'

/** LoRA; LoHa and LoKr of LyCORIS. */
export type ModuleKind = 'lora' | 'loha' | 'lokr'

/** Shapes by the ends of keys: `lora_down.weight`, `hada_w1_a`. */
export type ModuleShapes = Readonly<Record<string, readonly number[]>>

/** The sizes of a Kronecker product: w1 [l, m] and w2 [k, n] (with a kernel: [k, n, kh, kw]) make a weight [l k, m n]. */
export interface KroneckerSizes {
  readonly l: number
  readonly m: number
  readonly k: number
  readonly n: number
  /** Null: the matrix is whole, not a product of two of this rank. */
  readonly rank1: number | null
  readonly rank2: number | null
}

/** What determines a module beside a given layer, but for its values and alpha. */
export type ModuleSizes =
  | { readonly kind: 'lora' | 'loha'; readonly rank: number }
  | ({ readonly kind: 'lokr' } & KroneckerSizes)

const suffixes: Readonly<Record<ModuleKind, readonly string[]>> = {
  lora: ['lora_down.weight', 'lora_up.weight'],
  loha: ['hada_w1_a', 'hada_w1_b', 'hada_w2_a', 'hada_w2_b'],
  lokr: ['lokr_w1', 'lokr_w1_a', 'lokr_w1_b', 'lokr_w2', 'lokr_w2_a', 'lokr_w2_b'],
}

const kinds = Object.keys(suffixes) as ModuleKind[]

/** Every end of a key but `alpha`. */
export const moduleSuffixes: readonly string[] = kinds.flatMap((kind) => suffixes[kind])

/** The kind of a module that has these tensors, by the first that is known; null: none is. */
export function kindOf(present: Iterable<string>): ModuleKind | null {
  for (const suffix of present) {
    const found = kinds.find((kind) => suffixes[kind].includes(suffix))
    if (found !== undefined) return found
  }
  return null
}

/** The tensors that a module lacks. A matrix of LoKr is there whole or as two. */
export function missingSuffixes(kind: ModuleKind, present: ReadonlySet<string>): string[] {
  if (kind !== 'lokr') return suffixes[kind].filter((suffix) => !present.has(suffix))
  return ['lokr_w1', 'lokr_w2'].flatMap((whole) => {
    const parts = [`${whole}_a`, `${whole}_b`]
    if (present.has(whole)) return []
    return parts.some((part) => present.has(part)) ? parts.filter((part) => !present.has(part)) : [whole]
  })
}

/** The sizes that the shapes of a complete module mean. They need not fit together: compare {@link shapesOf}. */
export function sizesIn(kind: ModuleKind, shapes: ModuleShapes): ModuleSizes {
  const size = (suffix: string, axis: number): number | null => shapes[suffix]?.[axis] ?? null
  if (kind === 'lora') return { kind, rank: size('lora_down.weight', 0) ?? 0 }
  if (kind === 'loha') return { kind, rank: size('hada_w1_b', 0) ?? 0 }
  return {
    kind,
    l: size('lokr_w1', 0) ?? size('lokr_w1_a', 0) ?? 0,
    m: size('lokr_w1', 1) ?? size('lokr_w1_b', 1) ?? 0,
    k: size('lokr_w2', 0) ?? size('lokr_w2_a', 0) ?? 0,
    n: size('lokr_w2', 1) ?? size('lokr_w2_b', 1) ?? 0,
    rank1: size('lokr_w1_a', 1),
    rank2: size('lokr_w2_a', 1),
  }
}

/** What alpha is divided by; null where both matrices of LoKr are whole: their product is taken as it is. */
export function rankOf(sizes: ModuleSizes): number | null {
  return sizes.kind === 'lokr' ? (sizes.rank1 ?? sizes.rank2) : sizes.rank
}

/** The factor of a module's change of the weight. */
export function scaleOf(sizes: ModuleSizes, alpha: number): number {
  const rank = rankOf(sizes)
  return rank === null ? 1 : alpha / rank
}

/** The shapes that a module of some sizes has in files beside a layer. Of LoRA, those of convolutions are four-dimensional there. */
export function shapesOf(place: BranchPlace, sizes: ModuleSizes): ModuleShapes {
  const { out, inChannels, kernel } = sizesOf(place)
  const kernelInFile = place.layout === 'conv1x1' ? [1, 1] : kernel
  const flat = (channels: number): number => kernel.reduce((count, size) => count * size, channels)
  switch (sizes.kind) {
    case 'lora':
      return {
        'lora_down.weight': [sizes.rank, inChannels, ...kernelInFile],
        'lora_up.weight': [out, sizes.rank, ...kernelInFile.map(() => 1)],
      }
    case 'loha': {
      const [a, b] = [
        [out, sizes.rank],
        [sizes.rank, flat(inChannels)],
      ] as const
      return { hada_w1_a: a, hada_w1_b: b, hada_w2_a: a, hada_w2_b: b }
    }
    case 'lokr': {
      const { l, m, k, n, rank1, rank2 } = sizes
      return {
        ...(rank1 === null ? { lokr_w1: [l, m] } : { lokr_w1_a: [l, rank1], lokr_w1_b: [rank1, m] }),
        ...(rank2 === null
          ? { lokr_w2: [k, n, ...kernelInFile] }
          : { lokr_w2_a: [k, rank2], lokr_w2_b: [rank2, flat(n)] }),
      }
    }
    default:
      return sizes satisfies never
  }
}

/**
 * The sizes of a module beside a layer, from its shapes in a file. Axes of size 1 and flat kernels are all the same.
 * @returns what is wrong, in words, where the shapes do not belong to such a layer
 */
export function fitModule(
  place: BranchPlace,
  kind: ModuleKind,
  shapes: ModuleShapes,
): { readonly sizes: ModuleSizes } | { readonly misfit: string } {
  const found = sizesIn(kind, shapes)
  const { out, inChannels } = sizesOf(place)
  const sizes = found.kind === 'lokr' ? { ...found, n: inChannels / found.m } : found
  const expected = shapesOf(place, sizes)
  const fits =
    (sizes.kind !== 'lokr' || (sizes.l * sizes.k === out && Number.isInteger(sizes.n))) &&
    (rankOf(sizes) ?? 1) >= 1 &&
    Object.entries(expected).every(([suffix, shape]) => sameElements(shape, shapes[suffix]))
  if (fits) return { sizes }
  return { misfit: `expected ${describe(expected)}, found ${describe(shapes)}` }
}

function sameElements(a: readonly number[], b: readonly number[] | undefined): boolean {
  const count = (shape: readonly number[]): number => shape.reduce((product, size) => product * size, 1)
  return b !== undefined && b.length >= 2 && a[0] === b[0] && count(a) === count(b)
}

function describe(shapes: ModuleShapes): string {
  return Object.entries(shapes)
    .map(([suffix, shape]) => `${suffix} [${shape.map((size) => Math.round(size * 100) / 100).join(', ')}]`)
    .join(' and ')
}
