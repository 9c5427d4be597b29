/** Mistakes made on purpose in a file of CUDA kernels: the tests must notice each. */
export interface MutatedFile {
  /** Under native/. */
  readonly file: string
  /** Under test/, without extension; run in this order until one fails. */
  readonly tests: readonly string[]
  /** By name: text that occurs once in the file, and what stands there instead. The result must compile. */
  readonly mistakes: Readonly<Record<string, readonly [find: string, replace: string]>>
}
